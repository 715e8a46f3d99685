"""Holds, skips and releases one slot: which one is meant, and whether that can be done to it."""

import shlex
from typing import TYPE_CHECKING, Any

from aetherflow.core.api import UsageError
from aetherflow.core.embedding import iso
from aetherflow.scheduler.ledger.acts import Acts, SlotAct, SlotVerb
from aetherflow.scheduler.ledger.epochs import Epochs
from aetherflow.scheduler.ledger.leader import current_leader
from aetherflow.scheduler.ledger.records import SlotRow
from aetherflow.scheduler.ledger.slots import Slots
from aetherflow.scheduler.ledger.store import Ledger
from aetherflow.scheduler.reasons import SlotReason, columns
from aetherflow.scheduler.schedule.policy import Status
from aetherflow.scheduler.schedule.slots import last_slot, next_slot
from aetherflow.scheduler.time.clock import from_ms, to_ms

if TYPE_CHECKING:
    from aetherflow.scheduler.schedule.schedule import Item, Schedule

_ASKS = (Status.UNKNOWN, Status.INTERRUPTED)


def act_on(
    ledger: Ledger,
    schedule: "Schedule",
    item: "Item",
    verb: SlotVerb,
    slot: int | None,
    reason: str,
    until: int | None,
) -> tuple[SlotAct, str | None]:
    """Hold, skip or release a slot of an item, or with None the next one; returns the act and the status of the slot.

    The status is None while the slot is not in the ledger. Raises UsageError where that cannot be done.
    """
    with ledger.transaction(f"slot {verb}"):
        asked = _Asked(ledger, schedule, item)
        at = slot if slot is not None else asked.next_released() if verb == SlotVerb.RELEASE else asked.next_open(verb)
        row = Slots(ledger).find(item.id, at)
        if verb == SlotVerb.RELEASE:
            asked.require_act(at, row)
        else:
            asked.require_open(at, row)
            _require_later(at, until, ledger.clock.now_ms())
        act = Acts(ledger).write(verb, item.id, at, reason, until)
        return act, None if row is None else _let_be(ledger, row, act)


def started_by(ledger: Ledger, schedule: "Schedule", act: SlotAct) -> str | None:
    """The command that starts a slot which waits; None while a scheduler does that, or the process that has it."""
    row = Slots(ledger).find(act.item, act.slot)
    if row is None or not ledger.is_gone(row.owner) or current_leader(ledger) is not None:
        return None
    return _run_item(schedule, row)


def _run_item(schedule: "Schedule", row: SlotRow) -> str:
    return shlex.join(["aetherflow-scheduler", "run-item", str(schedule.path), row.item, "--slot", iso(row.slot)])


def _let_be(ledger: Ledger, row: SlotRow, act: SlotAct) -> str:
    """Let a slot that waits be what a person wants; returns its status."""
    slots = Slots(ledger)
    if act.verb == SlotVerb.SKIP:
        now = ledger.clock.now_ms()
        slots.update(row, status=Status.SKIPPED, **columns(act.why), finished_at=now, owner=None)
        return Status.SKIPPED
    why = None if act.verb == SlotVerb.RELEASE else act.why
    # it has waited for a person: whatever `overlap` says, it waits for those that run by then
    into: dict[str, Any] = {**columns(why), "queued": 1}
    if row.status == Status.WAITING and (why is not None or row.reason_code == SlotReason.HELD):
        slots.update(row, **into)
    return row.status


def _require_later(at: int, until: int | None, now: int) -> None:
    if until is not None and until <= max(at, now):
        fix = "name a later time, or leave it out"
        raise UsageError(f"--until {iso(until)} is not after the slot {iso(at)}: it would change nothing", fix=fix)


class _Asked:
    """One item, as a person asks about its slots."""

    def __init__(self, ledger: Ledger, schedule: "Schedule", item: "Item") -> None:
        self._ledger, self._schedule, self._item = ledger, schedule, item
        self._slots, self._acts = Slots(ledger), Acts(ledger)
        self._now = ledger.clock.now_ms()

    def next_open(self, verb: SlotVerb) -> int:
        """The next slot that has not started, nor ended; to be skipped, one that is not skipped already."""
        self._require_enabled()
        waiting = [row.slot for row in self._slots.active_of(self._item.id) if not row.attempts]
        if waiting:
            return waiting[0]
        at = self._accounted()
        while (found := next_slot(self._item, from_ms(at))) is not None:
            at = to_ms(found.at)
            act = self._acts.of(self._item.id, at)
            skipped = verb == SlotVerb.SKIP and act is not None and act.verb == SlotVerb.SKIP
            if not skipped and self._slots.find(self._item.id, at) is None:
                return at
        raise UsageError(f"{self._item.id} has no slot to come", fix=f"look: {self._next}")

    def next_released(self) -> int:
        """The next slot that is held or skipped."""
        found = next((act.slot for act in self._acts.open() if act.item == self._item.id), None)
        if found is None:
            raise UsageError(f"no slot of {self._item.id} is held or skipped", fix=f"look: {self._status}")
        return found

    def require_open(self, at: int, row: SlotRow | None) -> None:
        """Raise UsageError unless the slot is one of the item, and may still be started."""
        self._require_enabled()
        if row is None:
            self._require_slot(at)
            return
        which = f"the slot {iso(at)} of {self._item.id}"
        if row.status in _ASKS or (row.attempts and row.status == Status.WAITING):
            # what it has done counts: left out, nobody would look at a `once` step that was cut off
            fix = f"go on with it: {shlex.join(['aetherflow', 'resume', row.run_id])}"
            raise UsageError(f"{which} has started, and is {row.shown}", fix=fix)
        if row.status == Status.RUNNING:
            fix = f"wait for its end, or stop it: {self._status}"
            raise UsageError(f"{which} has started: its run is {row.run_id}", fix=fix)
        if row.status != Status.WAITING:
            raise UsageError(f"{which} has ended: {row.shown}", fix=f"its slots to come: {self._next}")

    def require_act(self, at: int, row: SlotRow | None) -> None:
        """Raise UsageError unless the slot is held, or is to be skipped."""
        if self._acts.of(self._item.id, at) is None:
            fix = f"what is held: {self._status}"
            raise UsageError(f"the slot {iso(at)} of {self._item.id} is neither held nor to be skipped", fix=fix)
        if row is not None and row.status == Status.SKIPPED:
            fix = f"to run it anyway: {_run_item(self._schedule, row)}"
            raise UsageError(f"the slot {iso(at)} of {self._item.id} has ended: {row.shown}", fix=fix)

    def _require_enabled(self) -> None:
        if not self._item.spec.enabled:
            raise UsageError(f"the item {self._item.id!r} is not enabled: nothing starts it", fix="enable it first")

    def _require_slot(self, at: int) -> None:
        wanted = from_ms(at)
        before, found = last_slot(self._item, from_ms(at - 1)), next_slot(self._item, from_ms(at - 1))
        if found is None or found.at != wanted:
            near = " and ".join(iso(to_ms(each.at)) for each in (before, found) if each is not None)
            raise UsageError(f"{iso(at)} is no slot of {self._item.id}", fix=f"the slots next to it: {near}")
        if at <= self._accounted():
            fix = f"its slots to come: {self._next}"
            raise UsageError(f"the slot {iso(at)} of {self._item.id} is over, and was not expected", fix=fix)

    def _accounted(self) -> int:
        """The instant up to which no slot that is missing in the ledger will start."""
        cursor = Epochs(self._ledger).cursor(self._item.id)
        since = self._item.since
        if cursor is None:
            grace = round(self._item.spec.misfire_grace_time * 1000)
            cursor = self._now - grace if since is None else to_ms(since) - 1
        return cursor if since is None else max(cursor, to_ms(since) - 1)

    @property
    def _status(self) -> str:
        return shlex.join(["aetherflow-scheduler", "status", str(self._schedule.path)])

    @property
    def _next(self) -> str:
        return shlex.join(["aetherflow-scheduler", "next", str(self._schedule.path), self._item.id])
