"""Messages of the scheduler that name a command are provoked, and the command is typed where they are printed."""

import shlex
import shutil
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

import warm
from old_data import DATA
from scheduler_hints import SCHEDULER
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
    bench.command("run-item", "scheduler.yaml", "a", "--slot", "2026-11-24T00:00:00Z", code=1)
    return bench.command("ack", "scheduler.yaml", "a", "--slot", "2026-11-24T00:00:00Z", "--reason", "x", code=2)


def an_older_ledger(bench: "Bench") -> str:
    for path in (DATA / "ledger").glob("scheduler.sqlite*"):
        if path.is_file():
            shutil.copy(path, bench.folder / path.name.replace("scheduler", "ledger"))
    bench.flow(["true"])
    bench.schedule_of({"id": "a", "cron": "0 0 29 2 *"})
    return bench.command("status", "scheduler.yaml", code=4)


PROVOKED: dict[Callable[["Bench"], str], dict[str, tuple[int, str]]] = {
    an_invalid_flow: {"aetherflow validate HERE/flow.yaml": (2, "AF1102")},
    an_ack_of_a_run_that_failed: {
        "aetherflow runs ack RUN_ID --reason TEXT": (0, "FAILED: in hand"),
        "aetherflow-scheduler status HERE/scheduler.yaml": (0, "a-20261124T000000Z"),
    },
    an_older_ledger: {"aetherflow-scheduler run": (0, "")},
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
        given = {"TEXT": "because", "RUN_ID": "a-20261124T000000Z"}
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
