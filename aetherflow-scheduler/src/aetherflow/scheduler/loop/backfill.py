"""Runs past slots: those that were missed, those that failed, or all of them again."""

import datetime as dt
from collections.abc import Callable, Collection, Mapping
from functools import partial
from graphlib import TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from aetherflow.core.api import UsageError
from aetherflow.core.embedding import iso
from aetherflow.scheduler.audit.audit import expected_slots
from aetherflow.scheduler.ledger.acts import Acts
from aetherflow.scheduler.ledger.epochs import Epochs
from aetherflow.scheduler.ledger.leader import current_leader
from aetherflow.scheduler.ledger.pruning import pruned_ahead_fix, pruned_until
from aetherflow.scheduler.ledger.records import SlotRow
from aetherflow.scheduler.ledger.run_ids import run_id_of
from aetherflow.scheduler.ledger.slots import Slots
from aetherflow.scheduler.ledger.store import Ledger
from aetherflow.scheduler.ledger.truth import Truth
from aetherflow.scheduler.loop.session import Session
from aetherflow.scheduler.loop.single import reopen
from aetherflow.scheduler.reasons import LEFT_OUT, Reason, SlotReason, code_of, said
from aetherflow.scheduler.runs.adoption import adopt
from aetherflow.scheduler.runs.start_decisions import StartDecisions
from aetherflow.scheduler.schedule.policy import Status, Verdict
from aetherflow.scheduler.schedule.slots import Slot, excluded, expected, last_slot, next_slot
from aetherflow.scheduler.time.clock import from_ms, to_ms

if TYPE_CHECKING:
    from aetherflow.scheduler.schedule.schedule import Item, Schedule

Include = Literal["missing", "failed", "unfinished", "all"]
"""`unfinished`: missing and failed ones."""
Span = tuple[dt.datetime, dt.datetime]


class Wanted(NamedTuple):
    """A past slot to be run, and the id of its run."""

    item: "Item"
    slot: int
    run_id: str
    was: str
    """The status before the backfill; `-` if the slot is not in the ledger."""
    reason: Reason | None = None


def choose(
    document: Path,
    item: "Item",
    ledger: Ledger,
    truth: Truth,
    start: dt.datetime,
    end: dt.datetime,
    include: Include,
) -> tuple[list[Wanted], list[SlotRow]]:
    """The slots in [start, end), up to now, that `include` selects, and those left out as they wait or run.

    What waits or runs for a process that has died is wanted, whatever `include` says: the same run goes on. Before the
    item was first seen, its present cron says which slots there were. UsageError for a span that was pruned.
    """
    first, last = to_ms(start), min(to_ms(end), ledger.clock.now_ms() + 1)
    if first < (forgotten := pruned_until(ledger).get(item.id, first)):
        begin = f"begin there: --from {iso(forgotten)}; a single one by its name: run-item --slot"
        raise UsageError(
            f"the slots of {item.id} before {iso(forgotten)} were pruned: nobody knows any more which of them have run",
            fix=pruned_ahead_fix(document) if forgotten > ledger.clock.now_ms() else begin,
        )
    epochs = Epochs(ledger).all(item.id)
    seen = epochs[0].since if epochs else last
    instants = [to_ms(slot.at) for slot in expected(item, from_ms(first), from_ms(max(first, min(last, seen))))]
    instants += expected_slots(epochs, max(first, seen), last)
    rows = {row.slot: row for row in truth.told(list(Slots(ledger).between(item.id, first, last).values()))}
    chosen, busy = [], []
    for slot in sorted({*instants, *rows}):
        row = rows.get(slot)
        if slot >= last:
            continue
        if row is not None and row.active:
            if _is_busy(ledger, row):
                busy.append(row)
            else:
                chosen.append(Wanted(item, slot, row.run_id, row.status, row.why or said(SlotReason.PROCESS_ENDED)))
        elif _is_wanted(item, slot, row, include):
            batch = row.batch + 1 if row is not None and include == "all" and row.attempts else 1
            run_id = run_id_of(item.id, slot, batch) if row is None or include == "all" else row.run_id
            chosen.append(Wanted(item, slot, run_id, row.status if row else "-", row.why if row else None))
    return chosen, busy


def _is_busy(ledger: Ledger, row: SlotRow) -> bool:
    """Whether a living process owns an active slot, or a scheduler will start it."""
    if not ledger.is_gone(row.owner):
        return row.owner != ledger.me
    return row.status == Status.WAITING and current_leader(ledger) is not None


def _is_wanted(item: "Item", slot: int, row: SlotRow | None, include: Include) -> bool:
    if row is None or row.status == Status.SKIPPED:
        why = row.why if row is not None else excluded(Slot(item, from_ms(slot)))
        return include != "failed" and code_of(why) not in LEFT_OUT
    if include == "all":
        return True
    missed = row.status == Status.MISSED and include != "failed"
    failed = row.status in (Status.FAILED, Status.UNKNOWN, Status.INTERRUPTED) and include != "missing"
    return missed or failed


def choose_all(
    schedule: "Schedule",
    spans: Mapping["Item", Span],
    ledger: Ledger,
    truth: Truth,
    include: Include,
    *,
    successors: bool,
) -> tuple[list[Wanted], list[SlotRow]]:
    """The same for the spans of several items, in the order in which they run: by time, each after what it follows.

    `successors`: also the slots that follow them, directly or over others, if they did not succeed; with `all` those
    that did, too.
    """
    chosen: dict[tuple[str, int], Wanted] = {}
    busy: dict[tuple[str, int], SlotRow] = {}

    def add(item: "Item", span: Span, which: Include) -> None:
        found, taken = choose(schedule.path, item, ledger, truth, *span, which)
        busy.update({(row.item, row.slot): row for row in taken})
        for want in found:
            chosen.setdefault((item.id, want.slot), want)

    for item, span in spans.items():
        add(item, span, include)
    order = in_order(schedule)
    if successors:
        after: Include = "all" if include == "all" else "unfinished"
        for item in order:
            for other in (schedule.item(name) for name in item.after if item.spec.enabled):
                for slot in [slot for name, slot in chosen if name == other.id]:
                    add(item, _slots_after(other, slot, ledger), after)
    place = {item.id: number for number, item in enumerate(order)}
    keys = sorted(chosen, key=lambda key: (key[1], place[key[0]]))
    return [chosen[key] for key in keys], [busy[key] for key in sorted(busy)]


def in_order(schedule: "Schedule") -> list["Item"]:
    """The items of a schedule, each after those that it follows."""
    graph = {item.id: item.after for item in schedule.items}
    return [schedule.item(name) for name in TopologicalSorter(graph).static_order()]


def _slots_after(item: "Item", slot: int, ledger: Ledger) -> Span:
    """The span in which slots of other items follow this slot: up to the next one of its item, or now."""
    following, now = next_slot(item, from_ms(slot)), from_ms(ledger.clock.now_ms() + 1)
    return from_ms(slot), now if following is None else min(following.at, now)


def backfill(here: Session, wanted: list[Wanted], reason: str | None, each: Callable[[SlotRow], None]) -> list[SlotRow]:
    """Run slots one after the other, in their order; returns the rows of those that were run.

    A slot is claimed only when its turn comes, so that a stop leaves the remaining slots unchanged. A slot that follows
    another one of them is left out if that did not end as `after_status` says.
    """
    done: list[SlotRow] = []
    named, bad = {want.item.id for want in wanted}, set[tuple[str, int]]()
    decisions = StartDecisions(here.ledger, here.schedule)
    for want in wanted:
        item = want.item
        if here.stop.asked:
            break
        why = _left_out(here, decisions, want, bad) if named & set(item.after) else None
        known = here.slots.find(item.id, want.slot)
        act = Acts(here.ledger).of(item.id, want.slot)
        held = act is not None and (known is None or known.status == Status.WAITING)
        if why is None and act is not None and held:
            why = act.why
        if why is not None:
            here.events.warning("held" if held else "left_out", f"{item.id} {iso(want.slot)}: left out, {why}")
            bad.add((item.id, want.slot))
            continue
        adopt(here.ledger, here.events, leading=False, item=item.id, slot=want.slot)
        claimed = _claim(here, item, want, reason)
        if claimed:
            here.work(partial(_is_mine, here, item.id, want.slot))
        else:
            here.events.warning("taken", f"{item.id} {iso(want.slot)}: left out, another process has taken it")
        row = here.slots.find(item.id, want.slot)
        if row is None or row.status != Status.SUCCESS:
            bad.add((item.id, want.slot))
        if row is not None and claimed:
            done.append(row)
            each(row)
    return done


def _left_out(here: Session, decisions: StartDecisions, want: Wanted, bad: Collection[tuple[str, int]]) -> str | None:
    """Why a slot doesn't run after those that it follows, of which some are wanted and `bad`; None if it does."""
    for name in want.item.after if want.item.spec.after_status == "success" else ():
        slot = last_slot(here.schedule.item(name), from_ms(want.slot))
        if slot is not None and (name, to_ms(slot.at)) in bad:
            return f"after {name}: it did not succeed"
    decision = decisions.follows(want.item, want.slot)
    return None if decision.action == "start" else str(decision.reason)


def _is_mine(here: Session, item: str, slot: int) -> bool:
    row = here.slots.find(item, slot)
    return row is not None and row.active and row.owner == here.ledger.me


def _claim(here: Session, item: "Item", want: Wanted, reason: str | None) -> bool:
    ledger = here.ledger
    with ledger.transaction("claim backfill"):
        row = here.slots.find(item.id, want.slot)
        if row is None:
            here.slots.claim(
                item.id,
                [Verdict(want.slot, Status.WAITING, catch_up=True)],
                trigger="backfill",
                owner=ledger.me,
                pool=item.spec.pool,
                params=item.params,
            )
            ledger.journal("backfill", item.id, want.slot, was=None, run_id=want.run_id, reason=reason)
            return True
        # asked again: one that was adopted for this may wait while a scheduler runs, others are left to it
        if row.active and (row.status == Status.RUNNING or not ledger.is_gone(row.owner)):
            return False
        if row.active and want.was != Status.RUNNING and _is_busy(ledger, row):
            return False
        if row.status == Status.SUCCESS and want.was != Status.SUCCESS:
            return False  # it has succeeded since
        new = {}
        if want.run_id != row.run_id:
            new = {"run_id": want.run_id, "batch": row.batch + 1, "started_at": None}
        return reopen(here, row, "backfill", reason, **new)
