"""Watches the runs of this process: stops those that take too long, and records in the ledger how they ended."""

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from aetherflow.core.api import AetherflowError
from aetherflow.core.embedding import durable, iso
from aetherflow.scheduler.launchers import Running
from aetherflow.scheduler.launchers.orphans import signal_orphan
from aetherflow.scheduler.ledger.records import SlotRow
from aetherflow.scheduler.ledger.slots import Slots
from aetherflow.scheduler.ledger.store import Ledger
from aetherflow.scheduler.ledger.truth import Truth
from aetherflow.scheduler.reasons import Reason, SlotReason, code_of, columns, one_line, said
from aetherflow.scheduler.runs.dependants import Dependants
from aetherflow.scheduler.runs.events import Events
from aetherflow.scheduler.runs.outcomes import End, decide_end, retries
from aetherflow.scheduler.schedule.policy import BY_HAND, Status
from aetherflow.scheduler.schedule.slots import late_at

if TYPE_CHECKING:
    from aetherflow.scheduler.schedule.schedule import Item

KILL_AFTER_SECONDS = 12.0
"""Least time from SIGTERM to SIGKILL; a run itself needs 8 seconds by default to stop its step."""
ELSEWHERE = "if that was not this schedule, set another AETHERFLOW_STATE_ROOT or flow.state.path for one of the two"


def kill_after_seconds() -> float:
    """Seconds from SIGTERM to SIGKILL: 4 more than AETHERFLOW_STOP_GRACE_SECONDS, and at least KILL_AFTER_SECONDS."""
    try:
        grace = float(os.environ.get("AETHERFLOW_STOP_GRACE_SECONDS") or 0)
    except ValueError:
        grace = 0.0
    return max(KILL_AFTER_SECONDS, grace + 4)


@dataclass(slots=True, eq=False)
class LiveRun:
    """A run of this process that has not ended."""

    row: SlotRow
    item: "Item"
    running: Running
    since: float
    """Monotonic time of the start, in seconds."""
    orphan: tuple[int | None, str | None] = (None, None)
    """Process id and birth of the same run from an earlier scheduler, which the new run waits for."""
    stopped: Reason | None = None
    """Why this process is stopping the run; None if it is not."""
    drained: bool = False
    kill_at: float | None = None
    fault: BaseException | None = None
    """The exception that the launcher raised; the run then counts as ended."""

    def ask(self, name: Literal["terminate", "kill"]) -> None:
        """Call a method of the launcher's `Running`; an exception is kept in `fault` and reported by `end`."""
        try:
            getattr(self.running, name)()
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a plugin's fault is that of its slot alone
            self.fault = error

    def end(self, truth: Truth) -> End | None:
        """How it ended; None while it goes on."""
        try:
            if self.fault is not None:
                raise self.fault
            outcome = self.running.poll()
            if outcome is None:
                return None
            recorded = partial(truth.run, self.row)
            return decide_end(outcome, self.stopped, drained=self.drained, recorded=recorded)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - likewise
            self.fault = error
            with contextlib.suppress(Exception, SystemExit):
                self.running.kill()  # nobody watches it any more
            return fault_end(error, self.item.spec.launcher, self.row)


def fault_end(error: BaseException, launcher: str, row: SlotRow) -> End:
    """The end of a start whose launcher raised; retried only for OSError and AetherflowError, which it may raise.

    The traceback of a third-party launcher goes to the log of the slot's run.
    """
    from aetherflow.core.embedding import message_with_place, note_place  # for what fails; each pass imports this

    frames = note_place(error)
    if frames and row.log is not None:
        with contextlib.suppress(OSError, AetherflowError), durable.open_log(Path(row.log)) as file:
            file.write(frames.encode(errors="replace"))
    expected = isinstance(error, (OSError, AetherflowError))
    shown = str(error) if expected else f"the launcher {launcher!r} has a fault: {message_with_place(error)}"
    return End(Status.FAILED, said(SlotReason.LAUNCHER, error=one_line(shown)), 1, retry=expected)


class Watch:
    """The live runs of this process, and their records in the ledger."""

    truth: Truth
    dependants: Dependants
    """Both of the schedule that is used at present."""

    def __init__(self, ledger: Ledger, events: Events) -> None:
        self._ledger = ledger
        self._events = events
        self._kill_after = kill_after_seconds()
        self._slots = Slots(ledger)
        self.live: list[LiveRun] = []
        self._unnoted: list[LiveRun] = []

    def add(self, row: SlotRow, item: "Item", running: Running, orphan: tuple[int | None, str | None]) -> None:
        """Add a run that was just started."""
        live = LiveRun(row, item, running, self._ledger.clock.monotonic(), orphan)
        self.live.append(live)
        self._unnoted.append(live)

    @contextlib.contextmanager
    def noting(self, name: str) -> Iterator[None]:
        """A ledger transaction that also records the processes that were started since the last one."""
        noted = list(self._unnoted)
        with self._ledger.transaction(name):
            for live in noted:
                self._slots.note_process(live.row, live.running.pid, live.running.birth)
            yield
        self._unnoted = [live for live in self._unnoted if live not in noted]

    def note_processes(self) -> None:
        """Record the processes that `noting` has not recorded yet."""
        if self._unnoted:
            with self.noting("slot processes"):
                pass

    def find(self, row: SlotRow) -> LiveRun | None:
        """The live run of a slot; None if this process has none."""
        return next((live for live in self.live if (live.row.item, live.row.slot) == (row.item, row.slot)), None)

    def look(self) -> bool:
        """Record the runs that have ended, and stop those past their limit; True if any has ended."""
        ended = False
        for live in list(self.live):
            end = live.end(self.truth)
            if end is None:
                self._check_times(live)
                continue
            ended = True
            self.finish(live.row, live.item, end)
            self.live.remove(live)
        return ended

    def finish(self, row: SlotRow, item: "Item", end: End) -> None:
        """Write down how a start ended: the slot is over, or waits for its next attempt."""
        if code_of(end.reason) == SlotReason.NOTHING_RUN and self._slots.was_started_as(row):
            end = replace(end, reason=None)  # an earlier start of the slot has done it
        failures = row.failures + (end.status == Status.FAILED)
        delay = retries(item.spec, failures) if end.retry else None
        fields = {"item": row.item, "slot": iso(row.slot), "run_id": row.run_id, "attempt": row.attempts}
        into: dict[str, Any] = {"failures": failures, "told_by": end.told_by}
        if end.place is not None:
            into |= dict(zip(("flow_id", "state_path"), end.place, strict=True))
        if delay is not None:
            now = self._ledger.clock.now_ms()
            into |= {"status": Status.WAITING, **columns(said(SlotReason.RETRY, why=end.reason)), "finished_at": None}
            into |= {"owner": self._ledger.me, "waits_since": now, "not_before": now + round(delay * 1000)}
        with self._ledger.transaction(f"slot {end.status}"):
            kept = self._slots.end(row, end.status, end.reason, end.exit_code, into)
            if kept and end.status == Status.SUCCESS:
                self.dependants.note_success(row)
        message = f"{row.item} {iso(row.slot)}: {end.status}" + (f", {end.reason}" if end.reason else "")
        message += f"; log {row.log}" if end.status in (Status.FAILED, Status.UNKNOWN) else ""
        if not kept:
            self._events.warning("not_ours", f"{message}; another process has taken the slot over", **fields)
            return
        if delay is not None:
            message += f"; attempt {row.attempts + 1} in {delay:g} s"
        level = {Status.SUCCESS: "INFO", Status.INTERRUPTED: "WARNING"}.get(end.status, "ERROR")
        level = "WARNING" if delay is not None else level
        if end.status == Status.SUCCESS and code_of(end.reason) not in (None, SlotReason.OBSERVED):
            level = "WARNING"
            message += f"; {ELSEWHERE}" if code_of(end.reason) == SlotReason.NOTHING_RUN else ""
        self._events.tell(level, "ended", message, **fields, status=end.status, reason=end.reason, log=row.log)

    def _check_times(self, live: LiveRun) -> None:
        now, spec = self._ledger.clock.monotonic(), live.item.spec
        if live.kill_at is not None:
            if now >= live.kill_at:
                live.kill_at = now + self._kill_after
                live.ask("kill")
                signal_orphan(*live.orphan, signal.SIGKILL)
        elif spec.timeout_seconds is not None and now - live.since >= spec.timeout_seconds:
            self.stop(live, said(SlotReason.TIMEOUT, seconds=spec.timeout_seconds))
        took = now - live.since
        if spec.max_duration_seconds is not None and not live.row.overdue and took >= spec.max_duration_seconds:
            message = f"{live.row.item} {iso(live.row.slot)}: runs for more than {spec.max_duration_seconds:g} s"
            with self._ledger.transaction("slot overdue"):
                new = self._slots.update(live.row, overdue=1)
            if new:
                fields = {"item": live.row.item, "slot": iso(live.row.slot), "run_id": live.row.run_id}
                self._events.warning("overdue", message, **fields)
            live.row = self._slots.find(live.row.item, live.row.slot) or live.row

    def check_late(self, find: "Callable[[str], Item | None]") -> None:
        """Warn, once each, of slots that have not ended by `deadline` or `late_after_seconds`, waiting included; those
        asked for by hand, long after their time as a rule, are never late.
        """
        now = self._ledger.clock.now_ms()
        for row in self._slots.active():
            item = find(row.item)
            if item is None or row.late or row.trigger in BY_HAND:
                continue
            late = late_at(item, row.slot)
            if late is None or now < late[0]:
                continue
            with self._ledger.transaction("slot late"):
                new = self._slots.note_late(row, late[1])
            if new:
                message = f"{row.item} {iso(row.slot)}: {late[1]}"
                self._events.warning("late", message, item=row.item, slot=iso(row.slot), run_id=row.run_id)
            if (live := self.find(row)) is not None:
                live.row = self._slots.find(row.item, row.slot) or live.row

    # Stopping

    def stop(self, live: LiveRun, reason: Reason, *, drained: bool = False) -> None:
        """Ask a run to stop; it is killed if it does not. Further calls do nothing."""
        if live.kill_at is None:
            live.stopped, live.drained = reason, drained
            live.kill_at = self._ledger.clock.monotonic() + self._kill_after
            live.ask("terminate")
            signal_orphan(*live.orphan, signal.SIGTERM)
            message = f"{live.row.item} {iso(live.row.slot)}: being stopped, {reason}"
            self._events.warning("stopping", message, item=live.row.item, run_id=live.row.run_id)

    def obey(self) -> None:
        """Stop the runs whose slots another process has marked as replaced by a later slot."""
        for live in self.live:
            if live.kill_at is None and live.item.spec.overlap == "kill_old":
                row = self._slots.find(live.row.item, live.row.slot)
                if row is not None and row.why is not None and row.reason_code == SlotReason.REPLACED:
                    self.stop(live, row.why)

    def restart_forgotten(self, rows: list[SlotRow]) -> bool:
        """Make RUNNING slots of this process without a run WAITING again; they remain after a failed write."""
        mine = [row for row in rows if row.status == Status.RUNNING and row.owner == self._ledger.me]
        lost = [row for row in mine if self.find(row) is None]
        if lost:
            with self._ledger.transaction("slot forgotten"):
                for row in lost:
                    why = said(SlotReason.NOT_STARTED)
                    self._slots.end_attempt(row, Status.INTERRUPTED, why, None)
                    resumes = columns(said(SlotReason.RESUMES, why=why))
                    self._slots.update(row, status=Status.WAITING, **resumes, owner=None)
        return bool(lost)

    def reap_only(self) -> None:
        """Forget what has ended, without a word in the ledger: another scheduler has taken the slots over."""
        self.live = [live for live in self.live if live.end(self.truth) is None]
