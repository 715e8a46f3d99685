"""One run in a state file: the transitions of the run and its jobs, each in one transaction."""

import json
from collections.abc import Mapping
from typing import Any

from aetherflow.core.base.said import Reason, code_of, read_reason, said
from aetherflow.core.kernel.state.blobs import dump_outputs, load_outputs
from aetherflow.core.kernel.state.chain import seal
from aetherflow.core.kernel.state.member import Member
from aetherflow.core.kernel.state.reasons import StateReason, reason_columns
from aetherflow.core.kernel.state.records import Frozen, Intervention, JobRecord, RunFacts, StepKey
from aetherflow.core.kernel.state.sql import insert, update
from aetherflow.core.kernel.state.step_state import StepStates
from aetherflow.core.kernel.state.store import StateStore
from aetherflow.core.kernel.state.transitions import JOB, RUN, Status, require_legal
from aetherflow.core.kernel.state.unit import RunBegan, RunEnded, Unit
from aetherflow.core.kernel.state.values import to_json


class RunState:
    """One run; every transition is one transaction, which also checks that this process still owns the run."""

    def __init__(self, store: StateStore, flow_id: str, run_id: str) -> None:
        self.unit = Unit(store, flow_id, run_id)
        self._jobs: dict[str, JobRecord] = {}
        self.steps = StepStates(self.unit)
        self.head = ""
        """The chain of the state's heads with the end of the run; "" before it has ended."""

    @property
    def run_id(self) -> str:
        """The id that the run was started with or given."""
        return self.unit.run_id

    @property
    def outermost(self) -> Member:
        """The run in which this one ends well: itself, or the outermost of those around it."""
        return self.unit.outermost

    @property
    def generation(self) -> int:
        """Number of processes that have owned the run, including this one; 0 before `begin`."""
        return self.unit.generation

    def load(self) -> None:
        """Read the stored jobs and steps of the run."""
        rows = self.unit.db.execute(
            "SELECT job_id, status, reason_code, skip_reason, when_result, def_hash FROM job_runs "
            "WHERE flow_id=? AND run_id=?",
            tuple(self.unit.key.values()),
        )
        for job_id, status, code, reason, when_result, def_hash in rows:
            result = None if when_result is None else bool(when_result)
            self._jobs[job_id] = JobRecord(Status(status), read_reason(code, reason), result, def_hash)
        self.steps.load()

    # The run

    def begin(
        self,
        facts: RunFacts,
        frozen: Frozen,
        definitions: Mapping[str, str],
        intervention: Intervention,
        circumstances: Mapping[str, Any] | None = None,
    ) -> None:
        """Record the start of a new or resumed run, and apply the intervention.

        Attempts that a dead process left RUNNING become INTERRUPTED. `definitions` maps hashes to texts;
        `circumstances` are written into the journal.
        """
        unit = self.unit
        unit.remove_unfinished_blobs()
        kept_outputs = self._store_kept_outputs(intervention)
        with unit.transaction("begin run", check=False):
            unit.db.await_turn(f"run {unit.flow_id} {unit.run_id}")
            found = unit.store.find_run(unit.flow_id, unit.run_id)
            require_legal(RUN, f"run {unit.run_id}", found.status if found else None, Status.RUNNING)
            unit.generation = found.generation + 1 if found else 1
            at = unit.now_ms()
            entered = {"generation": unit.generation, "status": Status.RUNNING, **facts._asdict()}
            entered |= {**frozen._asdict(), "params": to_json(frozen.params), "heartbeat_at": at}
            if found is None:
                insert(unit.db, "runs", {**unit.key, **entered, "started_at": at})
            else:
                ended = dict.fromkeys(("finished_at", "error", "reason", "reason_code", "progress"))
                if facts.outermost is None:  # resumed by hand: it still belongs to the run around it
                    del entered["outermost"]
                update(unit.db, "runs", {**entered, **ended}, unit.key)
            unit.known_outermost = None
            unit.outermost  # noqa: B018 read by this thread: those of items side by side may not use its connection
            unit.journal("run_start", generation=unit.generation, **(circumstances or {}))
            kept = "INSERT INTO definitions (hash, text) VALUES (?, ?) ON CONFLICT DO NOTHING"
            unit.db.executemany(kept, sorted(definitions.items()))
            self.steps.interrupt_all()
            self._intervene(intervention, kept_outputs)
            unit.apply(RunBegan(facts.actor, resumed=found is not None))

    def finish(self, status: Status, *, reason: Reason | None = None, error: str | None = None) -> None:
        """Record how the run ended, and when. StateError if it is not RUNNING or no longer ours."""
        unit = self.unit
        ended = RunEnded(status, status is Status.SUCCESS and reason is None and unit.outermost == unit.member)
        with unit.recording(f"run {status}", ended):
            require_legal(RUN, f"run {unit.run_id}", Status.RUNNING, status)
            values = {"status": status, **reason_columns(reason), "error": error, "finished_at": unit.now_ms()}
            update(unit.db, "runs", values, unit.key)
            unit.journal("run_end", status=status)
            unit.apply(ended)
            self.head = seal(unit.db, unit.flow_id, unit.run_id, "ended")

    def ended(self) -> tuple[int | None, str | None]:
        """When the run ended, as recorded, and the code of the reason."""
        query = "SELECT finished_at, reason_code FROM runs WHERE flow_id=? AND run_id=?"
        row = self.unit.db.execute(query, tuple(self.unit.key.values())).fetchone()
        return row[0], row[1]

    def definition(self, def_hash: str) -> str | None:
        """The text of a definition by its hash; None if it is not stored."""
        row = self.unit.db.execute("SELECT text FROM definitions WHERE hash=?", (def_hash,)).fetchone()
        return row[0] if row else None

    def circumstances(self) -> dict[str, Any]:
        """The circumstances that the run's latest process recorded; empty for a new run."""
        query = (
            "SELECT detail FROM journal WHERE flow_id=? AND run_id=? AND event='run_start' ORDER BY seq DESC LIMIT 1"
        )
        row = self.unit.db.execute(query, tuple(self.unit.key.values())).fetchone()
        return {} if row is None else dict(json.loads(row[0]))

    def last_answer(self, key: StepKey) -> tuple[str, str, int] | None:
        """The last answer (`done` or `again`) about a step, one of its items or inner steps; who gave it, and when."""
        query = "SELECT detail, at FROM journal WHERE flow_id=? AND run_id=? AND event='decided' ORDER BY seq DESC"
        for text, at in self.unit.db.execute(query, tuple(self.unit.key.values())).fetchall():
            found = json.loads(text)
            if found["job"] == key.job and f"{found['step']}.".startswith(f"{key.step}."):
                return found["answer"], found["actor"], at
        return None

    # Jobs

    @property
    def jobs(self) -> Mapping[str, JobRecord]:
        """Job id to the record of the job; only jobs that have one."""
        return self._jobs

    def job_outputs(self, job_id: str) -> dict[str, Any]:
        """The stored outputs of a job; empty if there are none."""
        row = self.unit.db.execute(
            "SELECT outputs, blob FROM job_runs WHERE flow_id=? AND run_id=? AND job_id=?",
            (*self.unit.key.values(), job_id),
        ).fetchone()
        return load_outputs(row[0], row[1], self.unit.blobs) if row else {}

    def start_job(self, job_id: str, def_hash: str) -> None:
        """Record the start of a job whose `when` was true."""
        self._set_job(job_id, Status.RUNNING, when_result=True, def_hash=def_hash)

    def gate_job(self, job_id: str, status: Status, def_hash: str, **columns: Any) -> None:
        """Record a job that ends without a start: SKIPPED by `when`, BLOCKED by a job, FAILED by `when` or a lock.

        Columns: when_result, skip_reason, blocked_by, error, error_code.
        """
        self._set_job(job_id, status, def_hash=def_hash, **columns)

    def finish_job(
        self,
        job_id: str,
        status: Status,
        *,
        skip_reason: Reason | None = None,
        error: str | None = None,
        error_code: str | None = None,
    ) -> None:
        """A job that was entered ends."""
        ended = {"skip_reason": skip_reason, "error": error, "error_code": error_code}
        self._set_job(job_id, status, **ended, when_result=True)

    def _set_job(self, job_id: str, status: Status, **columns: Any) -> None:
        with self.unit.transaction(f"job {status}"):
            self._change_job(job_id, status, **columns)

    def _change_job(self, job_id: str, status: Status, **columns: Any) -> None:
        db, found = self.unit.db, self._jobs.get(job_id)
        require_legal(JOB, f"job {job_id}", found.status if found else None, status)
        at = self.unit.now_ms()
        key = {**self.unit.key, "job_id": job_id}
        if found is None:
            insert(db, "job_runs", {**key, "status": status, "started_at": at})
        ended = status is not Status.RUNNING
        empty = dict.fromkeys(("blocked_by", "skip_reason", "error", "error_code"))
        columns = {**empty, **columns}
        columns["reason_code"] = code_of(columns["skip_reason"])
        update(db, "job_runs", {**columns, "status": status, "finished_at": at if ended else None}, key)
        self.unit.journal("job_end" if ended else "job_start", job=job_id, status=status)
        def_hash = columns.get("def_hash", found.def_hash if found else "")
        self._jobs[job_id] = JobRecord(status, columns["skip_reason"], columns.get("when_result"), def_hash)

    # Before the run goes on

    def _store_kept_outputs(self, intervention: Intervention) -> dict[str, tuple[str | None, str | None]]:
        """Store what discarded jobs keep, before the transaction: large outputs take one each. Return their columns."""
        found = {}
        for job_id, names in intervention.kept_outputs.items():
            stored = self.job_outputs(job_id) if names else {}
            if outputs := {name: value for name, value in stored.items() if name in names}:
                found[job_id] = dump_outputs(to_json(outputs), self.unit.blobs)
        return found

    def _intervene(self, intervention: Intervention, kept_outputs: Mapping[str, tuple[str | None, str | None]]) -> None:
        who = {"actor": intervention.actor, "reason": intervention.reason}
        for key, answer in intervention.decided.items():
            self.unit.journal("decided", job=key.job, step=key.step, answer=answer, **who)
            if answer == "done":
                self.steps.decide_done(key, said(StateReason.DECIDED, actor=intervention.actor))
            else:
                self.steps.discard(key)
        for key, def_hash in intervention.accepted:
            self.unit.journal("change_accepted", job=key.job, step=key.step or None, **who)
            self._accept(key, def_hash)
        if intervention.discard_steps or intervention.discard_jobs:
            self.unit.journal("discarded", why=intervention.why, **who)
        for key in intervention.discard_steps:
            self.steps.discard(key)
        for job_id, ask_again in intervention.discard_jobs.items():
            when_result = None if ask_again else self._jobs[job_id].when_result
            text, blob = kept_outputs.get(job_id, (None, None))
            self._change_job(job_id, Status.DISCARDED, when_result=when_result, outputs=text, blob=blob)

    def _accept(self, key: StepKey, def_hash: str) -> None:
        if key.step:
            self.steps.accept(key, def_hash)
            return
        update(self.unit.db, "job_runs", {"def_hash": def_hash}, {**self.unit.key, "job_id": key.job})
        self._jobs[key.job] = self._jobs[key.job]._replace(def_hash=def_hash)
