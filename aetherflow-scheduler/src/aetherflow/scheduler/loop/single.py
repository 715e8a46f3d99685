"""Runs one slot of one item in the foreground; called by crontabs, timers and users (`run-item`)."""

import datetime as dt
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aetherflow.core.api import RunBusyError, UsageError
from aetherflow.core.embedding import iso
from aetherflow.scheduler.errors import HeldError
from aetherflow.scheduler.ledger.acts import Acts, SlotAct, SlotVerb
from aetherflow.scheduler.ledger.document_owner import check_owner
from aetherflow.scheduler.ledger.epochs import Epochs
from aetherflow.scheduler.ledger.records import SlotRow
from aetherflow.scheduler.loop.planning import Planner
from aetherflow.scheduler.loop.session import Session, session
from aetherflow.scheduler.reasons import SlotReason, columns
from aetherflow.scheduler.runs.adoption import adopt, resume_interrupted
from aetherflow.scheduler.schedule.policy import BY_HAND, Status, Verdict, current_slot
from aetherflow.scheduler.schedule.slots import Slot, excluded, last_slot, next_slot
from aetherflow.scheduler.time.clock import from_ms, to_ms

if TYPE_CHECKING:
    from aetherflow.scheduler.runs.events import Events
    from aetherflow.scheduler.schedule.schedule import Item, Schedule
    from aetherflow.scheduler.time.clock import Clock

EARLY_MS = 60_000
"""Milliseconds by which a trigger may fire early because its clock is ahead."""


@dataclass(frozen=True, slots=True)
class SingleResult:
    """The result of `run_item`."""

    row: SlotRow | None
    """The slot's row; None if the item's `since` lies in the future."""
    ran: bool
    """False if the slot had already ended, or was skipped or missed."""
    signal: int | None = None

    @property
    def exit_code(self) -> int:
        """The exit code of the run, 128 + n after signal n; 0 for a slot that was not run."""
        if self.row is None:
            return 0
        if self.signal is not None and self.row.status in (Status.INTERRUPTED, Status.WAITING, Status.MISSED):
            return 128 + self.signal
        if self.row.status in (Status.FAILED, Status.UNKNOWN, Status.INTERRUPTED):
            return self.row.exit_code or 1
        return 0


def run_item(
    schedule: "Schedule",
    name: str,
    *,
    slot: dt.datetime | None = None,
    trigger: str | None = None,
    reason: str | None = None,
    quiet: bool = False,
    clock: "Clock | None" = None,
    events: "Events | None" = None,
) -> SingleResult:
    """Claim a slot of an item and run it in this process: the current slot, or `slot`.

    A slot that has ended is not run again; only by its name one that did not succeed is: the same run goes on.
    A trigger that comes before the item's `since` does nothing.
    Raises UsageError for an instant that is no slot, RunBusyError while another process runs it.
    """
    item = schedule.item(name)
    if not item.spec.enabled and slot is None:
        raise UsageError(f"the item {name!r} is not enabled", fix="enable it, or name the slot that is to run: --slot")
    asked = trigger or "manual"
    machine = asked not in BY_HAND
    told = {
        "stopped": SlotReason.DRAINED if machine else SlotReason.STOPPED,
        "quiet": quiet,
        "clock": clock,
        "events": events,
    }
    waits = asked in ("systemd", "kubernetes")  # which end with a service, or a container, all that is left of it
    with session(schedule, "run-item", only_mine=True, waits=waits, **told) as here:  # type: ignore[arg-type]
        at = slot_of(schedule, item, here.clock.now_ms(), slot, EARLY_MS if machine else 0)
        here.reread(name, at)
        adopt(here.ledger, here.events, leading=False, item=name, slot=None if machine else at)
        if item.spec.enabled and slot is None and machine:
            # it stands in for the scheduler, whose policies hold
            check_owner(here.ledger, schedule.path, schedule.enabled)
            resume_interrupted(here.ledger, here.events, drained_only=True, item=name)
            planner = Planner(here.ledger, [item], here.events, trigger=asked, file=schedule.path)
            planner.sync(whole=False, first={name: at})
            planner.plan()
            _take_waiting(here, name)
            if item.since is not None and at < to_ms(item.since):
                return SingleResult(None, ran=False)
        wanted = _claim(here, item, at, asked, named=slot is not None, reason=reason)
        me = here.ledger.me
        here.work(lambda: any(each.owner == me for each in here.slots.active_of(name)))
        done = here.slots.find(name, at)
        assert done is not None  # noqa: S101 rows are never deleted
        return SingleResult(done, ran=wanted and done.attempts > 0, signal=here.stop.signal if wanted else None)


def _take_waiting(here: Session, name: str) -> None:
    """Reserve the item's waiting slots without a living owner for this process: perhaps no scheduler is running."""
    ledger = here.ledger

    def free() -> list[SlotRow]:
        rows = here.slots.active_of(name)
        return [row for row in rows if row.status == Status.WAITING and ledger.is_gone(row.owner)]

    if free():
        with ledger.transaction("take waiting"):
            for row in free():
                here.slots.update(row, owner=ledger.me)


def slot_of(schedule: "Schedule", item: "Item", now: int, wanted: dt.datetime | None, early: int) -> int:
    if wanted is not None:
        slot = next_slot(item, wanted - dt.timedelta(microseconds=1))
        if slot is None or slot.at != wanted:
            before, after = last_slot(item, wanted), slot
            near = " and ".join(iso(to_ms(each.at)) for each in (before, after) if each is not None)
            raise UsageError(f"{wanted.isoformat()} is no slot of {item.id}", fix=f"the slots next to it: {near}")
        if to_ms(wanted) > now + EARLY_MS:
            raise UsageError(f"the slot {iso(to_ms(wanted))} lies ahead", fix="name one whose time has come")
        return to_ms(wanted)
    before, following = last_slot(item, from_ms(now)), next_slot(item, from_ms(now))
    found = current_slot(now, _ms(before), _ms(following), early)
    if found is None:
        shown = shlex.join(["aetherflow-scheduler", "next", str(schedule.path), item.id])
        raise UsageError(f"{item.id} has no slot whose time has come", fix=f"its slots to come: {shown}")
    return found


def _ms(slot: Slot | None) -> int | None:
    return None if slot is None else to_ms(slot.at)


def _claim(here: Session, item: "Item", at: int, trigger: str, *, named: bool, reason: str | None) -> bool:
    """Reserve the slot for this process; False if it has ended and is not to run again."""
    ledger = here.ledger
    with ledger.transaction("claim slot"):
        row = here.slots.find(item.id, at)
        act = Acts(ledger).of(item.id, at)
        if row is None:
            if trigger in BY_HAND:
                refuse_held(here, act)
            verdict = _verdict(item, at, act, by_hand=trigger in BY_HAND, named=named)
            here.slots.claim(
                item.id, [verdict], trigger=trigger, owner=ledger.me, pool=item.spec.pool, params=item.params
            )
            cursor = Epochs(ledger).cursor(item.id)
            if cursor is not None and cursor < at and trigger not in BY_HAND:
                Epochs(ledger).set_cursor(item.id, at)  # a trigger that came a little early
            return True
        # asked in here: another process may have taken it, and even ended it, a moment ago
        if row.active and not ledger.is_gone(row.owner) and row.owner != ledger.me:
            owner = ledger.owners().get(row.owner or "")
            raise RunBusyError(f"the slot {iso(at)} of {item.id} is {row.status} ({owner})", fix="wait for it")
        resumed = row.status == Status.INTERRUPTED or (named and row.status != Status.SUCCESS)
        if not row.active and not resumed:
            return False
        if trigger in BY_HAND and not row.begun:
            refuse_held(here, act)
        return reopen(here, row, trigger, reason)


def _verdict(item: "Item", at: int, act: SlotAct | None, *, by_hand: bool, named: bool) -> Verdict:
    skip = None if by_hand else excluded(Slot(item, from_ms(at)))
    if act is not None and act.verb == SlotVerb.SKIP and not named:
        skip = act.why
    if skip is not None:
        return Verdict(at, Status.SKIPPED, skip)
    held = act is not None and act.verb == SlotVerb.HOLD
    return Verdict(at, Status.WAITING, act.why if act is not None and held else None, catch_up=held)


def refuse_held(here: Session, act: SlotAct | None) -> None:
    """Raise HeldError where that is a hold: a person who wants the slot to run first says that it is over."""
    if act is not None and act.verb == SlotVerb.HOLD:
        words = ["release", str(here.schedule.path), act.item, "--slot", iso(act.slot), "--reason", "TEXT"]
        fix = f"take that back first: {shlex.join(['aetherflow-scheduler', *words])}"
        raise HeldError(f"the slot {iso(act.slot)} of {act.item} is {act.why}", fix=fix)


def reopen(here: Session, row: SlotRow, trigger: str, reason: str | None, **values: Any) -> bool:
    """Make an ended or unowned slot WAITING for this process. Call it inside a transaction.

    `values`: further columns to set, such as a new run id. Returns False if the slot no longer matches `row`.
    """
    into: dict[str, Any] = {"owner": here.ledger.me}
    if row.status != Status.WAITING:
        into |= {"status": Status.WAITING, **columns(None), "trigger": trigger, "queued": 1, "failures": 0}
        into |= {"finished_at": None, "not_before": None, "waits_since": None, "late": 0, "overdue": 0}
    elif trigger in BY_HAND:
        into |= {"trigger": trigger, "queued": 1, "not_before": None, "waits_since": None}
    if trigger in BY_HAND:
        run_id = values.get("run_id", row.run_id)
        here.ledger.journal(trigger, row.item, row.slot, was=row.status, run_id=run_id, reason=reason)
    return here.slots.update(row, **into | values)
