"""Reads and writes slots in the ledger. Methods that write must be called inside a transaction."""

import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from aetherflow.core.api import StateError
from aetherflow.core.embedding import iso
from aetherflow.scheduler.ledger.records import ATTEMPT_COLUMNS, COLUMNS, LATEST, Attempt, SlotRow, insert
from aetherflow.scheduler.ledger.run_ids import run_id_of
from aetherflow.scheduler.ledger.store import Ledger
from aetherflow.scheduler.ledger.truth import Fate
from aetherflow.scheduler.reasons import GOES_ON, MEANT, Reason, columns
from aetherflow.scheduler.schedule.policy import Capacity, Status, Verdict

_OPEN = "status IN ('WAITING', 'RUNNING', 'INTERRUPTED')"  # as the index has it
_UNWELL = "status IN ('FAILED', 'UNKNOWN', 'MISSED')"  # likewise

_LATER = """SELECT status FROM slots WHERE item=? AND slot>? AND status IN
    ('SUCCESS', 'FAILED', 'UNKNOWN', 'INTERRUPTED') ORDER BY slot DESC LIMIT 1"""
"""How the newest of the later slots has ended: an item is well again only with that one."""


def is_bad(status: str, reason_code: str | None) -> bool:
    """Whether somebody has to know that a slot has become that."""
    if status == Status.INTERRUPTED:
        return reason_code not in GOES_ON
    return status in (Status.FAILED, Status.UNKNOWN) or (status == Status.MISSED and reason_code not in MEANT)


class Slots:
    """Access to the tables `slots` and `attempts`."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.db = ledger.db

    # Reading

    def find(self, item: str, slot: int) -> SlotRow | None:
        """The row of a slot; None if the ledger has none."""
        return next(iter(self._select("item=? AND slot=?", (item, slot))), None)

    def active(self) -> list[SlotRow]:
        """All slots that are WAITING or RUNNING, ordered by time.

        They are asked for many times in one look at the ledger: outside of transactions they are read again only after
        a change.
        """
        if self.db.in_transaction:
            return self._read_active()
        seen = self.ledger.seen()
        if self.ledger.active is None or self.ledger.active[0] != seen:
            self.ledger.active = seen, self._read_active()
        return self.ledger.active[1].copy()

    def _read_active(self) -> list[SlotRow]:
        return self._select(f"{_OPEN} AND status<>'INTERRUPTED' ORDER BY slot, item")

    def active_of(self, item: str) -> list[SlotRow]:
        """The WAITING and RUNNING slots of an item, ordered by time."""
        return self._select(f"{_OPEN} AND status<>'INTERRUPTED' AND item=? ORDER BY slot", (item,))

    def interrupted(self) -> list[SlotRow]:
        """All INTERRUPTED slots, ordered by time."""
        return self._select(f"{_OPEN} AND status='INTERRUPTED' ORDER BY slot, item")

    def unwell(self, most: int, item: str | None = None) -> list[SlotRow]:
        """The latest slots that did not end in SUCCESS although they should have, at most so many."""
        where = f"{_UNWELL} AND item=coalesce(?, item) ORDER BY slot DESC, item LIMIT ?"
        stopped = [row for row in self.interrupted() if item in (None, row.item)]
        return self._select(where, (item, most)) + stopped

    def held(self) -> list[SlotRow]:
        """Those that were skipped for a slot which is healed now."""
        return self._select(f"reason_code='after_healed' AND status='{Status.SKIPPED}' ORDER BY slot, item")

    def skipped_after(self, item: str, start: int, end: int) -> list[SlotRow]:
        """Slots of an item in [start, end) that were skipped for the slot that they follow."""
        where = "item=? AND slot>=? AND slot<? AND status='SKIPPED' AND reason_code='after'"
        return self._select(f"{where} ORDER BY slot", (item, start, end))

    def held_by(self, item: str, first: int, last: int, other: str) -> list[SlotRow]:
        """Slots of an item that wait, or were skipped, for one of another item in [first, last]."""
        where = (
            "item=? AND slot>=? AND reason_code='after' "
            "AND slot < coalesce((SELECT min(slot) FROM slots WHERE item=? AND slot>?), ?) ORDER BY slot"
        )
        return self._select(where, (item, first, other, last, LATEST))

    def between(self, item: str, start: int, end: int) -> dict[int, SlotRow]:
        """Instant to row, for the slots of an item in [start, end], ordered by time."""
        rows = self._select("item=? AND slot BETWEEN ? AND ? ORDER BY slot", (item, start, end))
        return {row.slot: row for row in rows}

    def latest(self, item: str, before: int | None = None) -> SlotRow | None:
        """The latest slot of an item, or the latest one at or before an instant; None if there is none."""
        limit = LATEST if before is None else before
        return next(iter(self._select("item=? AND slot<=? ORDER BY slot DESC LIMIT 1", (item, limit))), None)

    def last_run(self, item: str) -> SlotRow | None:
        """The latest slot of an item that was ever started; None if there is none."""
        query = "item=? AND started_at IS NOT NULL ORDER BY slot DESC LIMIT 1"
        return next(iter(self._select(query, (item,))), None)

    def attempts(self, item: str, slot: int) -> list[Attempt]:
        """The starts of a slot, oldest first."""
        query = f"SELECT {ATTEMPT_COLUMNS} FROM attempts WHERE item=? AND slot=? ORDER BY attempt"  # noqa: S608 ours
        return [Attempt(*row) for row in self.ledger.read(query, (item, slot))]

    def was_started_as(self, row: SlotRow) -> bool:
        """Whether an earlier start of the slot had its present run id."""
        return any(
            each.run_id == row.run_id and each.attempt < row.attempts for each in self.attempts(row.item, row.slot)
        )

    def room(self, max_running: int, pools: Mapping[str, int]) -> Capacity:
        """The limits, and the number of running slots of all processes."""
        rows = self.ledger.read(
            f"SELECT pool, count(*) FROM slots WHERE {_OPEN} AND status='RUNNING' GROUP BY pool"  # noqa: S608 ours
        )
        in_pool = {pool: number for pool, number in rows if pool is not None}
        return Capacity(max_running, pools, sum(number for _, number in rows), in_pool)

    def _select(self, where: str, values: Sequence[Any] = ()) -> list[SlotRow]:
        query = f"SELECT {COLUMNS} FROM slots WHERE {where}"  # noqa: S608 names are ours
        return [self._read(row) for row in self.ledger.read(query, values)]

    def _read(self, row: tuple[Any, ...]) -> SlotRow:
        try:
            return SlotRow.read(row)
        except ValueError as error:  # edited by hand, or a damaged disk
            item, slot = row[:2]
            raise StateError(
                f"ledger {self.ledger.path}: the row of {item} {iso(slot)} cannot be read: {error}",
                fix=f"correct it with sqlite3 (item={item!r}, slot={slot}), or bring the ledger back from a copy",
            ) from error

    # Writing

    def claim(
        self,
        item: str,
        verdicts: Iterable[Verdict],
        *,
        trigger: str,
        owner: str | None = None,
        pool: str | None = None,
        params: Mapping[str, Any] | None = None,
    ) -> list[Verdict]:
        """Insert slots with their verdicts; returns the verdicts of new slots.

        A slot that is known stays as it is. One that was missed at a time which now lies ahead, by a clock that went
        back since, is decided again: nothing has run.
        """
        now = self.ledger.clock.now_ms()
        given = json.dumps(dict(params or {}), ensure_ascii=False, default=str)
        new: list[Verdict] = []
        rows: list[dict[str, Any]] = []
        verdicts = list(verdicts)
        instants = [verdict.slot for verdict in verdicts]
        there = self.between(item, min(instants), max(instants)) if instants else {}
        for verdict in verdicts:
            known = there.get(verdict.slot)
            if known is not None and not known.from_the_future(now):
                continue
            waiting = verdict.status == Status.WAITING
            values: dict[str, Any] = {
                "item": item,
                "slot": verdict.slot,
                "status": str(verdict.status),
                **columns(verdict.reason),
                "run_id": run_id_of(item, verdict.slot),
                "trigger": trigger,
                "host": self.ledger.host,
                "owner": owner if waiting else None,
                "claimed_at": now,
                "finished_at": None if waiting else now,
                "waits_since": now if verdict.delay_ms else None,
                "not_before": now + verdict.delay_ms if verdict.delay_ms else None,
                "queued": int(verdict.catch_up),
                "pool": pool,
                "params": given,
            }
            if known is not None:
                self.db.execute("DELETE FROM slots WHERE item=? AND slot=?", (item, verdict.slot))
            rows.append(values)
            new.append(verdict)
        insert(self.db, "slots", *rows)
        if bad := [row for row in rows if is_bad(row["status"], row["reason_code"])]:
            self._tell_new(item, bad)
        return new

    def update(self, row: SlotRow, **values: Any) -> bool:
        """Change a slot if its status, owner and attempt number still match `row`; returns False if not."""
        sets = ", ".join(f"{name}=?" for name in values)
        done = self.db.execute(
            f"UPDATE slots SET {sets} WHERE item=? AND slot=? AND status=? AND coalesce(owner, '')=? AND attempts=?",  # noqa: S608
            (*values.values(), row.item, row.slot, row.status, row.owner or "", row.attempts),
        )
        if not done.rowcount:
            return False
        if (status := values.get("status", row.status)) != row.status:
            if is_bad(status, values.get("reason_code")):
                self._tell(row.item, row.slot)
            elif status == Status.SUCCESS:
                self._tell_recovery(row)
        return True

    def _tell(self, item: str, slot: int) -> None:
        """Write a slot into the outbox, in the transaction that makes it what it is: its end is bad."""
        query = """SELECT status, reason_code, reason, log, run_id, coalesce(finished_at, claimed_at),
            (SELECT max(started_at) FROM attempts a WHERE a.item=s.item AND a.slot=s.slot),
            (SELECT detail FROM outbox o WHERE o.item=s.item ORDER BY seq DESC LIMIT 1) FROM slots s
            WHERE item=? AND slot=?"""
        status, code, message, log, run_id, at, started, last = self.db.execute(query, (item, slot)).fetchone()
        detail = _detail(code, message, 1 + (_failures(last) if last else 0), log=log, started_at=started)
        self._enter(item, [(slot, run_id, status.lower(), detail, at)])

    def _tell_new(self, item: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """The same for new slots of an item, which were never started: of a month of minutes there are many."""
        last = self._last_told(item)
        failures = last[1] if last is not None else 0
        found = []
        for number, row in enumerate(rows, start=failures + 1):
            detail = _detail(row["reason_code"], row["reason"], number)
            found.append((row["slot"], row["run_id"], row["status"].lower(), detail, row["claimed_at"]))
        self._enter(item, found)

    def _tell_recovery(self, row: SlotRow) -> None:
        """The same, if it is well after a bad end of its item, and the newest of the later ones is well, too."""
        last = self._last_told(row.item)
        later = self.db.execute(_LATER, (row.item, row.slot)).fetchone()
        if last is not None and last[0] != "recovered" and later in (None, (Status.SUCCESS,)):
            query = "SELECT coalesce(finished_at, claimed_at) FROM slots WHERE item=? AND slot=?"
            at = self.db.execute(query, (row.item, row.slot)).fetchone()[0]
            self._enter(row.item, [(row.slot, row.run_id, "recovered", {"failures": 0}, at)])

    def _last_told(self, item: str) -> tuple[str, int] | None:
        """The event and the failures of the latest row of an item in the outbox."""
        query = "SELECT event, detail FROM outbox WHERE item=? ORDER BY seq DESC LIMIT 1"
        row = self.db.execute(query, (item,)).fetchone()
        return (row[0], _failures(row[1])) if row is not None else None

    def _enter(self, item: str, entries: Iterable[tuple[int, str, str, Mapping[str, Any], int]]) -> None:
        """Write rows of an item into the outbox: slot, run id, event, detail and time of each."""
        # ids are in the order in which rows were written: many may be of one instant
        ((seq,),) = self.db.execute("SELECT coalesce(max(seq), 0) FROM outbox").fetchall()
        # and no time is before that of the last one, as where the clock was set back: they are notified in order
        last = self.db.execute("SELECT at FROM outbox WHERE item=? ORDER BY seq DESC LIMIT 1", (item,)).fetchone()
        rows, earliest = [], last[0] if last is not None else 0
        for before, (slot, run_id, event, detail, at) in enumerate(entries, start=seq):
            values = {"id": f"{before:08x}{secrets.token_hex(12)}", "item": item, "slot": slot, "run_id": run_id}
            rows.append({**values, "event": event, "detail": json.dumps(detail), "at": max(at, earliest)})
        insert(self.db, "outbox", *rows)

    def begin(self, row: SlotRow, trigger: str, log: str) -> SlotRow | None:
        """Mark a waiting slot as RUNNING in this process and add an attempt; None if it no longer matches `row`."""
        now, attempt, me = self.ledger.clock.now_ms(), row.attempts + 1, self.ledger.me
        started = self.update(
            row,
            status=Status.RUNNING,
            **columns(None),
            owner=me,
            attempts=attempt,
            started_at=row.started_at if row.started_at is not None else now,
            finished_at=None,
            exit_code=None,
            told_by=None,
            waits_since=None,
            not_before=None,
            host=self.ledger.host,
            log=log,
        )
        if not started:
            return None
        values = {"item": row.item, "slot": row.slot, "run_id": row.run_id, "attempt": attempt}
        values |= {"status": Status.RUNNING, "trigger": trigger, "host": self.ledger.host, "started_at": now}
        insert(self.db, "attempts", {**values, "log": log})
        return self.find(row.item, row.slot)

    def note_process(self, row: SlotRow, pid: int | None, birth: str | None) -> None:
        """Record the process of a run, so that it can be found after this process has died."""
        self.update(row, pid=pid, birth=birth)
        key = (pid, row.item, row.slot, row.attempts)
        self.db.execute("UPDATE attempts SET pid=? WHERE item=? AND slot=? AND attempt=?", key)

    def note_late(self, row: SlotRow, message: str) -> bool:
        """Record that a slot is late, and write it into the outbox. False if it no longer matches `row`."""
        if not self.update(row, late=1):
            return False
        last = self._last_told(row.item)
        detail = {"code": "late", "message": message, "log": row.log, "failures": last[1] if last else 0}
        self._enter(row.item, [(row.slot, row.run_id, "late", detail, self.ledger.clock.now_ms())])
        return True

    def end(
        self, row: SlotRow, status: Status, reason: Reason | None, exit_code: int | None, into: Mapping[str, Any]
    ) -> bool:
        """Record the end of an attempt and the columns `into` of its slot.

        False if the slot no longer matches `row`.
        """
        values = {"status": status, **columns(reason), "exit_code": exit_code, "owner": None, "pid": None}
        values |= {"birth": None, "finished_at": self.ledger.clock.now_ms(), **into}
        if not self.update(row, **values):
            return False
        self.end_attempt(row, status, reason, exit_code)
        return True

    def settle(self, row: SlotRow, fate: Fate) -> bool:
        """Let a slot be what its run is; its starts stay as they ended. False if it is not as `row` says any more."""
        values = {"status": fate.status, **columns(fate.reason), "finished_at": fate.finished_at, "told_by": None}
        if fate.place is not None:
            values |= dict(zip(("flow_id", "state_path"), fate.place, strict=True))
        if not self.update(row, **values, owner=None, pid=None, birth=None):
            return False
        self.end_attempt(row, fate.status, fate.reason, None)  # of one that was RUNNING
        return True

    def end_attempt(self, row: SlotRow, status: Status, reason: Reason | None, exit_code: int | None) -> None:
        """Record the end of the last start of a slot, unless it has one."""
        self.db.execute(
            "UPDATE attempts SET status=?, reason=?, reason_code=?, exit_code=?, finished_at=? "
            "WHERE item=? AND slot=? AND attempt=? AND finished_at IS NULL",
            (
                status,
                *columns(reason).values(),
                exit_code,
                self.ledger.clock.now_ms(),
                row.item,
                row.slot,
                row.attempts,
            ),
        )


def _failures(detail: str) -> int:
    return json.loads(detail).get("failures") or 0


def _detail(
    code: str | None, message: str | None, failures: int, *, log: str | None = None, started_at: int | None = None
) -> dict[str, Any]:
    """What the outbox says of a bad end; `failures` counts those of the item since it was last well."""
    return {"code": code, "message": message, "log": log, "failures": failures, "started_at": started_at}
