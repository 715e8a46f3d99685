"""Whoever starts a run, and what can come of it that is to be told: the table of N1."""

import contextlib
import datetime as dt
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from aetherflow.core.cli import main
from aetherflow.scheduler.cli.app import main as scheduler_main
from torture_bench import HANG_SECONDS
from torture_night import FAILS_ALONE, WELL_ALONE, WRONG, Night, telling

Start = Callable[[Night, str, str], object]
"""Starts a run, of this id if it is no slot, with a failpoint; returns when all that it waits for has ended."""
DOCUMENT = "scheduler.yaml"
BY_ITSELF = "version: 1\nflow: {id: f}\njobs: [{id: a, steps: [{id: s, type: torture_effect, "
KILLED_ONCE = BY_ITSELF + "effect: once, inputs: {kill_once: true}}]}]\n"
KILLED = BY_ITSELF + "inputs: {kill: true}}]}]\n"
FLOW_OF = {
    "FAILED": FAILS_ALONE,
    "UNKNOWN": KILLED_ONCE,
    "INTERRUPTED": KILLED,
    "REFUSED": WRONG,
    "MISSED": WELL_ALONE,
    "LATE": WELL_ALONE,
    "RECOVERED": WELL_ALONE,
}
"""The flow that comes to this."""
ALSO = {
    "UNKNOWN": frozenset({"INTERRUPTED"}),
    "MISSED": frozenset({"RECOVERED"}),
    "LATE": frozenset({"RECOVERED"}),
}
"""What is told with it: a run that was killed before it went on, the slot that ends well after what was missed or late.
A start that is killed by a failpoint may be told as INTERRUPTED, too."""


def by_cron(night: Night, failpoint: str, run: str) -> None:
    """No terminal, no stdin, hardly an environment."""

    def work() -> int:
        os.setsid()
        os.close(0)
        kept = {name: os.environ[name] for name in (*night.bench.env, "PATH", "HOME") if name in os.environ}
        os.environ.clear()
        os.environ.update(kept | {"SHELL": "/bin/sh", "LOGNAME": "root"})
        return _run(night, run)

    night.fork(work, failpoint)


def by_ci(night: Night, failpoint: str, run: str) -> None:
    """The last step of the job tells; then its container is gone."""
    night.fork(lambda: _run(night, run), failpoint)
    if not night.hushed:
        night.fork(lambda: telling(main, "status", "--notify"))
    night.end_all()


def by_systemd(night: Night, failpoint: str, run: str) -> None:
    """Whatever the unit has started ends with its main process."""
    _item(night, failpoint, "systemd")
    night.end_all()


def by_run_item(night: Night, failpoint: str, run: str) -> None:
    _item(night, failpoint, "cron")


def by_tick(night: Night, failpoint: str, run: str) -> None:
    night.fork(lambda: _scheduler(night, "tick", DOCUMENT, "-q"), failpoint)


def by_scheduler(night: Night, failpoint: str, run: str) -> None:
    """A process that goes on until somebody ends it: when all is told, or it was killed."""
    child = os.fork()
    if child == 0:  # pragma: no cover
        words = ("run", DOCUMENT, "-q", "--drain-seconds", "0")
        os._exit(0 if night.fork(lambda: _scheduler(night, *words), failpoint) >= 0 else 1)
    end, ended = time.monotonic() + HANG_SECONDS, False
    while not ended and not (has_ended(night) and (night.posts or night.hushed)):
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
STARTS = FLOWS | ITEMS
ENDS_SENDERS = ("CI", "systemd")
"""These end the sender of each start, wherever it is: also between the receiver's yes and its record."""
NO_SLOTS = "a run that no ledger knows of has no time at which it was to start or to end: nobody can miss it"
IMPOSSIBLE = {
    ("cron", "MISSED"): NO_SLOTS,
    ("cron", "LATE"): NO_SLOTS,
    ("CI", "MISSED"): NO_SLOTS,
    ("CI", "LATE"): NO_SLOTS,
}
"""The cells of the table, trigger by transition, that cannot be, and why; all others are tried."""
CELLS = [(trigger, event) for trigger in STARTS for event in FLOW_OF if (trigger, event) not in IMPOSSIBLE]


def _run(night: Night, run: str) -> int:
    words = ("run", "flow.yaml", "--run-id", run)
    return main([*words]) if night.hushed else telling(main, *words)


def _item(night: Night, failpoint: str, trigger: str) -> None:
    night.fork(lambda: _scheduler(night, "run-item", DOCUMENT, "night", "--trigger", trigger, "-q"), failpoint)


def _scheduler(night: Night, *words: str) -> int:
    return scheduler_main([*words]) if night.hushed else telling(scheduler_main, *words)


def _children(pid: int) -> list[int]:
    with contextlib.suppress(OSError):
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def has_ended(night: Night) -> bool:
    """Whether the slot whose time has come has ended."""
    slots = night.slots(night.due)
    return bool(slots) and slots[0] in ("SUCCESS", "FAILED", "UNKNOWN")


def prepare(night: Night, trigger: str, event: str) -> None:
    """All that comes before: of a recovery a failure that was told, of a missed slot its document."""
    night.end_all()
    night.settle()
    night.forget()
    night.bench.env["PYTHONPATH"] = str(night.bench.folder / "site")  # the step that is killed
    (night.bench.folder / DOCUMENT).unlink(missing_ok=True)
    now = dt.datetime.now(dt.UTC).replace(second=0, microsecond=0)
    if trigger in ITEMS:  # one document for all slots: one that is changed begins later
        _schedule(night, event, now)
    if event == "RECOVERED":
        _fail_before(night, trigger, now - dt.timedelta(hours=1))
    night.bench.write(FLOW_OF[event])
    if event == "UNKNOWN" and trigger in FLOWS:  # the run that is started again
        with night.hush():
            STARTS[trigger](night, "", "r")


def _schedule(night: Night, event: str, now: dt.datetime) -> None:
    earlier = event in ("RECOVERED", "MISSED")
    since = now - dt.timedelta(minutes=90 if earlier else 30)
    grace = 1800 if event == "MISSED" else 7200
    more = f", misfire_grace_time: {grace}"
    more += ", retry: {max_attempts: 2}" if event == "UNKNOWN" else ""
    if event == "LATE":
        now -= dt.timedelta(minutes=10)
        more += ", late_after_seconds: 60"
    night.schedule(at=now, since=since, more=more, hourly=earlier)


def _fail_before(night: Night, trigger: str, slot: dt.datetime) -> None:
    night.bench.write(FAILS_ALONE)
    if trigger in FLOWS:
        night.run("", "run", "flow.yaml", "--run-id", "before")
    else:
        night.scheduler("run-item", DOCUMENT, "night", "-q", "--slot", f"{slot:%Y-%m-%dT%H:%M:%SZ}")
    night.send()
    night.check("FAILED")
    night.hear()
