"""Takes transitions from the outboxes: those of the states of runs, of the registry, and of ledgers.

A row is entered into the book first, and marked as taken then; a kill in between takes it once more, under its id. Of a
run that is a slot, only one of both is taken: what the run says, or else what the slot knows alone.
"""

import json
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple

from aetherflow.core.base import durable
from aetherflow.core.base.errors import AetherflowError
from aetherflow.core.base.said import ReasonCode, said
from aetherflow.core.base.times import iso
from aetherflow.core.contracts.notification import Notification
from aetherflow.core.kernel.state.member import Member
from aetherflow.core.kernel.state.reasons import StateReason
from aetherflow.core.kernel.state.unit import Unit
from aetherflow.core.records import outbox
from aetherflow.core.records.history import PastRun, past_run
from aetherflow.core.records.migration import open_state
from aetherflow.core.records.outbox import OutboxRow
from aetherflow.core.records.refused import Refused, healer_of, open_refusal_rows, refusal_rows_taken
from aetherflow.core.runtime.resuming import Resumes, in_folder, stands_in_no_file, words_again
from aetherflow.core.runtime.sending.book import Book, Taken, from_ms
from aetherflow.core.runtime.sending.cause import cause
from aetherflow.core.runtime.sending.ledgers import Ledgers, LedgerSource, Slot, SlotTransition
from aetherflow.core.runtime.sending.reading import in_registry, in_state, project_above, real_path, states

BAD = frozenset({"failed", "unknown", "interrupted"})
_RUNNING = """SELECT flow_id, run_id, state_path FROM runs
    WHERE status='RUNNING' AND status<>'SUCCESS' AND settled IS NULL
    UNION ALL SELECT flow_id, run_id, state_path FROM runs WHERE status='RUNNING' AND settled='before'"""
"""Those that nobody has closed, as the indexes of the registry find them: a sender asks twice."""


class NotificationReason(ReasonCode):
    """What a notification says where neither the run nor the slot says why."""

    GONE = "gone", "its process ended without a word"
    UNDECIDED = "undecided", "a step was interrupted; whether it had its effect has to be decided"
    STOPPED = "stopped", "it was stopped"
    UNSAID = "unsaid", "it did not end well"
    RECOVERED = "recovered", "it is well again"
    STARTED = "started", "it has begun"
    SUCCEEDED = "succeeded", "it ended well"


class _RowOfRun(NamedTuple):
    row: OutboxRow
    run: PastRun


def has_open(root: Path, ledgers: Ledgers) -> bool:
    """Whether an outbox has anything that nobody has taken yet, or a run has ended without a word."""
    if in_registry(root, lambda db: bool(open_refusal_rows(db))) or ledgers.has_open() or _gone(root):
        return True
    return any(in_state(path, outbox.has_open) for path in states(root))


def collect(root: Path, book: Book, ledgers: Ledgers) -> None:
    """Take all that is open. What cannot be read now is taken another time."""
    slots = ledgers.open_rows()  # first: what a slot has in its outbox, its run has had in its own before
    waiting = _write_down_gone(root, book, ledgers)
    for path in states(root):
        waiting |= _take_runs(root, path, book, ledgers)
    waiting |= _take_refused(root, book, ledgers)
    for ledger, rows in slots.items():
        free = [row for row in rows if row.event not in BAD or row.run_id not in waiting]
        _take_slots(root, ledger, free, book, ledgers)
    _take_healed(root, book)


def _take_runs(root: Path, path: Path, book: Book, ledgers: Ledgers) -> set[str]:
    """The rows of one state file, but for those of runs that a scheduler is about to start again: their ids."""
    found: list[_RowOfRun] = in_state(path, lambda db: _rows(db, path)) or []
    take, done, waiting = list[Taken](), list[str](), set[str]()
    for row, run in found:
        slot = ledgers.slot_of(row.run_id)
        if slot is not None and row.event in BAD:
            if slot.goes_on(row.at):
                waiting.add(row.run_id)
                continue
            if slot.status == "SUCCESS":  # by another start of its scheduler: nobody needs to know
                done.append(row.id)
                continue
        if slot is not None and row.event == outbox.RECOVERED and not slot.is_well_again:
            done.append(row.id)  # the ledger says when it is
            continue
        take.append(_of_run(root, row, run, slot))
        done.append(row.id)
    book.take(take)
    if done:
        with suppress(sqlite3.Error, OSError, AetherflowError), closing(open_state(path)) as store:
            outbox.mark_taken(store.connection, done)
    return waiting


def _rows(db: durable.Database, path: Path) -> list[_RowOfRun]:
    rows = outbox.open_transitions(db)
    runs = {(row.flow_id, row.run_id): past_run(db, path, row.flow_id, row.run_id) for row in rows}
    return [_RowOfRun(row, run) for row in rows if (run := runs[row.flow_id, row.run_id]) is not None]


def _of_run(root: Path, row: OutboxRow, run: PastRun, slot: Slot | None) -> Taken:
    job, step, code = (row.detail.get(name) for name in ("job", "step", "code"))
    message = row.detail.get("message") or (row.event in BAD and run.error) or str(said(_unsaid(row.event, run)))
    command, in_file = None, not stands_in_no_file(run)
    if row.event in BAD and slot is not None and not in_file:
        command = slot.command  # with the lock of the item, and recorded for the slot
    elif row.event in BAD:
        with suppress(AetherflowError):
            command = Resumes(root, here=Path("/")).command(run)
    return Taken(
        Notification(
            id=row.id,
            event=row.event,
            cause=cause(row.event, code, job, step, message, run.run_id, run.slot),
            at=from_ms(row.at),
            flow=run.flow_id,
            flow_file=run.flow_path if in_file else None,
            run_id=run.run_id,
            item=slot.item if slot is not None else None,
            slot=run.slot,
            job=job,
            step=step,
            code=code or run.reason_code,
            message=message,
            next=command,
            owner=run.owner,
            runbook_url=run.runbook,
            log=str(run.log_path),
            failures=row.detail.get("failures", 0),
        ),
        real_path(run.config),
        str(slot.source.document) if slot is not None else None,
    )


def _unsaid(event: str, run: PastRun) -> NotificationReason:
    if event in (outbox.RECOVERED, outbox.STARTED, outbox.SUCCEEDED):
        return NotificationReason(event)
    if run.reason_code == StateReason.GONE:
        return NotificationReason.GONE
    return {"unknown": NotificationReason.UNDECIDED, "interrupted": NotificationReason.STOPPED}.get(
        event, NotificationReason.UNSAID
    )


# Runs whose process has ended without a word


def _gone(root: Path) -> list[PastRun]:
    running = in_registry(root, lambda db: db.execute(_RUNNING).fetchall()) or []
    found = []
    for flow_id, run_id, path in running:
        run = in_state(Path(path), lambda db, key=(Path(path), flow_id, run_id): past_run(db, *key))  # type: ignore[misc]
        if run is not None and run.reason_code == StateReason.GONE and run.trigger != "flow" and not _is_recorded(run):
            found.append(run)
    return sorted(found, key=lambda run: run.started_at)


def _is_recorded(run: PastRun) -> bool:
    path = Path(run.state_path)
    process = Member.of(path, run.flow_id, run.run_id), run.started_at, run.generation
    return bool(in_state(path, lambda db: outbox.is_recorded_gone(db, *process)))


def _write_down_gone(root: Path, book: Book, ledgers: Ledgers) -> set[str]:
    waiting = set[str]()
    for run in _gone(root):
        slot, seen = ledgers.slot_of(run.run_id), run.heartbeat_at or run.started_at
        if slot is not None and slot.goes_on(seen):
            waiting.add(run.run_id)
            continue
        with suppress(sqlite3.Error, OSError, AetherflowError), closing(open_state(Path(run.state_path))) as store:
            unit = Unit(store, run.flow_id, run.run_id)
            unit.generation = run.generation
            written = outbox.record_gone(unit)
            if written is not None and book.has_bad(run.run_id, seen):  # the kill was notified as one of its slot
                outbox.mark_taken(store.connection, [written])
    return waiting


# Starts that were refused


def _take_refused(root: Path, book: Book, ledgers: Ledgers) -> set[str]:
    rows = in_registry(root, open_refusal_rows) or []
    take, done, waiting = list[Taken](), list[str](), set[str]()
    for row_id, refused in rows:
        slot = ledgers.slot_of(refused.run_id) if refused.run_id else None
        if slot is not None and slot.goes_on(refused.last_at):
            waiting.add(refused.run_id or "")
            continue
        done.append(row_id)
        if slot is None or slot.status != "SUCCESS":
            take.append(_of_refused(row_id, refused, slot))
    book.take(take)
    if done:
        with suppress(sqlite3.Error, OSError, AetherflowError):
            refusal_rows_taken(root, done)
    return waiting


def _of_refused(row_id: str, refused: Refused, slot: Slot | None) -> Taken:
    code = refused.error_code or refused.reason_code
    following = json.loads(refused.following)[0] if refused.following else words_again(refused.command)
    folder = Path(refused.working_dir) if refused.working_dir else None
    return Taken(
        Notification(
            id=row_id,
            event="refused",
            cause=cause("refused", code, None, None, refused.reason, refused.run_id, refused.slot),
            at=from_ms(refused.at),
            flow=refused.flow_id,
            flow_file=refused.flow_path,
            run_id=refused.run_id,
            item=slot.item if slot is not None else None,
            slot=refused.slot,
            job=None,
            step=None,
            code=code,
            message=refused.reason,
            next=in_folder(folder, following, Path("/")),
            owner=refused.owner,
            runbook_url=refused.runbook,
            log=None,
            failures=refused.times,
        ),
        real_path(refused.config or _project_of(refused)),
        str(slot.source.document) if slot is not None else None,
        json.dumps([refused.id, refused.at]),
    )


def _project_of(refused: Refused) -> Path | None:
    """The project file above the manifest, the flow, or where it was typed."""
    for name in (refused.manifest, refused.flow_path):
        if name is not None and Path(name).is_absolute():
            return project_above(Path(name).parent)
    return project_above(Path(refused.working_dir)) if refused.working_dir else None


def _take_healed(root: Path, book: Book) -> None:
    """A start that was refused is well again when another one of it has ended well."""
    for taken, number, at in book.open_refusals():
        healer = in_registry(root, lambda db, key=(number, at): healer_of(db, *key))  # type: ignore[misc]
        if healer is None:
            continue
        flow_id, run_id, ended = healer
        before = taken.notification
        recovery = before._replace(
            id=cause("recovered", before.id, None, None, run_id),
            event=outbox.RECOVERED,
            cause="",
            at=from_ms(max(ended, at + 1)),  # it was recorded later, whatever the clocks said
            flow=flow_id,
            run_id=run_id,
            code=None,
            message=str(said(NotificationReason.RECOVERED)),
            next=None,
            failures=0,
        )
        book.healed(before.id, Taken(recovery, taken.project, taken.document))


# Slots


def _take_slots(root: Path, ledger: Path, rows: list[SlotTransition], book: Book, ledgers: Ledgers) -> None:
    """What slots alone know: not what was taken of their runs, nor of a slot that has succeeded since."""
    source, take = ledgers.source(ledger), list[Taken]()
    project = real_path(project_above(source.document.parent))
    for row in rows:
        since, known = row.detail.get("started_at") or 0, False
        if row.status == "SUCCESS" and (row.event in BAD or row.event == "missed"):
            known = True
        elif row.event in BAD:
            known = book.has_bad(row.run_id, since) or _was_refused(root, row.run_id, since)
        elif row.event == outbox.RECOVERED:
            known = book.has_event(row.run_id, row.event)
        if not known:
            take.append(_of_slot(source, project, row))
    book.take(take)
    if rows:
        with suppress(sqlite3.Error, OSError, AetherflowError):
            ledgers.taken(ledger, (row.id for row in rows))


def _was_refused(root: Path, run_id: str, since: int) -> bool:
    """Whether a start of a run was refused since then; one for the same reason as before is notified once."""
    query = "SELECT 1 FROM refused WHERE run_id=? AND last_at>=? LIMIT 1"
    return bool(in_registry(root, lambda db: db.execute(query, (run_id, since)).fetchone()))


def _of_slot(source: LedgerSource, project: str | None, row: SlotTransition) -> Taken:
    code, slot = row.detail.get("code"), iso(row.slot)
    unsaid = NotificationReason.RECOVERED if row.event == outbox.RECOVERED else NotificationReason.UNSAID
    message = row.detail.get("message") or str(said(unsaid))
    text = "" if row.event in ("missed", "late") else message  # which says how long, in one unit or another
    return Taken(
        Notification(
            id=row.id,
            event=row.event,
            cause=cause(row.event, code, None, None, text, row.run_id, slot),
            at=from_ms(row.at),
            flow=None,
            flow_file=None,
            run_id=row.run_id if row.event in BAD else None,
            item=row.item,
            slot=slot,
            job=None,
            step=None,
            code=code,
            message=message,
            next=row.next_of(source),
            owner=None,
            runbook_url=None,
            log=row.detail.get("log"),
            failures=row.detail.get("failures", 0),
        ),
        project,
        str(source.document),
    )
