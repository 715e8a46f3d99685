"""Messages of the scheduler that name a command are provoked, and the command is typed where they are printed."""

import json
import shlex
import shutil
import sqlite3
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

import warm
from old_data import DATA
from scheduler_hints import CRON, DAY, RUN, SCHEDULER, SLOT
from shown_commands import in_line

if TYPE_CHECKING:
    from scheduler_bench import Bench


def an_invalid_flow(bench: "Bench") -> str:
    bench.schedule_of({"id": "a", "cron": "0 0 * * *"})
    bench.write("version: 2", "flow.yaml")
    return bench.command("validate", "scheduler.yaml", code=2)


def an_ack_of_a_run_that_failed(bench: "Bench") -> str:
    bench.flow(["false"])
    bench.schedule_of({"id": "a", "cron": "0 0 * * *", "since": "2026-11-01", "misfire": "last"})
    bench.command("run-item", "scheduler.yaml", "a", "--slot", SLOT, code=1)
    return bench.command("ack", "scheduler.yaml", "a", "--slot", SLOT, "--reason", "x", code=2)


def an_older_ledger(bench: "Bench") -> str:
    for path in (DATA / "ledger").glob("scheduler.sqlite*"):
        if path.is_file():
            shutil.copy(path, bench.folder / path.name.replace("scheduler", "ledger"))
    bench.flow(["true"])
    bench.schedule_of({"id": "a", "cron": "0 0 29 2 *"})
    return bench.command("status", "scheduler.yaml", code=4)


def one_slot(bench: "Bench", *command: str) -> None:
    """An item whose only slot is due, whenever the test runs."""
    bench.flow(list(command) or ["true"])
    bench.schedule_of({"id": "a", "cron": CRON, "since": DAY, "misfire": "last"})


def a_slot_that_is_held(bench: "Bench") -> str:
    one_slot(bench)
    bench.command("hold", "scheduler.yaml", "a", "--slot", SLOT, "--reason", "x")
    return bench.command("run-item", "scheduler.yaml", "a", "--slot", SLOT, code=3)


def a_release_of_nothing(bench: "Bench") -> str:
    one_slot(bench)
    return bench.command("release", "scheduler.yaml", "a", "--slot", SLOT, "--reason", "x", code=2)


def a_release_of_what_was_skipped(bench: "Bench") -> str:
    one_slot(bench)
    bench.command("skip", "scheduler.yaml", "a", "--slot", SLOT, "--reason", "x")
    assert json.loads(bench.command("tick", "scheduler.yaml", "--json"))["slots"] == []
    return bench.command("release", "scheduler.yaml", "a", "--slot", SLOT, "--reason", "x", code=2)


def a_release_without_a_scheduler(bench: "Bench") -> str:
    one_slot(bench)
    bench.command("hold", "scheduler.yaml", "a", "--next", "--reason", "x")
    assert json.loads(bench.command("tick", "scheduler.yaml", "--json"))["waiting"] == 1
    return bench.command("release", "scheduler.yaml", "a", "--next", "--reason", "x")


def a_hold_of_what_is_over(bench: "Bench") -> str:
    one_slot(bench)
    return bench.command("hold", "scheduler.yaml", "a", "--slot", "2025-11-24", "--reason", "x", code=2)


def a_skip_of_what_was_interrupted(bench: "Bench") -> str:
    one_slot(bench, "test", "-e", str(bench.folder / "there"))
    bench.command("run-item", "scheduler.yaml", "a", "--slot", SLOT, code=1)
    (bench.folder / "there").touch()
    with sqlite3.connect(bench.folder / "ledger.sqlite") as db:
        db.execute("UPDATE slots SET status='INTERRUPTED', reason_code='stopped'")
    db.close()
    return bench.command("skip", "scheduler.yaml", "a", "--slot", SLOT, "--reason", "x", code=2)


PROVOKED: dict[Callable[["Bench"], str], dict[str, tuple[int, str]]] = {
    an_invalid_flow: {"aetherflow validate HERE/flow.yaml": (2, "AF1102")},
    an_ack_of_a_run_that_failed: {
        "aetherflow runs ack RUN_ID --reason TEXT": (0, "FAILED: in hand"),
        "aetherflow-scheduler status HERE/scheduler.yaml": (0, RUN),
    },
    an_older_ledger: {"aetherflow-scheduler run": (0, "")},
    a_slot_that_is_held: {
        f"aetherflow-scheduler release HERE/scheduler.yaml a --slot {SLOT} --reason TEXT": (0, "is released: because")
    },
    a_release_of_nothing: {"aetherflow-scheduler status HERE/scheduler.yaml": (0, "leader: none")},
    a_release_of_what_was_skipped: {
        f"aetherflow-scheduler run-item HERE/scheduler.yaml a --slot {SLOT}": (0, "ended with SUCCESS")
    },
    a_release_without_a_scheduler: {
        f"aetherflow-scheduler run-item HERE/scheduler.yaml a --slot {SLOT}": (0, "ended with SUCCESS")
    },
    a_hold_of_what_is_over: {"aetherflow-scheduler next HERE/scheduler.yaml a": (0, "2027-11-24")},
    a_skip_of_what_was_interrupted: {f"aetherflow resume {RUN}": (0, "SUCCESS")},
}
SHORT = {"aetherflow-scheduler run": "aetherflow-scheduler tick HERE/scheduler.yaml"}
"""What is typed where a message says `run` or `tick`."""


@pytest.mark.parametrize("provoke", PROVOKED, ids=lambda provoke: str(provoke.__name__))
def test_what_a_message_names_works_when_it_is_typed(bench: "Bench", provoke: Callable[["Bench"], str]) -> None:
    told = f"{provoke(bench)}\n{bench.errors}".replace(str(bench.folder), "HERE")
    named = {shown.text for line in told.splitlines() for shown in in_line("", line)}
    assert named == PROVOKED[provoke].keys(), told
    assert named <= {text for texts in SCHEDULER.values() for text in texts}
    for text, (code, part) in PROVOKED[provoke].items():
        whole = SHORT.get(text, text).replace("HERE", str(bench.folder))
        given = {"TEXT": "because", "RUN_ID": RUN}
        program, *words = [given.get(word, word) for word in shlex.split(whole)]
        module = "aetherflow.core" if program == "aetherflow" else "aetherflow.scheduler"
        done = warm.run(
            [sys.executable, "-m", module, *words],
            cwd=bench.folder,
            env=bench.env(),
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert (done.returncode, part in done.stdout + done.stderr) == (code, True), done
