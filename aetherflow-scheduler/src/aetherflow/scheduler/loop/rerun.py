"""Runs a slot again with the slots that follow it; a rerun that was stopped continues where it was."""

import datetime as dt
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from aetherflow.scheduler.ledger.records import SlotRow
from aetherflow.scheduler.ledger.run_ids import batch_of
from aetherflow.scheduler.ledger.slots import Slots
from aetherflow.scheduler.ledger.store import Ledger
from aetherflow.scheduler.ledger.truth import Truth
from aetherflow.scheduler.loop.backfill import Wanted, choose_all
from aetherflow.scheduler.loop.single import slot_of
from aetherflow.scheduler.schedule.policy import Status
from aetherflow.scheduler.time.clock import from_ms

if TYPE_CHECKING:
    from aetherflow.scheduler.schedule.schedule import Item, Schedule

_BEGUN, _ENDED = "rerun", "rerun end"
_LAST = "SELECT event, detail FROM journal WHERE item=? AND slot=? AND event IN (?, ?) ORDER BY seq DESC LIMIT 1"


class Rerun:
    """The rerun of a slot of an item. Raises UsageError for a time that is no past slot."""

    def __init__(
        self, schedule: "Schedule", ledger: Ledger, truth: Truth, item: "Item", at: dt.datetime, *, successors: bool
    ) -> None:
        self._schedule, self._ledger, self._truth = schedule, ledger, truth
        self._item, self._successors = item, successors
        self.slot = slot_of(schedule, item, ledger.clock.now_ms(), at, 0)

    def chosen(self) -> tuple[list[Wanted], list[SlotRow]]:
        """The slots to run, in their order, and those left out as they wait or run.

        Of a rerun that has not come to its end, those that are left, under the run ids that they were given then.
        StateError where what their runs have recorded cannot be read: nothing is run over it.
        """
        span = from_ms(self.slot), from_ms(self.slot + 1)
        wanted, busy = choose_all(
            self._schedule, {self._item: span}, self._ledger, self._truth, "all", successors=self._successors
        )
        slots = Slots(self._ledger)
        self._truth.require_readable(filter(None, (slots.find(want.item.id, want.slot) for want in wanted)))
        if planned := self._planned():
            left = [each for each in (self._continued(want, planned) for want in wanted) if each is not None]
            if left or busy:
                return left, busy
        return wanted, busy

    def begin(self, wanted: Sequence[Wanted], reason: str | None) -> None:
        """Note the run ids, so that the same command continues after a stop."""
        if wanted and not self._planned():
            slots = [[want.item.id, want.slot, want.run_id] for want in wanted]
            with self._ledger.transaction("begin rerun"):
                self._ledger.journal(_BEGUN, self._item.id, self.slot, slots=slots, reason=reason)

    def end(self) -> None:
        """Note that all have succeeded."""
        with self._ledger.transaction("end rerun"):
            self._ledger.journal(_ENDED, self._item.id, self.slot)

    def _planned(self) -> dict[tuple[str, int], str]:
        """Item and slot to the run id, of the last rerun if it has not come to its end."""
        rows = self._ledger.read(_LAST, (self._item.id, self.slot, _BEGUN, _ENDED))
        if not rows or rows[0][0] == _ENDED:
            return {}
        return {(item, slot): run_id for item, slot, run_id in json.loads(rows[0][1])["slots"]}

    def _continued(self, want: Wanted, planned: dict[tuple[str, int], str]) -> Wanted | None:
        """What is left of a slot; None if it has succeeded under the run id that it was given, or a later one."""
        run_id = planned.get((want.item.id, want.slot))
        row = Slots(self._ledger).find(want.item.id, want.slot)
        if run_id is None or row is None or batch_of(row.run_id) < batch_of(run_id):
            return want
        return None if row.status == Status.SUCCESS else want._replace(run_id=row.run_id)
