"""The state of a schedule: the leader, and for each item its last run, next slot, and waiting and late slots."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aetherflow.core.embedding import Holder
from aetherflow.scheduler.audit.late import Late, late_heartbeats, late_runs
from aetherflow.scheduler.audit.needs import Need, needs_of, released
from aetherflow.scheduler.forecast.estimating import Estimates, UsualTime
from aetherflow.scheduler.ledger.acts import Acts, SlotAct
from aetherflow.scheduler.ledger.epochs import Epochs, Pauses
from aetherflow.scheduler.ledger.leader import current_leader
from aetherflow.scheduler.ledger.pruning import pruned_until
from aetherflow.scheduler.ledger.records import Pause, SlotRow
from aetherflow.scheduler.ledger.slots import Slots
from aetherflow.scheduler.ledger.store import Ledger
from aetherflow.scheduler.ledger.truth import truth_of
from aetherflow.scheduler.schedule.policy import Status
from aetherflow.scheduler.schedule.slots import Slot, next_slot
from aetherflow.scheduler.time.clock import from_ms, to_ms

if TYPE_CHECKING:
    from aetherflow.scheduler.schedule.schedule import Item, Schedule


@dataclass(frozen=True, slots=True)
class ItemStatus:
    """The state of one item: its last slots, the next one, its active slots, and whether it is paused."""

    item: "Item"
    last: SlotRow | None
    """The slot that was started last."""
    latest: SlotRow | None
    """The latest slot in the ledger, started or not."""
    next: int | None
    """Its next slot to come."""
    due: int | None
    """The first slot whose time has come and that is not in the ledger yet."""
    pause: Pause | None
    active: list[SlotRow]
    """Its WAITING and RUNNING slots."""
    seen: bool
    """False until `run`, `tick` or a trigger has first processed the item; it has no expected slots before."""
    held_until: int | None
    """Instant until which nothing starts, because a clock that was ahead pruned slots up to it; None: no such hold."""
    acts: list[SlotAct]
    """Holds and skips of its slots that stand, ordered by slot."""
    usual: UsualTime | None
    """How long the run that goes on, or the next one, usually takes; None while too few runs are known."""

    @property
    def state(self) -> str:
        """One of `disabled`, `running`, `paused`, `waiting` and `idle`; the first that applies."""
        if not self.item.spec.enabled:
            return "disabled"
        if any(row.status == Status.RUNNING for row in self.active):
            return "running"
        if self.pause is not None:
            return "paused"
        return "waiting" if self.active else "idle"

    @property
    def late(self) -> bool:
        """Whether an active slot is marked as late."""
        return any(row.late for row in self.active)


@dataclass(frozen=True, slots=True)
class ScheduleStatus:
    """The state of all items of a schedule, the leader, and the interrupted slots."""

    leader: Holder | None
    items: list[ItemStatus]
    interrupted: list[SlotRow]
    needs: list[Need]
    """The slots that need a person."""
    late: list[Late]
    """The heartbeats that are late."""

    @property
    def waiting(self) -> int:
        return sum(row.status == Status.WAITING for item in self.items for row in item.active)

    @property
    def running(self) -> int:
        return sum(row.status == Status.RUNNING for item in self.items for row in item.active)


def status_of(schedule: "Schedule", ledger: Ledger) -> ScheduleStatus:
    """Look at a ledger, and at the states of runs that did not succeed; reads only."""
    slots, epochs, pauses, truth = Slots(ledger), Epochs(ledger), Pauses(ledger), truth_of(schedule)
    cursors, now = epochs.cursors(), ledger.clock.now_ms()
    seen, held = {epoch.item for epoch in epochs.all()}, {k: at for k, at in pruned_until(ledger).items() if at > now}
    active: dict[str, list[SlotRow]] = {}
    for row in truth.told(slots.active()):
        if row.active:
            active.setdefault(row.item, []).append(row)
    acts, estimates = Acts(ledger).open(), Estimates(schedule, ledger)
    freed = {(row.item, row.slot): row for row in released(ledger, truth, every=True)}

    def as_told(row: SlotRow | None) -> SlotRow | None:
        return None if row is None else freed.get((row.item, row.slot)) or truth.told([row])[0]

    items = []
    for item in schedule.items:
        following = next_slot(item, from_ms(now)) if item.spec.enabled else None
        after = max(cursors.get(item.id, now), now - 86_400_000)
        due = next_slot(item, from_ms(after)) if item.spec.enabled and after < now else None
        items.append(
            ItemStatus(
                item,
                as_told(slots.last_run(item.id)),
                as_told(slots.latest(item.id)),
                to_ms(following.at) if following is not None else None,
                to_ms(due.at) if due is not None and to_ms(due.at) <= now else None,
                pauses.at(item.id, now),
                active.get(item.id, []),
                item.id in seen,
                held.get(item.id),
                [act for act in acts if act.item == item.id],
                estimates.usual(item, _slot_of_interest(active.get(item.id, []), following, now)),
            )
        )
    interrupted = [row for row in truth.told(slots.interrupted()) if row.status == Status.INTERRUPTED]
    needs, late = needs_of(ledger, truth, schedule.path), late_heartbeats(ledger, schedule.path)
    running = (row for rows in active.values() for row in rows if row.status == Status.RUNNING)
    late += late_runs(running, truth)
    return ScheduleStatus(current_leader(ledger), items, interrupted, needs, late)


def _slot_of_interest(active: list[SlotRow], following: Slot | None, now: int) -> int:
    if active:
        return active[0].slot
    return to_ms(following.at) if following is not None else now
