"""Slots that were skipped for the slot that they follow: once it has succeeded after all, they may run."""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from aetherflow.core.embedding import iso
from aetherflow.scheduler.ledger.records import SlotRow
from aetherflow.scheduler.ledger.slots import Slots
from aetherflow.scheduler.ledger.store import Ledger
from aetherflow.scheduler.reasons import SlotReason, columns, said
from aetherflow.scheduler.runs.events import Events
from aetherflow.scheduler.runs.start_decisions import StartDecisions
from aetherflow.scheduler.schedule.policy import Status
from aetherflow.scheduler.schedule.slots import last_slot, next_slot
from aetherflow.scheduler.time.clock import from_ms, to_ms

if TYPE_CHECKING:
    from aetherflow.scheduler.schedule.schedule import Item

NEVER = 1 << 62


class Dependants:
    """The items of a schedule that follow others."""

    def __init__(self, ledger: Ledger, items: "Sequence[Item]") -> None:
        self._ledger = ledger
        self._slots = Slots(ledger)
        self._items = {item.id: item for item in items}
        self._of: dict[str, list[Item]] = {}
        for item in items:
            for other in item.after if item.spec.enabled else ():
                self._of.setdefault(other, []).append(item)

    def note_success(self, row: SlotRow) -> None:
        """Write down, in the transaction that ends a slot in SUCCESS, which slots were skipped for it and may run."""
        if row.item not in self._of:
            return
        following = next_slot(self._items[row.item], from_ms(row.slot))
        end = NEVER if following is None else to_ms(following.at)
        why = columns(said(SlotReason.AFTER_HEALED, other=row.item))
        for item in self._of[row.item]:
            for each in self._slots.skipped_after(item.id, row.slot, end):
                if all(other == row.item or self._is_well(other, each.slot) for other in item.after):
                    self._slots.update(each, **why)

    def _is_well(self, name: str, at: int) -> bool:
        """Whether the slot of an item that one at an instant follows has succeeded."""
        slot = last_slot(self._items[name], from_ms(at))
        found = None if slot is None else self._slots.latest(name, to_ms(slot.at))
        return found is not None and found.status == Status.SUCCESS

    def wake(self, decisions: StartDecisions, events: Events, items: Collection[str] | None = None) -> bool:
        """Let those wait again whose `misfire_grace_time` is not over, of some items or of all; True if there are any.

        For processes that start whatever waits: where none does, nobody would come for them.
        """
        found = [row for row in self._slots.held() if items is None or row.item in items]
        found = [row for row in found if self._may_wait(row, decisions)]
        if found:
            with self._ledger.transaction("wake dependants"):
                into = {"status": Status.WAITING, **columns(None), "finished_at": None}
                found = [row for row in found if self._slots.update(row, **into)]
        for row in found:
            message = f"{row.item} {iso(row.slot)}: waits again; what it follows has succeeded since"
            events.info("woken", message, item=row.item, slot=iso(row.slot), run_id=row.run_id)
        return bool(found)

    def _may_wait(self, row: SlotRow, decisions: StartDecisions) -> bool:
        item = self._items.get(row.item)
        if item is None or not item.after or not item.spec.enabled:
            return False
        late = self._ledger.clock.now_ms() - row.slot
        return late <= item.spec.misfire_grace_time * 1000 and decisions.follows(item, row.slot).action == "start"
