"""One pass over a schedule, for hosts where cron calls `tick` and no scheduler runs: starts what is due."""

from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aetherflow.scheduler.ledger.document_owner import check_owner
from aetherflow.scheduler.ledger.records import SlotRow
from aetherflow.scheduler.loop.planning import Planner
from aetherflow.scheduler.loop.session import session
from aetherflow.scheduler.runs.adoption import adopt, resume_interrupted
from aetherflow.scheduler.runs.forewarning import Forewarning
from aetherflow.scheduler.schedule.policy import Status

if TYPE_CHECKING:
    from aetherflow.core.embedding import Holder
    from aetherflow.scheduler.ledger.store import Ledger
    from aetherflow.scheduler.runs.events import Events
    from aetherflow.scheduler.schedule.schedule import Schedule
    from aetherflow.scheduler.time.clock import Clock

BAD = (Status.FAILED, Status.UNKNOWN, Status.INTERRUPTED)


@dataclass(frozen=True, slots=True)
class TickResult:
    """The result of one pass."""

    rows: list[SlotRow]
    """The slots that this process started."""
    waiting: list[SlotRow]
    """Slots that still wait; the next pass starts them."""
    leader: "Holder | None" = None
    """The leading scheduler, if there is one; then the pass did nothing."""
    signal: int | None = None

    @property
    def exit_code(self) -> int:
        """1 if a slot failed or was stopped; 128 + n if signal n has left something undone."""
        undone = self.waiting or any(row.active or row.status == Status.INTERRUPTED for row in self.rows)
        if self.signal is not None and undone:
            return 128 + self.signal
        return int(any(row.status in BAD for row in self.rows))


def tick(
    schedule: "Schedule",
    *,
    items: Sequence[str] = (),
    wait: bool = False,
    take_over: bool = False,
    quiet: bool = False,
    clock: "Clock | None" = None,
    events: "Events | None" = None,
) -> TickResult:
    """Do one pass. Does nothing while a scheduler runs on the same ledger.

    `items`: look only at what is due of these; something else triggers the others. `take_over`: items of another
    document have been removed.

    What cannot start, for want of room or because another pass runs the slot before, waits for the next pass; with
    `wait`, this one stays until nothing of its items waits, or another process sees to it.
    """
    from aetherflow.scheduler.ledger.leader import current_leader

    with session(schedule, "tick", only_mine=False, quiet=quiet, clock=clock, events=events) as here:
        leader = current_leader(here.ledger)
        if leader is not None:
            here.events.info("led", f"nothing done: the scheduler with pid {leader.pid} on {leader.host} runs")
            return TickResult([], [], leader)
        if not take_over:
            check_owner(here.ledger, schedule.path, schedule.enabled)
        here.dispatcher.reread(quick=True)
        adopt(here.ledger, here.events, leading=False)
        resume_interrupted(here.ledger, here.events, drained_only=True)
        chosen = [schedule.item(name) for name in items] or schedule.items
        planner = Planner(here.ledger, chosen, here.events, trigger="tick", file=schedule.path)
        planner.sync(whole=not items)
        if planner.plan():
            here.dispatcher.reread(quick=True)  # a slot that a person has made up for is not reported as missed
        names, fence = {item.id for item in chosen}, here.ledger.fence()
        here.dispatcher.wake(names)
        Forewarning(here.ledger).look(schedule, here.events)

        def goes_on() -> bool:
            rows = here.slots.active()
            if any(row.owner == here.ledger.me for row in rows):  # it waits for its next attempt
                return True
            # a scheduler that takes the lead meanwhile takes what waits
            return wait and here.ledger.fence() == fence and any(_is_free(here.ledger, row, names) for row in rows)

        here.work(goes_on)
        started = here.dispatcher.started or {}
        rows = [row for item, slot in started if (row := here.slots.find(item, slot)) is not None]
        waiting = [row for row in here.slots.active() if row.status == Status.WAITING]
        return TickResult(rows, waiting, signal=here.stop.signal)


def _is_free(ledger: "Ledger", row: SlotRow, names: Container[str]) -> bool:
    """Whether a slot belongs to one of the items, waits, and has no living owner."""
    return row.item in names and row.status == Status.WAITING and ledger.is_gone(row.owner)
