"""Running slots: started when their turn has come, watched, ended; every step of it in the ledger."""

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aetherflow.core.errors import AetherflowError
from aetherflow.scheduler.clock import iso
from aetherflow.scheduler.events import Events
from aetherflow.scheduler.launchers import Launcher, Outcome, Running, load_launcher
from aetherflow.scheduler.launchers.subprocess import signal_orphan
from aetherflow.scheduler.ledger.records import SlotRow
from aetherflow.scheduler.ledger.slots import Slots
from aetherflow.scheduler.ledger.store import Ledger
from aetherflow.scheduler.orders import log_of, order_for
from aetherflow.scheduler.outcomes import End, retries, settle_end
from aetherflow.scheduler.policy import Status
from aetherflow.scheduler.turns import BY_HAND, Turn, Turns, by_item

if TYPE_CHECKING:
    from aetherflow.scheduler.schedule import Item, Schedule

KILL_AFTER_SECONDS = 12.0
"""From SIGTERM to SIGKILL, where AETHERFLOW_STOP_GRACE_SECONDS is not higher: a run has 8 seconds by itself."""
REPLACED = "replaced by the slot"
LOOK_SECONDS = 1.0
"""Between two looks at what waits, while nothing tells of a change."""


def kill_after_seconds() -> float:
    """From SIGTERM to SIGKILL: a little more than the time that a run gives its step."""
    try:
        grace = float(os.environ.get("AETHERFLOW_STOP_GRACE_SECONDS") or 0)
    except ValueError:
        grace = 0.0
    return max(KILL_AFTER_SECONDS, grace + 4)


@dataclass(slots=True, eq=False)
class Live:
    """A run of this process."""

    row: SlotRow
    item: "Item"
    running: Running
    since: float
    """Of the monotonic clock."""
    orphan: tuple[int | None, str | None] = (None, None)
    """A process of the same run that an earlier scheduler left, which this one waits for."""
    stopped: str | None = None
    """Why it is being ended."""
    drained: bool = False
    kill_at: float | None = None


class Dispatcher:
    """The runs of this process, and the waiting slots that it may start.

    `only_mine`: no other slots than those that this process keeps for itself.
    """

    def __init__(
        self,
        ledger: Ledger,
        schedule: "Schedule",
        events: Events,
        *,
        only_mine: bool = False,
        launchers: Callable[[str], Launcher] = load_launcher,
    ) -> None:
        self._ledger = ledger
        self._events = events
        self._only_mine = only_mine
        self._launchers = launchers
        self._kill_after = kill_after_seconds()
        self._slots = Slots(ledger)
        self.live: list[Live] = []
        self.started: dict[tuple[str, int], None] | None = None
        """The slots that this process has started, where somebody wants to know."""
        self._unnoted: list[Live] = []
        self._changed = True
        self._seen = -1
        self._look_at = 0.0
        self._again: int | None = None
        self._waiting = False
        self.use(schedule)

    def use(self, schedule: "Schedule") -> None:
        """Go by another schedule from now on; what runs goes on as it began."""
        self._schedule = schedule
        self._turns = Turns(self._ledger, schedule)
        self._changed = True

    def changed(self) -> None:
        """Something was entered: look at what waits."""
        self._changed = True

    def step(self, *, start: bool = True) -> None:
        """One pass: what has ended, what takes too long, what may start. Raises StateError; then ask again later."""
        for live in list(self.live):
            self._watch(live)
        if start and self._has_changed():
            self._changed = False
            try:
                self._obey()
                self._start_waiting()
                self._note_processes()
            except BaseException:
                self._changed = True
                raise

    def _has_changed(self) -> bool:
        now = self._ledger.clock.monotonic()
        if (seen := self._ledger.changes()) != self._seen:
            self._seen = seen
            return True
        if self._changed:
            return True
        if not self._waiting or now < self._look_at:
            return False
        self._look_at = now + LOOK_SECONDS
        return self._again is not None and self._ledger.clock.now_ms() >= self._again

    @property
    def waiting(self) -> bool:
        """Whether slots wait that this process may start."""
        return self._waiting

    # Starting

    def _start_waiting(self) -> None:
        active = self._slots.active()
        items = by_item(active)
        room = self._turns.room()
        self._waiting, self._again = False, None
        for row in sorted(active, key=lambda row: (not row.begun, row.slot, row.item)):
            if row.status != Status.WAITING or not self._is_free(row):
                continue
            self._waiting = True
            turn = self._turns.judge(row, items[row.item], room)
            if turn.action == "wait":
                if turn.again is not None:
                    self._again = turn.again if self._again is None else min(self._again, turn.again)
                continue
            self._act(row, turn)
            items[row.item] = self._slots.active_of(row.item)
            room = self._turns.room()
        self._look_at = self._ledger.clock.monotonic() + LOOK_SECONDS

    def _is_free(self, row: SlotRow) -> bool:
        if row.owner == self._ledger.me:
            return True
        return not self._only_mine and self._ledger.is_gone(row.owner)

    def _act(self, row: SlotRow, turn: Turn) -> None:
        """Do what was decided, if it still holds inside the transaction."""
        started: SlotRow | None = None
        stop: list[SlotRow] = []
        with self._ledger.transaction(f"slot {turn.action}"):
            found = self._slots.find(row.item, row.slot)
            if found is None or found.status != Status.WAITING or not self._is_free(found):
                return
            others = self._slots.active_of(row.item)
            turn = self._turns.judge(found, others, self._turns.room())
            if turn.action == "start":
                log = log_of(self._ledger.side, found.item, found.run_id, found.attempts + 1)
                started = self._slots.begin(found, found.trigger, str(log))
                self._space(found, others)
            elif turn.action == "replace":
                stop = self._replace(found, others)
            elif turn.action != "wait":
                self._drop(found, turn)
        self._changed = True
        for other in stop:
            self._stop_row(other, f"{REPLACED} {iso(row.slot)}")
        if started is not None:
            if self.started is not None:
                self.started[row.item, row.slot] = None
            self._launch(started, (found.pid, found.birth))
        elif turn.action in ("skip", "drop"):
            message = f"{row.item} {iso(row.slot)}: {turn.reason}"
            self._events.warning("skipped", message, item=row.item, slot=iso(row.slot), reason=turn.reason)

    def _drop(self, row: SlotRow, turn: Turn) -> None:
        left_out = Status.SKIPPED if turn.action == "skip" else Status.MISSED
        status = Status.INTERRUPTED if row.begun else left_out
        now = self._ledger.clock.now_ms()
        self._slots.update(row, status=status, reason=turn.reason, finished_at=now, owner=None)

    def _space(self, row: SlotRow, others: list[SlotRow]) -> None:
        """Keep the catch-up runs behind this one apart, also where they waited for longer than their spacing."""
        item = self._turns.item(row.item)
        if item is None or not row.queued or row.begun or row.trigger in BY_HAND:
            return
        now, spacing = self._ledger.clock.now_ms(), round(item.spec.spacing_seconds * 1000)
        behind = [each for each in others if each.status == Status.WAITING and each.queued and each.slot > row.slot]
        for number, other in enumerate(sorted(behind, key=lambda each: each.slot), 1):
            if spacing and (other.not_before or 0) < (earliest := now + number * spacing):
                self._slots.update(other, not_before=earliest, waits_since=now)

    def _replace(self, row: SlotRow, others: list[SlotRow]) -> list[SlotRow]:
        """End the slots before this one; those that run are stopped by the caller."""
        now, reason = self._ledger.clock.now_ms(), f"{REPLACED} {iso(row.slot)}"
        for other in others:
            if other.status == Status.WAITING and other.slot < row.slot and self._is_free(other):
                status = Status.FAILED if other.begun else Status.SKIPPED
                self._slots.update(other, status=status, reason=reason, finished_at=now, owner=None)
        running = [other for other in others if other.status == Status.RUNNING]
        for other in running:
            if other.owner != self._ledger.me and other.reason is None:
                self._slots.update(other, reason=reason)  # its own process reads that
        return running

    def _launch(self, row: SlotRow, orphan: tuple[int | None, str | None]) -> None:
        item = self._turns.item(row.item)
        assert item is not None  # noqa: S101 it was judged
        fields = {"item": row.item, "slot": iso(row.slot), "run_id": row.run_id, "attempt": row.attempts}
        try:
            log = log_of(self._ledger.side, row.item, row.run_id, row.attempts)
            order = order_for(item, row, self._schedule.path.parent, log)
            running = self._launchers(item.spec.launcher).start(order, self._ledger.clock.wake)
        except (OSError, AetherflowError) as error:
            self._finish(row, item, End(Status.FAILED, f"cannot be started: {error}", 1, retry=True))
            return
        live = Live(row, item, running, self._ledger.clock.monotonic(), orphan)
        self.live.append(live)
        self._unnoted.append(live)
        self._events.info("started", f"{row.item} {iso(row.slot)}: started as {row.run_id}", **fields, pid=running.pid)

    def _note_processes(self) -> None:
        """Write down which processes were started, those of a whole pass at once."""
        if self._unnoted:
            with self._ledger.transaction("slot processes"):
                for live in self._unnoted:
                    self._slots.note_process(live.row, live.running.pid, live.running.birth)
            self._unnoted = []

    # Watching

    def _watch(self, live: Live) -> None:
        outcome = live.running.poll()
        if outcome is None:
            self._check_times(live)
            return
        self._end(live, outcome)

    def _end(self, live: Live, outcome: Outcome) -> None:
        end = settle_end(outcome, live.stopped, drained=live.drained)
        self._finish(live.row, live.item, end)
        self.live.remove(live)

    def _finish(self, row: SlotRow, item: "Item", end: End) -> None:
        failures = row.failures + (end.status == Status.FAILED)
        delay = retries(item.spec, failures) if end.retry else None
        fields = {"item": row.item, "slot": iso(row.slot), "run_id": row.run_id, "attempt": row.attempts}
        into: dict[str, Any] = {"failures": failures}
        if delay is not None:
            now = self._ledger.clock.now_ms()
            into |= {"status": Status.WAITING, "reason": f"retry after: {end.reason}", "finished_at": None}
            into |= {"owner": self._ledger.me, "waits_since": now, "not_before": now + round(delay * 1000)}
        try:
            with self._ledger.transaction(f"slot {end.status}"):
                kept = self._slots.end(row, end.status, end.reason, end.exit_code, into)
        finally:
            self._changed = True
        message = f"{row.item} {iso(row.slot)}: {end.status}" + (f", {end.reason}" if end.reason else "")
        message += f"; log {row.log}" if end.status in (Status.FAILED, Status.UNKNOWN) else ""
        if not kept:
            self._events.warning("not_ours", f"{message}; another process has taken the slot over", **fields)
            return
        if delay is not None:
            message += f"; attempt {row.attempts + 1} in {delay:g} s"
        level = "INFO" if end.status == Status.SUCCESS else "ERROR"
        self._events.tell(level, "ended", message, **fields, status=end.status, reason=end.reason, log=row.log)

    def _check_times(self, live: Live) -> None:
        now, spec = self._ledger.clock.monotonic(), live.item.spec
        if live.kill_at is not None:
            if now >= live.kill_at:
                live.kill_at = now + self._kill_after
                live.running.kill()
                signal_orphan(*live.orphan, signal.SIGKILL)
        elif spec.timeout_seconds is not None and now - live.since >= spec.timeout_seconds:
            self.stop(live, f"timeout: it ran for more than {spec.timeout_seconds:g} s")
        took = now - live.since
        if spec.max_duration_seconds is not None and not live.row.overdue and took >= spec.max_duration_seconds:
            message = f"{live.row.item} {iso(live.row.slot)}: runs for more than {spec.max_duration_seconds:g} s"
            self._mark(live.row, "overdue", message)
            live.row = self._slots.find(live.row.item, live.row.slot) or live.row

    def _mark(self, row: SlotRow, flag: str, message: str) -> None:
        with self._ledger.transaction(f"slot {flag}"):
            new = self._slots.update(row, **{flag: 1})
        if new:
            self._events.warning(flag, message, item=row.item, slot=iso(row.slot), run_id=row.run_id)

    def check_late(self) -> None:
        """Warn, once each, of slots that take longer than `late_after_seconds`, waiting included."""
        now = self._ledger.clock.now_ms()
        for row in self._slots.active():
            item = self._turns.item(row.item)
            limit = item.spec.late_after_seconds if item is not None else None
            if limit is None or row.late or now < row.slot + limit * 1000:
                continue
            self._mark(row, "late", f"{row.item} {iso(row.slot)}: has not ended {limit:g} s after its slot")
            for live in self.live:
                if (live.row.item, live.row.slot) == (row.item, row.slot):
                    live.row = self._slots.find(row.item, row.slot) or live.row

    # Stopping

    def stop(self, live: Live, reason: str, *, drained: bool = False) -> None:
        """Ask a run to stop, once; it is killed if it does not."""
        if live.kill_at is None:
            live.stopped, live.drained = reason, drained
            live.kill_at = self._ledger.clock.monotonic() + self._kill_after
            live.running.terminate()
            signal_orphan(*live.orphan, signal.SIGTERM)
            message = f"{live.row.item} {iso(live.row.slot)}: being stopped, {reason}"
            self._events.warning("stopping", message, item=live.row.item, run_id=live.row.run_id)

    def _stop_row(self, row: SlotRow, reason: str) -> None:
        live = next((live for live in self.live if (live.row.item, live.row.slot) == (row.item, row.slot)), None)
        if live is not None:
            self.stop(live, reason)

    def _obey(self) -> None:
        """Stop the runs that another process, which can signal nothing here, has replaced by a later slot."""
        for live in self.live:
            if live.kill_at is None and live.item.spec.overlap == "kill_old":
                row = self._slots.find(live.row.item, live.row.slot)
                if row is not None and (row.reason or "").startswith(REPLACED):
                    self.stop(live, row.reason or REPLACED)

    def reap_only(self) -> None:
        """Forget what has ended, without a word in the ledger: another scheduler has taken the slots over."""
        self.live = [live for live in self.live if live.running.poll() is None]
