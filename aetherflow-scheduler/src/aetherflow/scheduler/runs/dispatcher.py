"""Starts waiting slots when they may run; every step is recorded in the ledger before it is done."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from aetherflow.core.embedding import iso
from aetherflow.scheduler.launchers import Launcher, Running, load_launcher
from aetherflow.scheduler.ledger.records import SlotRow
from aetherflow.scheduler.ledger.slots import Slots
from aetherflow.scheduler.ledger.store import Ledger
from aetherflow.scheduler.ledger.truth import truth_of
from aetherflow.scheduler.reasons import Reason, SlotReason, columns, said
from aetherflow.scheduler.runs.adoption import release
from aetherflow.scheduler.runs.dependants import Dependants
from aetherflow.scheduler.runs.events import Events
from aetherflow.scheduler.runs.healing import reread
from aetherflow.scheduler.runs.run_requests import log_of, request_for
from aetherflow.scheduler.runs.start_decisions import StartDecision, StartDecisions, by_item
from aetherflow.scheduler.runs.watching import LiveRun, Watch, fault_end
from aetherflow.scheduler.schedule.policy import BY_HAND, Status
from aetherflow.scheduler.schedule.slots import may_be_late

if TYPE_CHECKING:
    from aetherflow.scheduler.schedule.schedule import Schedule

LOOK_SECONDS = 1.0
"""Interval of the checks of waiting slots while the ledger does not change."""


class Dispatcher:
    """Starts the waiting slots that this process may start, and watches its runs.

    `only_mine`: start only slots that this process has reserved.
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
        self._slots = Slots(ledger)
        self._watch = Watch(ledger, events)
        self.started: dict[tuple[str, int], None] | None = None
        """The slots that this process has started; None: not recorded."""
        self._changed = True
        self._seen: object = None
        self._look_at = 0.0
        self._again: int | None = None
        self._waiting = False
        self.use(schedule)

    def use(self, schedule: "Schedule") -> None:
        """Replace the schedule; runs that have started keep their item."""
        self._schedule = schedule
        self._decisions = StartDecisions(self._ledger, schedule, only_mine=self._only_mine)
        self._may_be_late = any(map(may_be_late, schedule.items))
        self._watch.truth, self._watch.dependants = truth_of(schedule), Dependants(self._ledger, schedule.items)
        self._changed = True

    def changed(self) -> None:
        """Make the next step check the waiting slots."""
        self._changed = True

    @property
    def live(self) -> list[LiveRun]:
        """The runs of this process that have not ended."""
        return self._watch.live

    def stop(self, live: LiveRun, reason: Reason, *, drained: bool = False) -> None:
        """Ask a run to stop; it is killed if it does not. Further calls do nothing."""
        self._watch.stop(live, reason, drained=drained)

    def reap_only(self) -> None:
        """Drop ended runs without writing to the ledger: another scheduler has taken over the slots."""
        self._watch.reap_only()

    def reread(self, rows: Sequence[SlotRow] | None = None, *, quick: bool = False) -> None:
        """Let slots be what their runs have become since they ended: all that did not succeed, or some."""
        if reread(self._ledger, self._watch.truth, self._watch.dependants, self._events, rows, quick=quick):
            self._changed = True

    def wake(self, items: Collection[str] | None = None) -> None:
        """Let those wait again that were skipped for a slot which has succeeded since, of some items or of all."""
        if held := self._slots.held():
            self.reread(held, quick=True)  # first: one that was made up for by hand does not run again
        if self._watch.dependants.wake(self._decisions, self._events, items):
            self._changed = True

    def release(self) -> None:
        """Release the slots of dead processes, which would hold up others."""
        if release(self._ledger, self._events, self._watch.truth):
            self._changed = True

    def check_late(self) -> None:
        """Warn once for each slot that has not ended by `deadline` or `late_after_seconds`, waiting included."""
        if self._may_be_late:  # asked once a second: most schedules have no deadline
            self._watch.check_late(self._decisions.item)

    def step(self, *, start: bool = True) -> None:
        """Record ended runs, stop runs past their limit, and start slots. After a StateError, call it again later."""
        before = len(self.live)
        try:
            self._watch.look()
        finally:
            self._changed = self._changed or len(self.live) < before
        if start and self._has_changed():
            self._changed = False
            try:
                self._watch.obey()
                self._start_waiting()
                self._watch.note_processes()
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
        """Whether there are waiting slots that this process may start."""
        return self._waiting

    # Starting

    def _start_waiting(self) -> None:
        active = self._slots.active()
        if self._watch.restart_forgotten(active):
            active = self._slots.active()
        items, told = by_item(active), list[tuple[SlotRow, Reason | None]]()
        room = self._decisions.room()
        self._waiting, self._again = False, None
        for row in sorted(active, key=lambda row: (not row.begun, row.slot, row.item)):
            if row.status != Status.WAITING or not self._is_free(row):
                continue
            self._waiting = True
            decision = self._decisions.judge(row, items[row.item], room)
            if decision.action == "wait":
                if decision.again is not None:
                    self._again = decision.again if self._again is None else min(self._again, decision.again)
                if columns(decision.reason) != columns(row.why):  # written only where it says something else
                    told.append((row, decision.reason))
                continue
            self._act(row, decision)
            items[row.item] = self._slots.active_of(row.item)
            room = self._decisions.room()
        if told:
            with self._ledger.transaction("slot reasons"):
                for row, reason in told:
                    self._slots.update(row, **columns(reason))
            self._tell_waiting(told)
        self._look_at = self._ledger.clock.monotonic() + LOOK_SECONDS

    def _tell_waiting(self, told: list[tuple[SlotRow, Reason | None]]) -> None:
        """Report why slots wait, if a command runs its own slots in the foreground."""
        for row, reason in told:
            if self._only_mine and reason:
                message = f"{row.item} {iso(row.slot)}: waits; {reason}"
                self._events.info("waits", message, item=row.item, slot=iso(row.slot), reason=reason)

    def _is_free(self, row: SlotRow) -> bool:
        if row.owner == self._ledger.me:
            return True
        return not self._only_mine and self._ledger.is_gone(row.owner)

    def _act(self, row: SlotRow, decision: StartDecision) -> None:
        """Judge the slot again inside a transaction, and do what is decided there."""
        started: SlotRow | None = None
        stop: list[SlotRow] = []
        with self._watch.noting(f"slot {decision.action}"):
            found = self._slots.find(row.item, row.slot)
            if found is None or found.status != Status.WAITING or not self._is_free(found):
                return
            others = self._slots.active_of(row.item)
            decision = self._decisions.judge(found, others, self._decisions.room())
            if decision.action == "start":
                log = log_of(self._ledger.side, found.item, found.run_id, found.attempts + 1)
                started = self._slots.begin(found, found.trigger, str(log))
                self._space(found, others)
            elif decision.action == "replace":
                stop = self._replace(found, others)
            elif decision.action != "wait":
                self._drop(found, decision)
        self._changed = True
        for other in stop:
            if (live := self._watch.find(other)) is not None:
                self.stop(live, said(SlotReason.REPLACED, slot=iso(row.slot)))
        if started is not None:
            if self.started is not None:
                self.started[row.item, row.slot] = None
            here = found.host == self._ledger.host  # elsewhere the process id is that of another process
            self._launch(started, (found.pid, found.birth) if here else (None, None))
        elif decision.action in ("skip", "drop"):
            message = f"{row.item} {iso(row.slot)}: {decision.reason}"
            self._events.warning("skipped", message, item=row.item, slot=iso(row.slot), reason=decision.reason)

    def _drop(self, row: SlotRow, decision: StartDecision) -> None:
        left_out = Status.SKIPPED if decision.action == "skip" else Status.MISSED
        status = Status.INTERRUPTED if row.begun else left_out
        now = self._ledger.clock.now_ms()
        self._slots.update(row, status=status, **columns(decision.reason), finished_at=now, owner=None)

    def _space(self, row: SlotRow, others: list[SlotRow]) -> None:
        """Delay the catch-up runs behind this one by their spacing, even if they have waited longer than that."""
        item = self._decisions.item(row.item)
        if item is None or not row.queued or row.begun or row.trigger in BY_HAND:
            return
        now, spacing = self._ledger.clock.now_ms(), round(item.spec.spacing_seconds * 1000)
        behind = [each for each in others if each.status == Status.WAITING and each.queued and each.slot > row.slot]
        for number, other in enumerate(sorted(behind, key=lambda each: each.slot), 1):
            if spacing and (other.not_before or 0) < (earliest := now + number * spacing):
                self._slots.update(other, not_before=earliest, waits_since=now)

    def _replace(self, row: SlotRow, others: list[SlotRow]) -> list[SlotRow]:
        """End the earlier waiting slots; returns the running ones, which the caller must stop."""
        now, why = self._ledger.clock.now_ms(), columns(said(SlotReason.REPLACED, slot=iso(row.slot)))
        held = self._decisions.held(row.item, others)
        for other in others:
            ahead = other.status == Status.WAITING and other.slot < row.slot and other.slot not in held
            if ahead and self._is_free(other):
                status = Status.FAILED if other.begun else Status.SKIPPED
                self._slots.update(other, status=status, **why, finished_at=now, owner=None)
        running = [other for other in others if other.status == Status.RUNNING]
        for other in running:
            if other.owner != self._ledger.me and other.reason_code is None:
                self._slots.update(other, **why)  # its own process reads that
        return running

    def _launch(self, row: SlotRow, orphan: tuple[int | None, str | None]) -> None:
        item = self._decisions.item(row.item)
        assert item is not None  # noqa: S101 it was judged
        fields = {"item": row.item, "slot": iso(row.slot), "run_id": row.run_id, "attempt": row.attempts}
        try:
            log = log_of(self._ledger.side, row.item, row.run_id, row.attempts)
            request = request_for(item, row, self._schedule.path.parent, log)
            request = replace(request, schedule=str(self._schedule.path), generation=row.attempts)
            running = self._launchers(item.spec.launcher).start(request, self._ledger.clock.wake)
            if not isinstance(running, Running):
                raise TypeError(f"start() gave {type(running).__name__}, not a Running")
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a plugin's fault is that of its slot alone
            end = fault_end(error, item.spec.launcher, row)
            self._watch.finish(row, item, replace(end, reason=said(SlotReason.CANNOT_START, error=end.reason)))
            return
        self._watch.add(row, item, running, orphan)
        self._events.info("started", f"{row.item} {iso(row.slot)}: started as {row.run_id}", **fields, pid=running.pid)
