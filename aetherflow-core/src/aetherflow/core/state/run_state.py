"""One run in a state file: its transitions, each one transaction."""

import dataclasses
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from aetherflow.core import durable
from aetherflow.core.errors import LostOwnershipError, StateError
from aetherflow.core.state.blobs import dump_outputs, load_outputs
from aetherflow.core.state.records import Artifact, Frozen, JobRecord, RunFacts, StepEffects, StepRecord, now_ms
from aetherflow.core.state.sql import insert, update
from aetherflow.core.state.store import StateStore
from aetherflow.core.state.transitions import JOB, RUN, STEP, Status, require_legal
from aetherflow.core.state.values import to_json


class RunState:
    """One run in a state file; every transition is one transaction that also checks that the run is still ours."""

    def __init__(self, store: StateStore, flow_id: str, run_id: str) -> None:
        self._store = store
        self._db = store.connection
        self.flow_id = flow_id
        self.run_id = run_id
        self.generation = 0
        self._blobs = store.side / "blobs" / flow_id / run_id  # per run: what a dead one left is then ours to remove

    # Runs

    def begin(self, facts: RunFacts, frozen: Frozen) -> None:
        """Enter the run, as new or again; attempts that a dead process left RUNNING become INTERRUPTED."""
        self._remove_unfinished_blobs()
        with self._guarded("begin run", check=False):
            found = self._store.find_run(self.flow_id, self.run_id)
            require_legal(RUN, f"run {self.run_id}", found.status if found else None, Status.RUNNING)
            self.generation = found.generation + 1 if found else 1
            entered = {"generation": self.generation, "status": Status.RUNNING, **dataclasses.asdict(facts)}
            entered |= {**dataclasses.asdict(frozen), "params": to_json(frozen.params)}
            if found is None:
                insert(self._db, "runs", {**self._run_key, **entered, "started_at": now_ms()})
            else:
                update(self._db, "runs", {**entered, "finished_at": None, "error": None}, self._run_key)
            self._journal("run_start", generation=self.generation)
            self._recognise_interrupted()

    def finish(self, status: Status, error: str | None = None) -> None:
        """End the run."""
        with self._guarded(f"run {status}"):
            require_legal(RUN, f"run {self.run_id}", Status.RUNNING, status)
            update(self._db, "runs", {"status": status, "error": error, "finished_at": now_ms()}, self._run_key)
            self._journal("run_end", status=status)

    # Jobs

    def job(self, job_id: str) -> JobRecord | None:
        """The job as stored."""
        row = self._db.execute(
            "SELECT status, outputs, blob, skip_reason, when_result FROM job_runs "
            "WHERE flow_id=? AND run_id=? AND job_id=?",
            (self.flow_id, self.run_id, job_id),
        ).fetchone()
        if row is None:
            return None
        status, outputs, blob, reason, when_result = row
        result = None if when_result is None else bool(when_result)
        return JobRecord(Status(status), load_outputs(outputs, blob, self._blobs), reason, result)

    def start_job(self, job_id: str) -> None:
        """A job enters execution; its `when` was true."""
        self._set_job(job_id, Status.RUNNING, when_result=True)

    def gate_job(
        self,
        job_id: str,
        status: Status,
        *,
        when_result: bool | None = None,
        skip_reason: str | None = None,
        blocked_by: str | None = None,
        error: str | None = None,
    ) -> None:
        """A job ends before it starts: SKIPPED by `when`, BLOCKED by a dependency, FAILED by its `when`."""
        self._set_job(
            job_id, status, when_result=when_result, skip_reason=skip_reason, blocked_by=blocked_by, error=error
        )

    def finish_job(
        self, job_id: str, status: Status, *, skip_reason: str | None = None, error: str | None = None
    ) -> None:
        """A job that was entered ends."""
        self._set_job(job_id, status, skip_reason=skip_reason, error=error, when_result=True)

    def _set_job(self, job_id: str, status: Status, **columns: Any) -> None:
        with self._guarded(f"job {status}"):
            found = self.job(job_id)
            require_legal(JOB, f"job {job_id}", found.status if found else None, status)
            at = now_ms()
            key = {**self._run_key, "job_id": job_id}
            insert(self._db, "job_runs", {**key, "status": status, "started_at": at}, otherwise="IGNORE")
            columns = {"blocked_by": None, "skip_reason": None, "error": None, **columns, "status": status}
            columns["finished_at"] = None if status is Status.RUNNING else at
            update(self._db, "job_runs", columns, key)
            self._journal("job_end" if columns["finished_at"] else "job_start", job=job_id, status=status)

    # Steps

    def step(self, job_id: str, step_id: str) -> StepRecord | None:
        """The latest attempt of a step as stored."""
        row = self._db.execute(
            "SELECT attempt, status, outputs, blob, reason, started_at, finished_at FROM step_runs "
            "WHERE flow_id=? AND run_id=? AND job_id=? AND step_id=? ORDER BY attempt DESC LIMIT 1",
            (self.flow_id, self.run_id, job_id, step_id),
        ).fetchone()
        if row is None:
            return None
        attempt, status, outputs, blob, reason, started, finished = row
        artifacts = self._artifacts(job_id, step_id)
        return StepRecord(
            attempt, Status(status), load_outputs(outputs, blob, self._blobs), reason, started, finished, artifacts
        )

    def start_step(self, job_id: str, step_id: str, *, effect: str, idem_key: str, plugin: str) -> int:
        """A new attempt starts; committed before it may have any effect. Returns its number."""
        with self._guarded("step RUNNING"):
            attempt = self._insert_step(job_id, step_id, Status.RUNNING, effect, idem_key, plugin)
            self._journal("step_start", job=job_id, step=step_id, attempt=attempt)
        return attempt

    def finish_step(
        self,
        job_id: str,
        step_id: str,
        attempt: int,
        status: Status,
        outputs: Mapping[str, Any],
        effects: StepEffects,
        *,
        reason: str | None,
        job_outputs: Mapping[str, Any],
    ) -> None:
        """An attempt ends well: status, outputs, artifacts, promoted job outputs and ledger in one transaction."""
        text, blob = dump_outputs(outputs, self._blobs)
        job_text, job_blob = dump_outputs(job_outputs, self._blobs)
        with self._guarded(f"step {status}"):
            self._end_step(job_id, step_id, attempt, status, reason=reason, outputs=text, blob=blob)
            promoted = {"outputs": job_text, "blob": job_blob}
            update(self._db, "job_runs", promoted, {**self._run_key, "job_id": job_id})
            self._store_effects(job_id, step_id, effects)

    def fail_step(self, job_id: str, step_id: str, attempt: int, status: Status, error: str) -> None:
        """An attempt ends badly: FAILED or INTERRUPTED."""
        with self._guarded(f"step {status}"):
            self._end_step(job_id, step_id, attempt, status, error=error)

    def skip_steps(self, job_id: str, step_ids: Iterable[str], reason: str) -> None:
        """The rest of a short-circuited job, recorded SKIPPED and never executed."""
        with self._guarded("steps SKIPPED"):
            for step_id in step_ids:
                attempt = self._insert_step(job_id, step_id, Status.SKIPPED, "repeatable", "", "")
                outputs = to_json({"skipped": True, "reason": reason})
                values = {"outputs": outputs, "reason": reason, "finished_at": now_ms()}
                update(self._db, "step_runs", values, {**self._step_key(job_id, step_id), "attempt": attempt})
                self._journal("step_end", job=job_id, step=step_id, attempt=attempt, status=Status.SKIPPED)

    # The flow's ledger

    def ledger_scan(self, namespace: str, prefix: str) -> dict[str, Any]:
        """Committed entries of one ledger whose key starts with `prefix`, sorted by key."""
        rows = self._db.execute(
            "SELECT key, value FROM ledger WHERE flow_id=? AND namespace=? AND substr(key, 1, ?)=? ORDER BY key",
            (self.flow_id, namespace, len(prefix), prefix),
        )
        return {key: json.loads(value) for key, value in rows}

    # Helpers

    @contextmanager
    def _guarded(self, name: str, *, check: bool = True) -> Iterator[None]:
        try:
            with durable.transaction(self._db, name):
                if check:
                    self._require_ownership()
                yield
        except (sqlite3.Error, OSError) as error:
            raise StateError(f"state file {self._store.path}: {error}", fix="check the disk, then run again") from error

    def _remove_unfinished_blobs(self) -> None:
        try:
            durable.remove_parts(self._blobs)
        except OSError as error:
            raise StateError(f"{self._blobs}: {error}", fix="check the disk, then run again") from error

    def _require_ownership(self) -> None:
        found = self._store.find_run(self.flow_id, self.run_id)
        if found is None or found.generation != self.generation:
            raise LostOwnershipError(f"run {self.run_id} was taken over by another process")

    def _recognise_interrupted(self) -> None:
        rows = self._db.execute(
            "SELECT job_id, step_id, attempt FROM step_runs WHERE flow_id=? AND run_id=? AND status=?",
            (self.flow_id, self.run_id, Status.RUNNING),
        ).fetchall()
        for job_id, step_id, attempt in rows:
            self._end_step(job_id, step_id, attempt, Status.INTERRUPTED, error="the process that ran it ended")

    @property
    def _run_key(self) -> dict[str, str]:
        return {"flow_id": self.flow_id, "run_id": self.run_id}

    def _step_key(self, job_id: str, step_id: str) -> dict[str, str]:
        return {**self._run_key, "job_id": job_id, "step_id": step_id}

    def _insert_step(self, job_id: str, step_id: str, status: Status, effect: str, idem_key: str, plugin: str) -> int:
        found = self.step(job_id, step_id)
        require_legal(STEP, f"step {job_id}.{step_id}", found.status if found else None, status)
        attempt = found.attempt + 1 if found else 1
        values = {"status": status, "effect": effect, "idem_key": idem_key, "plugin": plugin, "started_at": now_ms()}
        insert(self._db, "step_runs", {**self._step_key(job_id, step_id), "attempt": attempt, **values})
        return attempt

    def _end_step(self, job_id: str, step_id: str, attempt: int, status: Status, **columns: Any) -> None:
        require_legal(STEP, f"step {job_id}.{step_id}", Status.RUNNING, status)
        values = {"status": status, "finished_at": now_ms(), **columns}
        update(self._db, "step_runs", values, {**self._step_key(job_id, step_id), "attempt": attempt})
        self._journal("step_end", job=job_id, step=step_id, attempt=attempt, status=status)

    def _store_effects(self, job_id: str, step_id: str, effects: StepEffects) -> None:
        for artifact in effects.artifacts.values():
            row = {**self._step_key(job_id, step_id), **dataclasses.asdict(artifact)}
            insert(self._db, "artifacts", row, otherwise="REPLACE")
        for path in effects.consumed:
            update(self._db, "artifacts", {"gone_by": f"{job_id}.{step_id}"}, {**self._run_key, "path": path})
        for (namespace, key), value in effects.ledger.items():
            row = {"flow_id": self.flow_id, "namespace": namespace, "key": key, "value": to_json(value)}
            insert(self._db, "ledger", {**row, "run_id": self.run_id, "at": now_ms()}, otherwise="REPLACE")

    def _artifacts(self, job_id: str, step_id: str) -> list[Artifact]:
        rows = self._db.execute(
            "SELECT path, size, sha256 FROM artifacts WHERE flow_id=? AND run_id=? AND job_id=? AND step_id=? "
            "ORDER BY path",
            (self.flow_id, self.run_id, job_id, step_id),
        )
        return [Artifact(*row) for row in rows]

    def _journal(self, event: str, **detail: Any) -> None:
        insert(self._db, "journal", {**self._run_key, "at": now_ms(), "event": event, "detail": to_json(detail)})
