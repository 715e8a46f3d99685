"""Which slots need a person: those that should have succeeded, have not, and are not settled otherwise."""

import shlex
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from aetherflow.core.embedding import iso
from aetherflow.scheduler.ledger.acts import acknowledged_slots
from aetherflow.scheduler.ledger.epochs import Epochs
from aetherflow.scheduler.ledger.leader import current_leader
from aetherflow.scheduler.ledger.records import SlotRow
from aetherflow.scheduler.ledger.slots import Slots
from aetherflow.scheduler.ledger.store import Ledger
from aetherflow.scheduler.reasons import GOES_ON, LEFT_OUT, MEANT, SlotReason, said
from aetherflow.scheduler.schedule.policy import Status

if TYPE_CHECKING:
    from aetherflow.core.embedding import Act, Trouble
    from aetherflow.scheduler.ledger.truth import Truth

MOST = 1000
"""Slots of one ledger that are looked at, the latest ones."""
WAIT_MS = 300_000
"""Grace before an interrupted slot is reported: the next scheduler or pass resumes it."""
Kind = Literal["failed", "missed"]
_ENDED_BADLY = frozenset({Status.FAILED, Status.INTERRUPTED, Status.UNKNOWN})
_MAY_RUN = (SlotReason.AFTER_HEALED, SlotReason.AFTER_SETTLED)


@dataclass(frozen=True, slots=True)
class Need:
    """A slot that needs a person; or those of an item that were missed for one reason, with one command for all."""

    kind: Kind
    rows: tuple[SlotRow, ...]
    """In the order of their time."""
    trouble: "Trouble | None"
    acknowledged: "Act | None"
    """A person has it in hand."""
    holds_up: tuple[str, ...]
    """Items that did not run because of it, or that wait for it."""
    commands: tuple[str, ...]
    """What goes on; two for a step that has to be decided: if it was done, if it was not."""
    leave: str | None
    """What leaves it as it is, where the schedule says that it is not to be made up for (`misfire: skip`)."""

    @property
    def row(self) -> SlotRow:
        """The slot, or the last one."""
        return self.rows[-1]

    @property
    def status(self) -> Literal["FAILED", "INTERRUPTED", "UNKNOWN", "REFUSED", "MISSED"]:
        """As `aetherflow status` calls it."""
        if self.kind == "missed":
            return "MISSED"
        if self.row.reason_code == SlotReason.REFUSED:
            return "REFUSED"
        if self.row.status == Status.UNKNOWN or self.asks:
            return "UNKNOWN"
        return "FAILED" if self.row.status == Status.FAILED else "INTERRUPTED"

    @property
    def asks(self) -> bool:
        """Whether a step has to be decided; also one in which its process was killed."""
        return any(" --decide " in command for command in self.commands)

    @property
    def since(self) -> int:
        """When it came to that, or should have begun; UTC epoch milliseconds."""
        return self.row.slot if self.kind == "missed" else self.row.finished_at or self.row.slot

    @property
    def cause(self) -> str:
        """Why it has come to that, in one line."""
        told = " (by exit code)" if self.row.told_by else ""
        first, last = iso(self.rows[0].slot), iso(self.rows[-1].slot)
        more = f"{len(self.rows)} slots from {first} to {last}; " if len(self.rows) > 1 else ""
        why = self.row.reason or str(self.row.status)
        asked = f", {said(SlotReason.UNDECIDED)}" if self.asks and self.row.status != Status.UNKNOWN else ""
        return f"{more}{why}{told}{asked}"


def kind_of(row: SlotRow) -> Kind | None:
    """What is wrong with a slot; None if it did what it should, goes on by itself, or was left out on purpose."""
    if row.status in (Status.FAILED, Status.UNKNOWN):
        return "failed"
    if row.status == Status.INTERRUPTED:
        return None if row.reason_code in GOES_ON else "failed"
    if row.status == Status.MISSED:
        return None if row.reason_code in MEANT else "missed"
    return "missed" if row.status == Status.SKIPPED and row.reason_code in _MAY_RUN else None


def settled_by(acts: "Sequence[Act]") -> "tuple[Literal['resolved', 'acknowledged'], Act] | None":
    """How a person has settled a run outside of it, or that somebody has it in hand for now."""
    from aetherflow.core.embedding import acknowledged, resolved

    if (act := resolved(acts)) is not None:
        return "resolved", act
    return None if (act := acknowledged(acts)) is None else ("acknowledged", act)


def needs_of(ledger: Ledger, truth: "Truth", document: Path) -> list[Need]:
    """What of a ledger needs a person, the latest first; what somebody has in hand is not left out.

    Left out is what a person has resolved, or goes on with at this moment; items that were removed.
    """
    slots, epochs = Slots(ledger), Epochs(ledger).all()
    acked = acknowledged_slots(ledger)
    known = {epoch.item for epoch in epochs}
    present = {epoch.item for epoch in epochs if epoch.until is None}
    told = truth.told(slots.unwell(MOST))
    settled = truth.settled(told)
    rows = [
        row
        for row in told + truth.told(slots.held()) + released(ledger, truth)
        if (kind := kind_of(row)) is not None
        and (row.item, row.slot) not in settled
        and not (kind == "missed" and (row.item, row.slot) in acked)
        and (row.item in present or row.item not in known)
    ]
    if current_leader(ledger) is None:  # nobody is there with whom they go on
        rows += [row for row in truth.told(slots.interrupted()) if row.reason_code in GOES_ON and _is_old(ledger, row)]
        rows += _left_running(ledger, truth)
    followers = _followers(ledger)
    begun = [row for row in rows if row.attempts]
    runs, acts = truth.runs(begun), truth.acts(begun)
    found = []
    for group in _grouped(rows):
        last = group[-1]
        trouble = runs.get((last.item, last.slot))
        how, act = settled_by(acts.get(last.run_id, ())) or (None, None)
        if how == "resolved" or (trouble is not None and trouble.run.status == Status.RUNNING):
            continue  # a person goes on with it
        held, commands = _held_up(slots, truth, group, followers), commands_for(document, group, trouble, truth)
        kind = kind_of(last) or "failed"
        found.append(Need(kind, group, trouble, act, held, commands, _leave(document, group)))
    found = _by_one_command(document, slots, truth, found, present)
    return sorted(found, key=lambda need: (-need.since, need.row.item))


def _left_running(ledger: Ledger, truth: "Truth") -> list[SlotRow]:
    """Slots that are RUNNING for a command that was killed, and of which no run continues, as INTERRUPTED."""
    now, why = ledger.clock.now_ms(), said(SlotReason.LEFT)
    return [
        row._replace(status=Status.INTERRUPTED, reason=str(why), reason_code=why.code, finished_at=row.started_at)
        for row in truth.told(Slots(ledger).active())
        if row.status == Status.RUNNING
        and ledger.is_gone(row.owner)
        and not 0 <= now - (row.started_at or 0) <= WAIT_MS
        and ((found := truth.run(row)) is None or found.run.status != Status.RUNNING)
    ]


def _by_one_command(
    document: Path, slots: Slots, truth: "Truth", needs: list[Need], present: Collection[str]
) -> list[Need]:
    """Give all missed slots one command, but for items of which it would also run slots that need nobody."""
    missed = [need for need in needs if need.kind == "missed"]
    wanted: dict[str, set[int]] = {}
    for need in missed:
        wanted.setdefault(need.row.item, set()).update(row.slot for row in need.rows)
    if len(wanted) < 2:
        return needs
    first = min(row.slot for need in missed for row in need.rows)
    last = max(row.slot for need in missed for row in need.rows)

    def would_run(item: str) -> set[int]:
        rows = truth.told(list(slots.between(item, first, last).values()))
        left_out = (Status.MISSED, Status.SKIPPED)
        return {row.slot for row in rows if row.status in left_out and row.reason_code not in LEFT_OUT}

    items = sorted(item for item, known in wanted.items() if would_run(item) == known)
    if len(items) < 2:
        return needs
    names = ["--all"] if set(items) == set(present) else items
    span = ["--from", iso(first), "--to", iso(last + 1000)]
    command = shlex.join(["aetherflow-scheduler", "backfill", str(document), *names, *span])
    return [
        replace(need, commands=(command,)) if need.kind == "missed" and need.row.item in items else need
        for need in needs
    ]


def released(ledger: Ledger, truth: "Truth", *, every: bool = False) -> list[SlotRow]:
    """Slots that were skipped for one that is well by now, as `kind_of` takes them: the ledger does not say so yet.

    A leader sees within seconds that a slot was healed. It starts what follows, or the ledger says that it may run; so
    with one these are left out at first, unless `every` is wanted. What follows a slot that a person settled as done,
    nobody starts by itself.
    """
    slots, followers = Slots(ledger), _followers(ledger)
    if not followers:
        return []
    told = truth.told([row for row in slots.unwell(MOST) if row.item in followers])
    led = current_leader(ledger) is not None
    well = [
        (row, SlotReason.AFTER_HEALED)
        for row in told
        if row.status == Status.SUCCESS and (every or not led or _is_old(ledger, row))
    ]
    bad = [row for row in told if row.attempts and kind_of(row) == "failed"]
    acts = truth.acts(bad) if bad else {}
    for row in bad:
        how, act = settled_by(acts.get(row.run_id, ())) or (None, None)
        if how == "resolved" and act is not None and act.value == "done":
            well.append((row, SlotReason.AFTER_SETTLED))
    return [
        each._replace(reason=said(code, other=row.item), reason_code=code)
        for row, code in well
        for name in followers[row.item]
        for each in truth.told(slots.held_by(name, row.slot, row.slot, row.item))
        if each.status == Status.SKIPPED and _others_are_well(slots, name, each, followers, well)
    ]


def _others_are_well(
    slots: Slots,
    name: str,
    row: SlotRow,
    followers: Mapping[str, list[str]],
    well: Sequence[tuple[SlotRow, SlotReason]],
) -> bool:
    """Whether all slots that a slot of an item follows are well, in the ledger or by what has become of them since."""
    known = {(each.item, each.slot) for each, _ in well}
    for other in (each for each, names in followers.items() if name in names):
        found = slots.latest(other, row.slot)
        if found is None or (found.status != Status.SUCCESS and (found.item, found.slot) not in known):
            return False
    return True


def commands_for(document: Path, rows: Sequence[SlotRow], trouble: "Trouble | None", truth: "Truth") -> tuple[str, ...]:
    """What goes on with slots of one item: with a run that ended badly its resume, which is the same everywhere."""
    row, last = rows[0], rows[-1]
    refused = row.reason_code == SlotReason.REFUSED
    if trouble is not None and not refused and trouble.run.status in _ENDED_BADLY and truth.goes_on(row, trouble):
        return truth.commands(trouble)
    if row.status == Status.UNKNOWN:
        return (shlex.join(["aetherflow", "resume", row.run_id]),)
    words = ["aetherflow-scheduler", "run-item", str(document), row.item, "--slot", iso(row.slot)]
    if len(rows) > 1:
        span = ["--from", iso(row.slot), "--to", iso(last.slot + 1000)]
        words = ["aetherflow-scheduler", "backfill", str(document), row.item, *span]
    return (shlex.join(words),)


def _leave(document: Path, rows: Sequence[SlotRow]) -> str | None:
    row, last = rows[0], rows[-1]
    if row.status != Status.MISSED or row.reason_code != SlotReason.MISFIRE:
        return None
    which = ["--slot", iso(row.slot)] if len(rows) == 1 else ["--before", iso(last.slot + 1000)]
    return shlex.join(["aetherflow-scheduler", "ack", str(document), row.item, *which, "--reason", "TEXT"])


def _is_old(ledger: Ledger, row: SlotRow) -> bool:
    """Whether the next pass, of a crontab say, should have come."""
    return ledger.clock.now_ms() - (row.finished_at or 0) > WAIT_MS


def _grouped(rows: Iterable[SlotRow]) -> list[tuple[SlotRow, ...]]:
    """Missed slots of one item and one reason together, each other one for itself."""
    groups: dict[tuple[object, ...], list[SlotRow]] = {}
    for row in rows:
        alone = kind_of(row) != "missed"
        groups.setdefault((row.item, row.reason_code, row.slot if alone else None), []).append(row)
    return [tuple(sorted(group, key=lambda row: row.slot)) for group in groups.values()]


def _held_up(
    slots: Slots, truth: "Truth", rows: Sequence[SlotRow], followers: Mapping[str, list[str]]
) -> tuple[str, ...]:
    names = sorted(followers.get(rows[0].item, []))
    held = {name: truth.told(slots.held_by(name, rows[0].slot, rows[-1].slot, rows[0].item)) for name in names}
    return tuple(name for name in names if any(row.status != Status.SUCCESS for row in held[name]))


def _followers(ledger: Ledger) -> dict[str, list[str]]:
    """Item to those that follow its success."""
    found: dict[str, list[str]] = {}
    for epoch in Epochs(ledger).present().values():
        after = epoch.definition.get("after") or []
        if epoch.definition.get("after_status", "success") == "success":
            for other in [after] if isinstance(after, str) else after:
                found.setdefault(other, []).append(epoch.item)
    return found
