"""N1: whoever starts a run, with detached senders: cron, units of systemd, CI jobs, `tick`, `run-item`, a scheduler."""

import contextlib
import datetime as dt
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from aetherflow.core.cli import main
from aetherflow.scheduler.cli.app import main as scheduler_main
from torture_bench import HANG_SECONDS
from torture_night import FAILS_ALONE, WELL_ALONE, WRONG, Night, telling
from torture_tier import full, sample, sized, suite

pytestmark = pytest.mark.slow

Start = Callable[[Night, str, str], object]
"""Starts a run, of this id if it is no slot, with a failpoint; returns when all that it waits for has ended."""
DOCUMENT = "scheduler.yaml"


def by_cron(night: Night, failpoint: str, run: str) -> None:
    """No terminal, no stdin, hardly an environment."""

    def work() -> int:
        os.setsid()
        os.close(0)
        kept = {name: os.environ[name] for name in (*night.bench.env, "PATH", "HOME") if name in os.environ}
        os.environ.clear()
        os.environ.update(kept | {"SHELL": "/bin/sh", "LOGNAME": "root"})
        return _run(run)

    night.fork(work, failpoint)


def by_ci(night: Night, failpoint: str, run: str) -> None:
    """The last step of the job tells; then its container is gone."""
    night.fork(lambda: _run(run), failpoint)
    night.fork(lambda: telling(main, "status", "--notify"))
    night.end_all()


def by_systemd(night: Night, failpoint: str, run: str) -> None:
    """Whatever the unit has started ends with its main process."""
    words = ("run-item", DOCUMENT, "night", "--trigger", "systemd", "-q")
    night.fork(lambda: telling(scheduler_main, *words), failpoint)
    night.end_all()


def by_run_item(night: Night, failpoint: str, run: str) -> None:
    night.fork(lambda: telling(scheduler_main, "run-item", DOCUMENT, "night", "--trigger", "cron", "-q"), failpoint)


def by_tick(night: Night, failpoint: str, run: str) -> None:
    night.fork(lambda: telling(scheduler_main, "tick", DOCUMENT, "-q"), failpoint)


def by_scheduler(night: Night, failpoint: str, run: str) -> None:
    """A process that goes on until somebody ends it: when all is told, or it was killed."""
    child = os.fork()
    if child == 0:  # pragma: no cover
        code = night.fork(lambda: telling(scheduler_main, "run", DOCUMENT, "-q", "--drain-seconds", "0"), failpoint)
        os._exit(0 if code >= 0 else 1)
    end, ended = time.monotonic() + HANG_SECONDS, False
    while not ended and not (_has_ended(night) and night.posts):
        assert time.monotonic() < end, f"the scheduler tells nothing: {night.bench.error_text()}"
        time.sleep(0.02)
        ended = os.waitpid(child, os.WNOHANG)[0] != 0
    if not ended:
        for pid in _children(child):
            os.kill(pid, signal.SIGTERM)
        os.waitpid(child, 0)


FLOWS: dict[str, Start] = {"cron": by_cron, "CI": by_ci}
ITEMS: dict[str, Start] = {
    "systemd": by_systemd, "run-item": by_run_item, "tick": by_tick, "scheduler": by_scheduler
}  # fmt: skip


def _run(run: str) -> int:
    return telling(main, "run", "flow.yaml", "--run-id", run)


def _children(pid: int) -> list[int]:
    with contextlib.suppress(OSError):
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def _has_ended(night: Night) -> bool:
    return any(status in ("SUCCESS", "FAILED", "MISSED") for status in night.slots())


def prepare(night: Night, trigger: str, event: str) -> None:
    """All that comes before: of a recovery a failure that was told."""
    night.end_all()
    night.settle()
    night.forget()
    (night.bench.folder / DOCUMENT).unlink(missing_ok=True)
    now = dt.datetime.now(dt.UTC).replace(second=0, microsecond=0)
    before = now - dt.timedelta(hours=1) if event == "RECOVERED" else now
    if trigger in ITEMS:  # one document for both slots: one that is changed begins later
        since = before - dt.timedelta(minutes=30)
        night.schedule(at=now, since=since, more=", misfire_grace_time: 7200", hourly=event == "RECOVERED")
    if event == "RECOVERED":
        night.bench.write(FAILS_ALONE)
        if trigger in FLOWS:
            night.run("", "run", "flow.yaml", "--run-id", "before")
        else:
            night.scheduler("run-item", DOCUMENT, "night", "-q", "--slot", f"{before:%Y-%m-%dT%H:%M:%SZ}")
        night.send()
        night.check("FAILED")
        night.hear()
    night.bench.write({"FAILED": FAILS_ALONE, "REFUSED": WRONG, "RECOVERED": WELL_ALONE}[event])


@pytest.mark.parametrize("trigger", [*FLOWS, *ITEMS])
def test_whoever_starts_it(night: Night, trigger: str) -> None:
    """Killed anywhere after its start, and started again: it is told once by true senders, whoever starts them."""
    begin = {**FLOWS, **ITEMS}[trigger]
    with suite(f"N1 trigger {trigger}", 15) as counted:
        for event in ("FAILED", "REFUSED", "RECOVERED")[: sized(1, 3)]:
            prepare(night, trigger, event)
            names = night.points(lambda point: begin(night, point, "r"))
            with counted.case(f"{event}: nothing is killed"):
                tell(night, event)
            numbers = [number for number, name in enumerate(names, 1) if full() or "run" in name or "slot" in name]
            for number in sample(numbers, sized(1, 12), f"N1-{trigger}-{event}"):
                prepare(night, trigger, event)
                with counted.case(f"{event}: killed at {number}, {names[number - 1]}"):
                    begin(night, f"{number}:kill", "r")
                    end = time.monotonic() + HANG_SECONDS
                    begin(night, "", "r")
                    while trigger in ITEMS and not _has_ended(night):
                        assert time.monotonic() < end, f"the slot never ends: {night.slots()}"
                        begin(night, "", "r")
                    tell(night, event)


def tell(night: Night, event: str) -> None:
    """What the senders have left over is told by whoever comes next; then it was told once."""
    night.settle()
    night.fork(lambda: telling(main, "status", "--notify"))
    night.check(event, also=frozenset({"INTERRUPTED"}))
