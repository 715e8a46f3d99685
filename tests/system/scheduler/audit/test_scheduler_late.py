"""Schedulers that are killed, frozen or stopped, as both statuses show them."""

import json
import os
import shlex
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import warm

if TYPE_CHECKING:
    from scheduler_bench import Bench

LEASE = 0.5


def needs(bench: "Bench") -> list[str]:
    """The reason codes of what the core's status shows."""
    argv = [sys.executable, "-m", "aetherflow.core", "status", "--json"]
    done = warm.run(argv, cwd=bench.folder, env=bench.env(), capture_output=True, text=True, check=False, timeout=60)
    codes = [need["reason_code"] for need in json.loads(done.stdout)["needs_person"]]
    assert done.returncode == int(bool(codes))
    return codes


def own_needs(bench: "Bench") -> list[str]:
    """The same of the scheduler's own status."""
    found: dict[str, Any] = json.loads(bench.command("status", "scheduler.yaml", "--json", code=None))
    codes = [need["reason_code"] for need in found["needs_person"]]
    assert found["ok"] == (not codes)
    return codes


def leads(bench: "Bench") -> bool:
    return json.loads(bench.command("status", "scheduler.yaml", "--json", code=None))["leader"] is not None


def led(bench: "Bench", until: Callable[..., Any]) -> "subprocess.Popen[bytes]":
    process = bench.start("run", "scheduler.yaml")
    until(lambda: "this scheduler leads" in bench.told_so_far())
    until(lambda: leads(bench))
    return process


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_scheduler_that_is_killed_or_frozen_is_late_until_another_one_leads(
    bench: "Bench", until: Callable[..., Any], number: signal.Signals
) -> None:
    bench.schedule_of({"id": "a", "cron": "0 3 1 1 *"}, lease_seconds=LEASE)
    bench.flow(["true"])
    first = led(bench, until)
    assert needs(bench) == []
    first.send_signal(number)
    until(lambda: needs(bench) == ["leader_late"])
    assert own_needs(bench) == ["leader_late"]
    assert json.loads(bench.command("status", "scheduler.yaml", "--check", "--json", code=1))["leader"] is None
    (row,) = json.loads(bench.command("status", "scheduler.yaml", "--json", code=1))["needs_person"]
    (command,) = row["commands"]
    second = bench.start(*shlex.split(command)[1:])
    until(lambda: needs(bench) == [] and leads(bench))
    if number == signal.SIGSTOP:
        os.kill(first.pid, signal.SIGCONT)
        assert bench.stop(first) == 0
        assert needs(bench) == []
    assert bench.stop(second) == 0
    assert needs(bench) == own_needs(bench) == []


def test_a_scheduler_that_was_stopped_is_quiet_after_one_that_was_killed_beside_it(
    bench: "Bench", until: Callable[..., Any]
) -> None:
    bench.schedule_of({"id": "a", "cron": "0 3 1 1 *"}, lease_seconds=LEASE)
    first = led(bench, until)
    second = bench.start("run", "scheduler.yaml")
    until(lambda: bench.told_so_far().count("scheduler of ") == 2)
    first.kill()
    first.wait()
    until(lambda: leads(bench))
    assert bench.stop(second) == 0
    until(lambda: not leads(bench))
    assert needs(bench) == []


def test_a_slot_whose_run_is_stopped_is_late_and_the_typed_command_continues_it(
    bench: "Bench", until: Callable[..., Any]
) -> None:
    go = bench.folder / "go"
    bench.flow(["sh", "-c", f"until test -e {go}; do sleep 0.05; done"])
    bench.schedule_of({"id": "a", "cron": "0 3 1 1 *"})
    process = bench.start("run-item", "scheduler.yaml", "a", "-q")
    state = bench.folder / "state/flow.sqlite"
    until(lambda: state.exists() and bench.rows("SELECT 1 FROM slots WHERE pid IS NOT NULL"))
    with closing(sqlite3.connect(state, timeout=30)) as db:
        (pid,) = until(lambda: db.execute("SELECT pid FROM runs WHERE status='RUNNING'").fetchone())
        with db:
            db.execute("BEGIN IMMEDIATE")  # first: a run that is stopped within a transaction would keep the state
            os.kill(pid, signal.SIGSTOP)
            until(lambda: Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T")
            db.execute("UPDATE runs SET heartbeat_at=heartbeat_at-61000")
    assert needs(bench) == own_needs(bench) == ["stopped"]
    told = bench.command("status", "scheduler.yaml", code=1)
    assert f"  next: kill -CONT {pid}\n" in f"{told}\n"
    assert "LATE a " in told
    os.kill(pid, signal.SIGCONT)
    until(lambda: needs(bench) == own_needs(bench) == [])
    go.touch()
    assert process.wait(60) == 0
