"""Schedulers that are killed, frozen or stopped, as both statuses show them."""

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
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
