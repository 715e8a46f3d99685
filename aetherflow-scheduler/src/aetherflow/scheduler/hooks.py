"""The scheduler's rows in `aetherflow status` and `runs show`, of all ledgers below a state root."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from aetherflow.core.api import Acknowledged, NeedsPerson, StateError, hookimpl
from aetherflow.core.embedding import durable, iso, why_not_written
from aetherflow.scheduler.ledger.known import KnownSchedule, known_schedules
from aetherflow.scheduler.time.clock import Clock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aetherflow.scheduler.audit.late import Late
    from aetherflow.scheduler.audit.needs import Need
    from aetherflow.scheduler.ledger.copying import Places
    from aetherflow.scheduler.ledger.records import SlotRow


class StatusHook:
    """Reads the ledgers, and the states of runs that did not succeed; creates and writes nothing."""

    @hookimpl
    def aetherflow_needs_person(self, state_root: Path) -> list[NeedsPerson]:
        """Slots that failed, were stopped, refused or missed, and that nothing has healed since."""
        unread: dict[Path, Exception] = {}
        found = [need for known in known_schedules(state_root, unread) for need in _of_ledger(known, state_root)]
        return found + [_unread(path, error) for path, error in unread.items()]

    @hookimpl
    def aetherflow_run_notes(self, state_root: Path, run_id: str) -> list[str]:
        """What persons did to the slot of a run."""
        return [line for known in known_schedules(state_root) for line in _acts_in(known, run_id)]

    @hookimpl
    def aetherflow_state_copied(self, source: Path, target: Path, places: "Places") -> "Iterator[str]":
        """Copy the ledgers, too."""
        from aetherflow.scheduler.ledger.copying import copy_ledgers

        return copy_ledgers(source, target, places)


def _of_ledger(known: KnownSchedule, root: Path) -> list[NeedsPerson]:
    from aetherflow.scheduler.audit.late import late_heartbeats
    from aetherflow.scheduler.audit.needs import needs_of
    from aetherflow.scheduler.ledger.store import Ledger
    from aetherflow.scheduler.ledger.targets import noted_targets
    from aetherflow.scheduler.ledger.truth import Truth

    found: list[NeedsPerson]
    try:
        ledger = Ledger(known.ledger, Clock(), read_only=True)
        try:
            with ledger.reported():
                needs = needs_of(ledger, Truth(lambda: noted_targets(ledger), root), known.document)
                late = [_late(each, known.document) for each in late_heartbeats(ledger, known.document)]
                found = [*late, *(_told(need, row) for need in needs for row in need.rows)]
        finally:
            ledger.close()
    except StateError as error:
        return [_unusable(known, error)]
    why = None if durable.in_server(known.ledger) else why_not_written(known.ledger, "ledger")
    return found if why is None else [_unusable(known, why), *found]


def _unusable(known: KnownSchedule, error: StateError) -> NeedsPerson:
    now, cause = Clock().now_ms(), str(error) if error.commands else f"{error}; {error.fix}"
    return NeedsPerson("UNREADABLE", known.document.name, now, cause, error_code=error.code, commands=error.commands)


def _unread(path: Path, error: Exception) -> NeedsPerson:
    """Return the row for a note that no longer names the ledger of its schedule, which writes it again."""
    cause = f"{path} doesn't say where the ledger of a schedule is: {getattr(error, 'strerror', None) or error}"
    commands = (shlex.join(["mv", str(path), f"{path}.damaged"]),)
    return NeedsPerson("UNREADABLE", path.name, Clock().now_ms(), cause, error_code="AF4001", commands=commands)


def _acts_in(known: KnownSchedule, run_id: str) -> list[str]:
    from aetherflow.scheduler.ledger.acts import Acts
    from aetherflow.scheduler.ledger.store import Ledger

    try:
        ledger = Ledger(known.ledger, Clock(), read_only=True)
    except StateError:
        return []  # of an older version, in which nobody has done anything; what else is wrong, `status` tells
    try:
        return [
            f"slot   {act.item} {iso(act.slot)}: {verb} by {by}, {at}: {why}"
            for act in Acts(ledger).of_run(run_id)
            for verb, by, at, why in [act.told]
        ]
    finally:
        ledger.close()


def _late(late: "Late", document: Path) -> NeedsPerson:
    cause, code = str(late.reason), late.reason.code
    return NeedsPerson("LATE", document.name, late.since, cause, reason_code=code, commands=late.commands)


def _told(need: "Need", row: "SlotRow") -> NeedsPerson:
    """One slot of a need; those that were missed for one reason have one command for all."""
    act, found = need.acknowledged, need.trouble
    return NeedsPerson(
        status=need.status,
        name=row.item,
        since=row.slot if need.kind == "missed" else need.since,
        cause=row.reason or str(row.status) if need.kind == "missed" else need.cause,
        reason_code=row.reason_code,
        error_code=found.error_code if found is not None else None,
        flow_id=row.flow_id,
        slot=iso(row.slot),
        run_id=row.run_id if row.attempts else None,
        holds_up=need.holds_up,
        owner=found.run.owner if found is not None else None,
        runbook_url=found.run.runbook if found is not None else None,
        commands=need.commands if need.leave is None else (*need.commands, need.leave),
        acknowledged=None if act is None else Acknowledged(act.actor, act.at, act.reason, act.until),
    )
