"""Shared by `tick`, `run-item` and `backfill`: a process that runs some slots and ends."""

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from aetherflow.core.api import StateError
from aetherflow.scheduler.ledger.attempt_logs import prune_logs
from aetherflow.scheduler.ledger.known import note_schedule
from aetherflow.scheduler.ledger.places import open_ledger
from aetherflow.scheduler.ledger.records import SlotRow
from aetherflow.scheduler.ledger.run_ids import batch_of
from aetherflow.scheduler.ledger.slots import Slots
from aetherflow.scheduler.ledger.store import Fault, Ledger, fault_of
from aetherflow.scheduler.loop.stopping import StopRequest
from aetherflow.scheduler.reasons import SlotReason, columns, said
from aetherflow.scheduler.runs.dispatcher import Dispatcher
from aetherflow.scheduler.runs.events import Events, events_for
from aetherflow.scheduler.runs.healing import MOST
from aetherflow.scheduler.runs.notifying import Notifier
from aetherflow.scheduler.schedule.policy import Status
from aetherflow.scheduler.time.clock import Clock

if TYPE_CHECKING:
    from aetherflow.scheduler.schedule.schedule import Schedule

LOOK_SECONDS = 0.5
RELEASE_SECONDS = 5.0
"""Interval of the checks for slots whose process has died."""
_OF_ATTEMPT = ("run_id", "status", "reason", "reason_code", "trigger", "host", "finished_at", "exit_code", "log")


class Session:
    """An owner entry in a ledger for this process, with the runs that it starts."""

    def __init__(
        self,
        schedule: "Schedule",
        ledger: Ledger,
        events: Events,
        *,
        only_mine: bool,
        stopped: SlotReason = SlotReason.DRAINED,
    ) -> None:
        self.schedule = schedule
        self.ledger = ledger
        self.events = events
        self.clock = ledger.clock
        self.slots = Slots(ledger)
        self.stop = StopRequest(self.clock)
        self.dispatcher = Dispatcher(ledger, schedule, events, only_mine=only_mine)
        self.dispatcher.started = {}
        self._notifier = Notifier(ledger)
        self._stopped = stopped
        self._fault: Fault | None = None

    def work(self, goes_on: Callable[[], bool]) -> None:
        """Start and watch slots until `goes_on` returns False and no run is left; a signal interrupts the runs."""
        self.dispatcher.changed()
        look_at = 0.0
        while True:
            if self.clock.monotonic() >= look_at and not self.stop.asked:
                look_at = self.clock.monotonic() + RELEASE_SECONDS
                self._guarded(self.dispatcher.release)
            if self.stop.asked:
                for live in self.dispatcher.live:
                    self.dispatcher.stop(live, said(self._stopped), drained=True)
            self._guarded(self._step)
            if not self.dispatcher.live and (self.stop.asked or not goes_on()):
                if self.stop.asked and self._stopped is not SlotReason.DRAINED:
                    self._give_up_waiting()
                return
            self.clock.wait(LOOK_SECONDS)

    def _give_up_waiting(self) -> None:
        """End the waiting slots of this process after a signal, so that no other process starts them."""
        now = self.clock.now_ms()
        with self.ledger.transaction("give up"):
            for row in self.slots.active():
                if row.owner == self.ledger.me and row.status == Status.WAITING:
                    status = Status.INTERRUPTED if row.begun else Status.MISSED
                    given_up: dict[str, Any] = {"status": status, **columns(said(self._stopped)), "finished_at": now}
                    self.slots.update(row, **given_up | self._before(row), owner=None)

    def _before(self, row: SlotRow) -> dict[str, Any]:
        """The columns of a slot's previous result, for a slot that was reopened but not started; else empty."""
        if row.begun or not row.attempts:
            return {}
        starts = self.slots.attempts(row.item, row.slot)
        last = starts[-1]
        if last.finished_at is None:
            return {}
        own = [each for each in starts if each.run_id == last.run_id]
        found = {name: getattr(last, name) for name in _OF_ATTEMPT}
        return found | {"batch": batch_of(last.run_id), "started_at": own[0].started_at, "queued": 0}

    def reread(self, item: str, first: int, last: int | None = None) -> None:
        """Let the slots of an item be what their runs have become since they ended: those that did not succeed, and
        those in [first, last], whatever they are.
        """
        asked = self.slots.between(item, first, first if last is None else last)
        known = {row.slot: row for row in self.slots.unwell(MOST, item)}
        self.dispatcher.reread(list((known | asked).values()))

    def _step(self) -> None:
        self.dispatcher.step(start=not self.stop.asked)
        self.dispatcher.check_late()
        self.tell()

    def begin_notifying(self) -> None:
        """Before anything is started."""
        self._notifier.begin(self.schedule)

    def tell(self) -> None:
        """Start the sender of notifications."""
        self._notifier.look(self.schedule)

    def wait_for_sender(self) -> None:
        """Give a sender that was started some time."""
        self._notifier.wait()

    def _guarded(self, work: Callable[[], None]) -> None:
        """Call `work`; while a run is live, a StateError is reported once and tried again instead of raised."""
        try:
            work()
        except StateError as error:
            if not self.dispatcher.live:
                raise
            if self._fault != (fault := fault_of(error)):
                self._fault = fault
                self.events.error("ledger_error", f"{error}; trying again", fix=error.fix)

    def tidy(self) -> None:
        """Delete old logs of the items that this process started."""
        prune_logs(self.ledger.side, items={item for item, _ in self.dispatcher.started or ()})


@contextlib.contextmanager
def session(
    schedule: "Schedule",
    kind: str,
    *,
    only_mine: bool,
    stopped: SlotReason = SlotReason.DRAINED,
    waits: bool = False,
    quiet: bool = False,
    clock: Clock | None = None,
    events: Events | None = None,
) -> Iterator[Session]:
    """Enter the ledger of a schedule as `kind` for a `with` block; signals become requests to stop.

    `stopped` is the reason recorded for slots that a signal interrupts. `waits`: the starter of this process ends what
    it leaves behind, so that a sender is given some time first.
    """
    told = events or events_for(schedule.path.parent, quiet=quiet)
    ledger = open_ledger(schedule, clock or Clock())
    try:
        found = Session(schedule, ledger, told, only_mine=only_mine, stopped=stopped)
        with found.stop.handling_signals():
            ledger.enter(kind)
            if (warning := note_schedule(schedule)) is not None:
                told.warning("not_noted", warning)
            found.begin_notifying()
            try:
                yield found
                found.tidy()
                found.tell()
                if waits:
                    found.wait_for_sender()
            finally:
                ledger.leave()
    finally:
        ledger.close()
