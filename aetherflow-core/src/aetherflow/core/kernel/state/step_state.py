"""The steps of one run in its state file: a row for each attempt, one transaction for each transition."""

import json
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

from aetherflow.core.base.said import Reason, read_reason, said
from aetherflow.core.kernel.state.blobs import dump_outputs, load_outputs
from aetherflow.core.kernel.state.chain import ledger_mark
from aetherflow.core.kernel.state.reasons import StateReason, reason_columns
from aetherflow.core.kernel.state.records import (
    StepEffects,
    StepEnd,
    StepKey,
    StepRecord,
    StepStart,
    StoredArtifact,
)
from aetherflow.core.kernel.state.schema import DEF_VERSION
from aetherflow.core.kernel.state.sql import insert, keys_from, put, update
from aetherflow.core.kernel.state.transitions import STEP, Status, require_legal
from aetherflow.core.kernel.state.unit import StepDiscarded, StepEnded, Unit
from aetherflow.core.kernel.state.values import to_json

_COLUMNS = (
    "attempt, status, effect, reason_code, reason, error, started_at, finished_at, def_hash, def_version, secret_keys"
)
_WHERE = "WHERE flow_id=? AND run_id=? AND job_id=? AND step_id=? AND item_key=? AND attempt=?"


class StepStates:
    """The attempts of one run.

    The latest attempt of each step is kept in memory: the run has one owner, and every transaction checks that it is
    still this process.
    """

    def __init__(self, unit: Unit) -> None:
        self._unit = unit
        self._latest: dict[StepKey, StepRecord] = {}

    # Reading

    def load(self) -> None:
        """Read the latest attempt of every step."""
        query = f"SELECT job_id, step_id, item_key, {_COLUMNS} FROM step_runs WHERE flow_id=? AND run_id=? "  # noqa: S608 names are ours
        rows = self._unit.db.execute(query + "ORDER BY attempt", tuple(self._unit.key.values()))
        for job, step, item, attempt, status, effect, code, reason, error, started, finished, *made, secret in rows:
            keys = tuple(json.loads(secret)) if secret else ()
            why, (def_hash, def_version) = read_reason(code, reason), made
            self._latest[StepKey(job, step, item)] = StepRecord(
                attempt, Status(status), effect, why, error, started, finished, def_hash, def_version, keys
            )

    @property
    def latest(self) -> Mapping[StepKey, StepRecord]:
        """Step to its latest attempt; only steps that have one."""
        return self._latest

    def outputs(self, key: StepKey) -> dict[str, Any]:
        """The stored outputs of the latest attempt of a step; empty if there are none."""
        row = self._unit.db.execute(
            f"SELECT outputs, blob FROM step_runs {_WHERE}",  # noqa: S608 names are ours
            self._at(key),
        ).fetchone()
        return load_outputs(row[0], row[1], self._unit.blobs)

    def times_set_aside(self, key: StepKey) -> int:
        """Number of discarded attempts of a step."""
        query = "SELECT count(*) FROM step_runs WHERE flow_id=? AND run_id=? AND job_id=? AND step_id=? AND item_key=?"
        query += f" AND status='{Status.DISCARDED}'"
        return int(self._unit.db.execute(query, (*self._unit.key.values(), *key)).fetchone()[0])

    def items(self, key: StepKey) -> list[Any] | None:
        """The frozen list of the latest attempt of a `for_each`; None if it has none."""
        row = self._unit.db.execute(
            f"SELECT items, items_blob FROM step_runs {_WHERE}",  # noqa: S608 names are ours
            self._at(key),
        ).fetchone()
        if row is None or row == (None, None):
            return None
        found: list[Any] = load_outputs(row[0], row[1], self._unit.blobs)["items"]
        return found

    def artifacts(self, job_id: str | None = None) -> list[StoredArtifact]:
        """Recorded artifacts of the run, or of one job, sorted by path."""
        where = self._unit.key if job_id is None else {**self._unit.key, "job_id": job_id}
        conditions = " AND ".join(f"{name}=?" for name in where)
        query = f"SELECT job_id, step_id, item_key, path, size, sha256, gone_by FROM artifacts WHERE {conditions}"  # noqa: S608 names are ours
        rows = self._unit.db.execute(query + " ORDER BY path", tuple(where.values()))
        return [StoredArtifact(StepKey(*row[:3]), *row[3:]) for row in rows]

    def ledger(self, namespace: str, prefix: str) -> dict[str, Any]:
        """Final values of one ledger of the flow by their keys, which start with `prefix`, sorted."""
        return {key: value for key, (value, _) in self.entries(namespace, prefix).items()}

    def entries(self, namespace: str, prefix: str) -> dict[str, tuple[Any, str]]:
        """The same, each with the mark of its writing: another one if it is written again."""
        keys, bounds = keys_from(prefix)
        query = f"SELECT key, value, run_id, at FROM ledger WHERE flow_id=? AND namespace=? AND {keys} ORDER BY key"  # noqa: S608 names are ours
        rows = self._unit.db.execute(query, (self._unit.flow_id, namespace, *bounds))
        return {key: (json.loads(value), mark_of(run_id, at)) for key, value, run_id, at in rows}

    # Transitions

    def start(self, start: StepStart) -> int:
        """Record the start of an attempt, before it may have any effect; returns its number."""
        items, blob = (None, None) if start.items is None else dump_outputs(start.items, self._unit.blobs)
        with self._unit.transaction("step RUNNING"):
            return self._start(start, items=items, items_blob=blob)

    def finish(self, key: StepKey, end: StepEnd, then: StepStart | None = None) -> int:
        """Record a successful end: status, outputs, artifacts, job outputs and ledger entries in one transaction.

        `then` is the start of the next step, in the same transaction; returns the number of that attempt, else 0. The
        files that the rows name are durable before: a file is synced when it is published (`base.durable`), a large
        output when it is stored (`state.blobs`).
        """
        text, blob = dump_outputs(end.outputs, self._unit.blobs)
        promoted = None if end.job_outputs is None else dump_outputs(end.job_outputs, self._unit.blobs)
        secret = to_json(list(end.secret_keys)) if end.secret_keys else None
        ended, read, event = self._unit.now_ms(), end.effects.read(), StepEnded(key, end.effects)
        with self._unit.recording(f"step {end.status}", event):
            self._unit.apply(event)  # first: it may fail, and the attempt with it
            columns = {**reason_columns(end.reason), "outputs": text, "blob": blob, "secret_keys": secret}
            self._end(key, end.status, finished_at=ended, **columns)
            self._promote(key.job, promoted)
            self._store_effects(key, end.effects)
            self._journal_read(key, read)
            number = self._start(then) if then is not None else 0
        self._latest[key].secret_keys = end.secret_keys
        return number

    def fail(
        self,
        key: StepKey,
        status: Status,
        error: str,
        facts: Mapping[tuple[str, str], Any] = MappingProxyType({}),
        read: Callable[[], Mapping[str, Any]] = dict,
    ) -> None:
        """Record an end as FAILED or INTERRUPTED. `facts` are ledger entries that are stored nevertheless.

        If `error` is a Reason, its code is stored, too.
        """
        ended, noted = self._unit.now_ms(), read()
        with self._unit.transaction(f"step {status}"):
            self._end_badly(key, status, error, finished_at=ended)
            self._store_ledger(facts)
            self._journal_read(key, noted)

    def skip(self, keys: Iterable[StepKey], reason: Reason, def_hashes: Mapping[StepKey, str]) -> None:
        """Record the remaining steps of a short-circuited job as SKIPPED; they are never executed."""
        outputs = to_json({"skipped": True, "reason": reason})
        with self._unit.transaction("steps SKIPPED"):
            for key in keys:
                self._insert(StepStart(key, "repeatable", "", "", def_hashes[key]), Status.SKIPPED)
                values = {"outputs": outputs, **reason_columns(reason), "finished_at": self._unit.now_ms()}
                update(self._unit.db, "step_runs", values, self._row(key))
                self._latest[key].reason = reason
                self._journal_end(key, Status.SKIPPED)

    def set_aside(self, key: StepKey) -> None:
        """As `discard`, in a transaction of its own."""
        with self._unit.transaction("step DISCARDED"):
            self.discard(key)

    # Within the transaction that begins the run

    def interrupt_all(self) -> None:
        """Record attempts that a dead process left RUNNING as INTERRUPTED."""
        for key, record in self._latest.items():
            if record.status is Status.RUNNING:
                self._end_badly(key, Status.INTERRUPTED, said(StateReason.PROCESS_ENDED))

    def discard(self, key: StepKey) -> None:
        """Discard a result, so that the step runs again."""
        self._change(key, Status.DISCARDED)
        self._unit.apply(StepDiscarded(key))

    def accept(self, key: StepKey, def_hash: str) -> None:
        """Keep a result with a new definition."""
        update(self._unit.db, "step_runs", {"def_hash": def_hash, "def_version": DEF_VERSION}, self._row(key))
        self._latest[key].def_hash, self._latest[key].def_version = def_hash, DEF_VERSION

    def decide_done(self, key: StepKey, reason: Reason) -> None:
        """Record that an interrupted `once` step was done according to a person."""
        self._change(key, Status.SUCCESS, outputs="{}", **reason_columns(reason))

    # Helpers

    def _promote(self, job_id: str, dumped: tuple[str | None, str | None] | None) -> None:
        if dumped is not None:
            values = dict(zip(("outputs", "blob"), dumped, strict=True))
            update(self._unit.db, "job_runs", values, {**self._unit.key, "job_id": job_id})

    def _start(self, start: StepStart, **columns: Any) -> int:
        number = self._insert(start, Status.RUNNING, **columns)
        self._unit.journal("step_start", **_named(start.key), attempt=number)
        return number

    def _insert(self, start: StepStart, status: Status, **columns: Any) -> int:
        key, found = start.key, self._latest.get(start.key)
        require_legal(STEP, f"step {key}", found.status if found else None, status)
        number, at = (found.attempt + 1 if found else 1), self._unit.now_ms()
        # a hash that was kept from the previous attempt has that attempt's version
        def_version = found.def_version if found and found.def_hash == start.def_hash else DEF_VERSION
        values = {
            **self._place(key), "attempt": number, "status": status, "effect": start.effect, "started_at": at,
            "idem_key": start.idem_key, "plugin": start.plugin, "label": start.label,
            "def_hash": start.def_hash, "def_version": def_version, **columns,
        }  # fmt: skip
        insert(self._unit.db, "step_runs", values)
        made = start.def_hash, def_version
        self._latest[key] = StepRecord(number, status, start.effect, None, None, at, None, *made, ())
        return number

    def _end_badly(self, key: StepKey, status: Status, error: str, **columns: Any) -> None:
        code = error.code if isinstance(error, Reason) else None
        self._end(key, status, error=error, reason_code=code, **columns)

    def _end(self, key: StepKey, status: Status, **columns: Any) -> None:
        self._change(key, status, **{"finished_at": self._unit.now_ms(), **columns})

    def _change(self, key: StepKey, status: Status, **columns: Any) -> None:
        record = self._latest[key]
        require_legal(STEP, f"step {key}", record.status, status)
        update(self._unit.db, "step_runs", {"status": status, **columns}, self._row(key))
        record.status = status
        record.reason, record.error = columns.get("reason", record.reason), columns.get("error", record.error)
        record.finished_at = columns.get("finished_at", record.finished_at)
        self._journal_end(key, status)

    def _journal_end(self, key: StepKey, status: Status) -> None:
        self._unit.journal("step_end", **_named(key), attempt=self._latest[key].attempt, status=status)

    def _store_effects(self, key: StepKey, effects: StepEffects) -> None:
        unit = self._unit
        for artifact in effects.artifacts.values():
            row = {**self._place(key), **artifact._asdict(), "gone_by": None}
            put(unit.db, "artifacts", ("flow_id", "run_id", "path"), row)
        for path in effects.consumed:
            update(unit.db, "artifacts", {"gone_by": str(key)}, {**unit.key, "path": path})
        self._store_ledger(effects.ledger)

    def _journal_read(self, key: StepKey, found: Mapping[str, Any]) -> None:
        if found:
            self._unit.journal("files_read", **_named(key), attempt=self._latest[key].attempt, **found)

    def _store_ledger(self, entries: Mapping[tuple[str, str], Any]) -> None:
        unit, at, written = self._unit, self._unit.now_ms(), dict[str, dict[str, str]]()
        for (namespace, name), value in entries.items():
            row = {"flow_id": unit.flow_id, "namespace": namespace, "key": name, "value": to_json(value)}
            put(unit.db, "ledger", ("flow_id", "namespace", "key"), {**row, "run_id": unit.run_id, "at": at})
            written.setdefault(namespace, {})[name] = ledger_mark(row["value"], at)
        for namespace, keys in written.items():
            unit.journal("ledger_written", ledger=namespace, keys=keys)

    def _place(self, key: StepKey) -> dict[str, str]:
        return {**self._unit.key, "job_id": key.job, "step_id": key.step, "item_key": key.item}

    def _row(self, key: StepKey) -> dict[str, Any]:
        return {**self._place(key), "attempt": self._latest[key].attempt}

    def _at(self, key: StepKey) -> tuple[Any, ...]:
        found = self._latest.get(key)
        return (*self._unit.key.values(), *key, found.attempt if found else 0)


def _named(key: StepKey) -> dict[str, str]:
    named = {"job": key.job, "step": key.step}
    return {**named, "item": key.item} if key.item else named


def mark_of(run_id: str, at: int) -> str:
    """Return the mark that tells one writing of a ledger's key from another."""
    return f"{run_id}@{at}"
