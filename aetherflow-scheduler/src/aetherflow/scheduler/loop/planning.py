"""Enters due slots in the ledger. What is due follows from the cursors of the ledger, never from the clock alone."""

import heapq
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice, takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from zoneinfo import ZoneInfo

from aetherflow.core.embedding import iso
from aetherflow.scheduler.ledger.acts import Acts, with_act
from aetherflow.scheduler.ledger.document_owner import is_unnoted, note_owner
from aetherflow.scheduler.ledger.epochs import Epochs, Pauses
from aetherflow.scheduler.ledger.pruning import PRUNED_AHEAD, pruned_ahead_fix, pruned_until
from aetherflow.scheduler.ledger.slots import Slots
from aetherflow.scheduler.ledger.store import Ledger
from aetherflow.scheduler.reasons import Reason, SlotReason, said
from aetherflow.scheduler.runs.events import Events
from aetherflow.scheduler.runs.start_decisions import catching_up
from aetherflow.scheduler.schedule.calendars import cron_of
from aetherflow.scheduler.schedule.policy import DueSlot, Status, Verdict, decide_due
from aetherflow.scheduler.schedule.slots import Slot, due, excluded, expected, next_slot
from aetherflow.scheduler.time.clock import from_ms, to_ms

if TYPE_CHECKING:
    from aetherflow.scheduler.schedule.schedule import Item

STEP_BACK_MS = 2000
"""Smaller steps back of the clock are normal time synchronisation and ignored."""
MOST_AT_ONCE = 20_000
"""Maximum number of slots of one item that are decided together."""
BATCH = 5000
"""Slots per transaction; the last item of a batch may exceed it."""


def definition_of(item: "Item") -> dict[str, Any]:
    """The properties that determine the slots of an item; a change of them begins a new epoch."""
    after = item.after if len(item.after) > 1 else next(iter(item.after), None)
    found: dict[str, Any] = {"cron": item.cron.normal, "timezone": item.zone.key}
    found["after"] = list(after) if isinstance(after, tuple) else after
    if item.cron.chosen is not None:
        found["calendar"] = item.cron.chosen.definition
    return found if item.spec.after_status == "success" else {**found, "after_status": item.spec.after_status}


class _Changes(NamedTuple):
    """Items whose epoch in the ledger differs from the schedule."""

    fresh: list["Item"]
    """New items, and items with a changed definition."""
    later: list["Item"]
    """Items whose `since` was moved to a later time."""
    gone: list[str]


class Planner:
    """Keeps the next slot of each item in a heap; `plan` enters the due ones in the ledger."""

    def __init__(self, ledger: Ledger, items: Sequence["Item"], events: Events, *, trigger: str, file: Path) -> None:
        self._ledger = ledger
        self._file = file
        self._events = events
        self._trigger = trigger
        self._slots, self._epochs, self._pauses = Slots(ledger), Epochs(ledger), Pauses(ledger)
        self._acts = Acts(ledger)
        self._items: dict[str, Item] = {item.id: item for item in items if item.spec.enabled}
        self._heap: list[tuple[int, str]] = []
        self._last = 0

    def sync(self, *, whole: bool = True, first: Mapping[str, int] | None = None) -> None:
        """Begin and end epochs as the schedule requires, and fill the heap.

        `whole`: items that are not in the schedule have been removed from it. `first`: the first slot of items that
        are seen for the first time; omitted, slots are expected from now on.
        """
        now = self._ledger.clock.now_ms()
        present, cursors = self._epochs.present(), self._epochs.cursors()
        if any(self._changes(present, cursors, whole=whole)) or is_unnoted(self._ledger, self._file, self._items):
            with self._ledger.transaction("sync items"):
                # asked again inside: another process may have entered them a moment ago
                present, cursors = self._epochs.present(), self._epochs.cursors()
                changes = self._changes(present, cursors, whole=whole)
                for name in changes.gone:
                    self._close(name, now, said(SlotReason.REMOVED))
                for item in changes.fresh:
                    self._open(item, now, (first or {}).get(item.id), present, cursors)
                for item in changes.later:
                    self._begin_later(item, cursors[item.id] + 1)
                note_owner(self._ledger, self._file, self._items)  # in here: no kill leaves an item of nobody
        self._last = 0
        self._rewind(now)
        self._extend()
        self._fill()

    def _changes(self, present: Mapping[str, Any], cursors: Mapping[str, int], *, whole: bool) -> _Changes:
        known = [item for item in self._items.values() if self._is_known(item, present)]
        fresh = [item for item in self._items.values() if not self._is_known(item, present)]
        later = [item for item in known if self._begins_later(item, present, cursors)]
        return _Changes(fresh, later, [name for name in present if whole and name not in self._items])

    def _is_known(self, item: "Item", present: Mapping[str, Any]) -> bool:
        return item.id in present and present[item.id].definition == definition_of(item)

    def _begins_later(self, item: "Item", present: Mapping[str, Any], cursors: Mapping[str, int]) -> bool:
        """Whether `since` lies after the cursor and after the begin of the current epoch."""
        return item.since is not None and to_ms(item.since) > max(cursors[item.id] + 1, present[item.id].since)

    def _begin_later(self, item: "Item", until: int) -> None:
        """End the epoch at `until` and begin a new one at the item's `since`: no slots are expected between."""
        assert item.since is not None  # noqa: S101 that is why
        since = to_ms(item.since)
        self._epochs.end(item.id, until)
        self._epochs.begin(item.id, definition_of(item), since)
        self._epochs.set_cursor(item.id, since - 1)
        self._ledger.journal("epoch", item.id, since=iso(since), **definition_of(item))

    def _extend(self) -> None:
        """Enter the slots since the item's `since` as MISSED where it lies before the first epoch of the item."""
        known: dict[str, int] = {}
        for epoch in self._epochs.all():
            known.setdefault(epoch.item, epoch.since)
        items = [item for item in self._items.values() if item.since is not None]
        pruned = pruned_until(self._ledger)
        # what was forgotten on purpose is not missed
        begins = {item: max(to_ms(item.since), pruned.get(item.id, 0)) for item in items if item.since is not None}
        for item, begin in begins.items():
            if begin >= (until := known[item.id]):
                continue
            # years may lie between: entered in steps, expected once all are there; a kill between two is made up for
            slots = expected(item, from_ms(begin), from_ms(until))
            counts = Counter[Status]()
            while verdicts := [self._past(slot) for slot in islice(slots, BATCH)]:
                with self._ledger.transaction("extend"):
                    self._slots.claim(item.id, verdicts, trigger=self._trigger)
                counts.update(verdict.status for verdict in verdicts)
            with self._ledger.transaction("extended"):
                self._epochs.precede(item.id, definition_of(item), begin, until)
                self._ledger.journal("epoch", item.id, since=iso(begin), **definition_of(item))
            message = f"{item.id}: slots since {iso(begin)} are expected now, and were missed"
            self._events.warning("since", message, item=item.id, slots=counts[Status.MISSED])

    @staticmethod
    def _past(slot: Slot) -> Verdict:
        why = excluded(slot)
        return Verdict(to_ms(slot.at), Status.MISSED if why is None else Status.SKIPPED, why or said(SlotReason.SINCE))

    def _open(
        self, item: "Item", now: int, first: int | None, present: Mapping[str, Any], cursors: Mapping[str, int]
    ) -> None:
        since = now if first is None else min(first, now)
        if item.id in cursors:
            kept = self._close(item.id, now, said(SlotReason.REDEFINED), item) if item.id in present else []
            # of a clock that was ahead nothing is accounted for
            since = min(now, max(since, cursors[item.id] + 1))
            self._claim(item, self._verdicts(item, kept, now) if kept else [])
        if item.since is not None:
            wanted = to_ms(item.since)
            if self._epochs.all(item.id):
                since = max(since, wanted)
            else:  # of one that only a person has run so far some slots may be forgotten
                since = max(wanted, cursors.get(item.id, wanted - 1) + 1)
        self._epochs.begin(item.id, definition_of(item), since)
        self._epochs.set_cursor(item.id, since - 1)
        self._ledger.journal("epoch", item.id, since=iso(since), **definition_of(item))

    def _close(self, name: str, now: int, reason: Reason, item: "Item | None" = None) -> list[Slot]:
        """End the current epoch; its due slots that are not in the ledger become MISSED.

        But for those that `item`, its new definition, has as well: they are returned, its policies decide about them.
        """
        epoch = next(each for each in self._epochs.all(name) if each.until is None)
        cursor = self._epochs.cursor(name) or 0
        cron, zone = cron_of(epoch.definition), ZoneInfo(epoch.definition["timezone"])
        start = max(cursor + 1, epoch.since)
        first, last = from_ms(start), from_ms(max(start, now))
        left = [to_ms(at) for at in cron.between(first, last, zone)]
        kept = {to_ms(slot.at): slot for slot in expected(item, first, last)} if item is not None else {}
        missed = [Verdict(slot, Status.MISSED, reason) for slot in left if slot not in kept]
        self._slots.claim(name, missed, trigger=self._trigger)
        self._epochs.end(name, now)
        self._ledger.journal("epoch end", name, reason=reason)
        return [kept[slot] for slot in left if slot in kept]

    def _rewind(self, now: int) -> None:
        """After the clock went back, move cursors and epochs back to `now`; recorded slots stay unchanged.

        Definitions that begin in the future, though no `since` says so, were entered by a clock that was ahead.
        """
        self._move_epochs(now)
        if any(
            epoch.until is not None and epoch.since <= now < epoch.until - STEP_BACK_MS for epoch in self._epochs.all()
        ):
            with self._ledger.transaction("end epochs"):
                self._ledger.journal("epochs ended", number=self._epochs.end_by(now), at=iso(now))
        pruned = pruned_until(self._ledger)
        back = {name: max(now, epoch.since - 1) for name, epoch in self._epochs.present().items()}
        cursors = self._epochs.cursors()
        ahead = [name for name in cursors if name in self._items and cursors[name] > back.get(name, now) + STEP_BACK_MS]
        if ahead:
            with self._ledger.transaction("rewind"):
                for name in ahead:  # of slots that were forgotten nobody knows any more that they have run
                    self._epochs.set_cursor(name, max(back.get(name, now), pruned.get(name, 0) - 1))
            message = f"the clock went back to {iso(now)}: slots that have run stay as they are and run no second time"
            self._events.warning("clock_back", message, items=len(ahead))
            held = {name: pruned[name] for name in ahead if pruned.get(name, 0) > now}
            for name, until in list(held.items())[:3]:
                message = f"{name} starts nothing until {iso(until)}: {PRUNED_AHEAD}"
                fix = pruned_ahead_fix(self._file)
                self._events.warning("pruned_ahead", message, item=name, items=len(held), fix=fix)

    def _move_epochs(self, now: int) -> None:
        epochs = self._epochs.all()
        known = Counter(epoch.item for epoch in epochs)
        moved = {}
        for epoch in epochs:
            name = epoch.item
            if epoch.until is not None or epoch.since <= now + STEP_BACK_MS or name not in self._items:
                continue
            since = self._items[name].since
            # nothing was expected of the only one so far: it begins where the file says
            target = now if since is None else to_ms(since) if known[name] == 1 else max(now, to_ms(since))
            if target < epoch.since:
                moved[name] = target
        if moved:
            with self._ledger.transaction("move epochs"):
                for name, target in moved.items():
                    self._epochs.move(name, target, now)
                    self._epochs.set_cursor(name, target - 1)
                    self._ledger.journal("epoch", name, since=iso(target), **definition_of(self._items[name]))
            why = "by another `since`, or by a clock that was ahead; they begin now, or as `since` says"
            message = f"{len(moved)} items were to begin later, {why}"
            self._events.warning("epochs_moved", message, items=len(moved))

    def _fill(self) -> None:
        cursors = self._epochs.cursors()
        self._heap = []
        for item in self._items.values():
            self._push(item, cursors[item.id])
        heapq.heapify(self._heap)

    def _push(self, item: "Item", cursor: int) -> None:
        if (following := next_slot(item, from_ms(cursor))) is not None:
            heapq.heappush(self._heap, (to_ms(following.at), item.id))

    def next_due(self) -> int | None:
        """The instant (epoch ms) of the next slot; None if there is none."""
        return self._heap[0][0] if self._heap else None

    def plan(self) -> bool:
        """Enter all due slots in the ledger with their verdicts; True if there was any."""
        now = self._ledger.clock.now_ms()
        if now < self._last - STEP_BACK_MS:
            self._rewind(now)
            self._fill()
        self._last = now
        found = False
        while self._heap and self._heap[0][0] <= now:
            found = True
            self._plan_batch(now)
        return found

    def _plan_batch(self, now: int) -> None:
        taken: list[tuple[int, str]] = []
        told: list[tuple[Item, list[Verdict]]] = []
        cursors: dict[str, int] = {}
        try:
            with self._ledger.transaction("plan"):
                number = 0
                while self._heap and self._heap[0][0] <= now and number < BATCH:
                    taken.append(heapq.heappop(self._heap))
                    item = self._items[taken[-1][1]]
                    verdicts, cursors[item.id] = self._decide(item, now)
                    number += len(verdicts)
                    new = self._claim(item, verdicts)
                    self._epochs.set_cursor(item.id, cursors[item.id])
                    told.append((item, new))
        except BaseException:
            for entry in taken:
                heapq.heappush(self._heap, entry)
            raise
        for item, new in told:
            self._push(item, cursors[item.id])
            self._tell(item, new)

    def _decide(self, item: "Item", now: int) -> tuple[list[Verdict], int]:
        cursor = self._epochs.cursor(item.id) or 0
        upcoming = due(item, from_ms(cursor), from_ms(now))
        slots = list(islice(upcoming, max(MOST_AT_ONCE, 2 * item.spec.max_catch_up)))
        if not slots:  # somebody else has accounted for them
            return [], cursor
        following = next(upcoming, None)
        verdicts = self._verdicts(item, slots, now)
        if following is None:
            return verdicts, to_ms(slots[-1].at)
        # years may lie behind: whatever waits here may still turn out not to be among the latest
        final = list(takewhile(lambda verdict: verdict.status != Status.WAITING, verdicts))
        if final:
            return final, final[-1].slot
        slots += [following, *upcoming]
        return self._verdicts(item, slots, now), to_ms(slots[-1].at)

    def _verdicts(self, item: "Item", slots: Sequence[Slot], now: int) -> list[Verdict]:
        instants = [to_ms(slot.at) for slot in slots]
        known = self._slots.between(item.id, instants[0], instants[-1])
        pauses = self._pauses.of(item.id, instants[0], now)
        pause_now = next((pause for pause in pauses if pause.covers(now)), None)
        acts = self._acts.between(item.id, instants[0], instants[-1])
        found = []
        for slot, at in zip(slots, instants, strict=True):
            row = known.get(at)
            if row is not None and not row.from_the_future(now):
                continue
            pause = next((pause for pause in pauses if pause.covers(at)), pause_now) if pauses else None
            why = pause.why if pause is not None else excluded(slot)
            found.append(with_act(DueSlot(at, why), acts.get(at), now))
        spec = item.spec
        return decide_due(
            found,
            now,
            misfire=spec.misfire,
            grace_ms=round(spec.misfire_grace_time * 1000),
            max_catch_up=spec.max_catch_up,
            spacing_ms=round(spec.spacing_seconds * 1000),
            ahead=catching_up(self._slots, self._acts, item.id) if spec.misfire == "all" else 0,
        )

    def _claim(self, item: "Item", verdicts: Iterable[Verdict]) -> list[Verdict]:
        owner = self._ledger.me if self._trigger not in ("scheduler", "tick") else None
        return self._slots.claim(
            item.id, verdicts, trigger=self._trigger, owner=owner, pool=item.spec.pool, params=item.params
        )

    def _tell(self, item: "Item", verdicts: Sequence[Verdict]) -> None:
        left = [verdict for verdict in verdicts if verdict.status != Status.WAITING]
        for verdict in left[:3]:
            level = "WARNING" if verdict.status == Status.MISSED else "INFO"
            message = f"{item.id} {iso(verdict.slot)}: {verdict.status} {verdict.reason}"
            fields = {"item": item.id, "slot": iso(verdict.slot), "reason": verdict.reason}
            self._events.tell(level, verdict.status.lower(), message, **fields)
        if len(left) > 3:
            missed = sum(verdict.status == Status.MISSED for verdict in left)
            message = f"{item.id}: {len(left)} slots are over, {missed} of them missed, up to {iso(left[-1].slot)}"
            self._events.warning("slots_over", message, item=item.id, slots=len(left), missed=missed)
