"""Read-only queries about past runs; a RUNNING run whose process is gone is shown as INTERRUPTED."""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from aetherflow.core.base import durable
from aetherflow.core.base.errors import StateError
from aetherflow.core.base.said import said
from aetherflow.core.kernel.state.reasons import StateReason
from aetherflow.core.kernel.state.records import now_ms
from aetherflow.core.kernel.state.sql import among
from aetherflow.core.kernel.state.transitions import Status
from aetherflow.core.records.living import is_live
from aetherflow.core.records.reading import read

INTERVENTIONS = ("decided", "change_accepted", "discarded", "ack", "resolve")
"""Journal events that a person caused."""


class PastRun(NamedTuple):
    """A run as recorded; the fields after `state_path` are the columns of its row."""

    state_path: str
    flow_id: str
    run_id: str
    generation: int
    status: str
    """The stored status, but INTERRUPTED for a RUNNING run without a live process."""
    reason: str | None
    engine_version: str
    flow_path: str
    params: str
    slot: str | None
    run_date: str
    data_date: str
    actor: str
    host: str
    pid: int
    trigger: str
    command: str
    started_at: int
    finished_at: int | None
    error: str | None
    parent: str | None
    heartbeat_at: int | None
    reason_code: str | None
    config: str | None
    """The project file; None without one, and for a run of 1.0."""
    manifest: str | None
    """The manifest of the bundle; None without one, and for a run of 1.0."""
    working_dir: str | None
    """Of the process that ran it last; None for a run of 1.0."""
    owner: str | None
    """As its flow said when it started; `runbook` likewise."""
    runbook: str | None
    progress: str | None
    """What its running step has reported last, as `LatestProgress` gives it."""
    part: str | None
    """The jobs that were asked for so far, a JSON list; None for all, and for a run of 1.0."""

    @property
    def partial(self) -> bool:
        """Whether it ended with SUCCESS without some of its jobs."""
        return self.reason_code == StateReason.PARTIAL

    @property
    def may_claim(self) -> bool:
        """False if its end has made all its claims final, and those of the runs inside it."""
        return self.status != Status.SUCCESS or self.reason_code is not None or self.trigger == "flow"

    @property
    def jobs(self) -> tuple[str, ...]:
        """The jobs that it was asked for so far (`--flow-job`); empty for all."""
        return tuple(json.loads(self.part or "[]"))

    @property
    def duration_ms(self) -> int | None:
        """Time from the first start to the end, or to now while it runs; None if the end is not known."""
        if self.finished_at is not None:
            return self.finished_at - self.started_at
        return now_ms() - self.started_at if self.status == Status.RUNNING else None

    @property
    def last_seen(self) -> int:
        """Its end, or the last sign of life of one whose process recorded none, in UTC epoch milliseconds."""
        return self.finished_at or self.heartbeat_at or self.started_at

    @property
    def log_path(self) -> Path:
        """The log of the run; a folder of the same name without suffix holds the logs of its attempts."""
        return side_of(Path(self.state_path)) / "logs" / self.flow_id / f"{self.run_id}.jsonl"


class PastJob(NamedTuple):
    """A job of a run."""

    job_id: str
    status: str
    when_result: int | None
    skip_reason: str | None
    blocked_by: str | None
    error: str | None
    started_at: int
    finished_at: int | None
    reason_code: str | None
    error_code: str | None


class PastStep(NamedTuple):
    """An attempt of a step, or of one item of it."""

    job_id: str
    step_id: str
    item_key: str
    attempt: int
    status: str
    effect: str
    plugin: str
    reason: str | None
    error: str | None
    started_at: int
    finished_at: int | None
    reason_code: str | None
    label: str | None
    """Name of the item for people; None without one."""
    idem_key: str
    """The idempotency key of its effect, equal for all attempts."""


class PastArtifact(NamedTuple):
    """An artifact of a step; `gone_by` says what removed it."""

    job_id: str
    step_id: str
    item_key: str
    path: str
    size: int
    sha256: str
    gone_by: str | None


class JournalEntry(NamedTuple):
    """A transition or intervention, written in the transaction that made it."""

    seq: int
    at: int
    event: str
    detail: dict[str, Any]


class StartedFlow(NamedTuple):
    """A run that a step of this one started."""

    job_id: str
    step_id: str
    item_key: str
    flow_id: str
    run_id: str
    state_path: str
    status: str | None
    """Current status of that run; None if it is not recorded (any more)."""


class RunDetails(NamedTuple):
    """A run with everything that is recorded about it."""

    run: PastRun
    jobs: list[PastJob]
    steps: list[PastStep]
    artifacts: list[PastArtifact]
    journal: list[JournalEntry]
    flows: list[StartedFlow]

    @property
    def interventions(self) -> list[JournalEntry]:
        """The entries of the journal that a person caused."""
        return [entry for entry in self.journal if entry.event in INTERVENTIONS]


def _columns(record: type[Any], leave_out: Sequence[str] = ()) -> str:
    return ", ".join(name for name in record._fields if name not in leave_out)


_RUN = _columns(PastRun, ["state_path"])
BY_START = "INDEXED BY runs_by_start"
NEWEST_FIRST = "started_at DESC, flow_id DESC, run_id DESC"
"""As MariaDB's index has them: another order sorts all rows."""


def side_of(state_path: Path) -> Path:
    """The folder beside a state file: run locks, logs, large outputs."""
    return durable.side_folder(state_path)


def latest_run(state_path: Path, flow_id: str) -> PastRun | None:
    """The last started run of a flow; None if there is none."""
    return next(iter(list_runs(state_path, flow_id=flow_id, limit=1)), None)


def latest_unfinished(state_path: Path, flow_id: str) -> PastRun | None:
    """The last started run of a flow that has not ended with SUCCESS; None if there is none."""
    unfinished = frozenset(Status) - {Status.SUCCESS}
    return next(iter(list_runs(state_path, flow_id=flow_id, statuses=unfinished, limit=1)), None)


def list_runs(
    state_path: Path,
    *,
    flow_id: str | None = None,
    run_id: str | None = None,
    statuses: frozenset[str] = frozenset(),
    since: int | None = None,
    limit: int | None = None,
) -> list[PastRun]:
    """Runs of a state file, the last started first; `since` in epoch milliseconds, `limit` is their largest number.

    It reads only the table of runs, by its index, so the number of steps does not matter. Raises StateError.
    """
    conditions: list[str] = ["started_at >= ?"]
    values: list[str | int] = [since or 0]
    wanted = statuses | ({Status.RUNNING} if Status.INTERRUPTED in statuses else frozenset())
    for column, given in (("flow_id", flow_id), ("run_id", run_id)):
        if given is not None:
            conditions.append(f"{column} = ?")
            values.append(given)
    if wanted:
        conditions.append(f"status IN ({', '.join('?' * len(wanted))})")
        values += sorted(map(str, wanted))
    query = f"SELECT {_RUN} FROM runs {BY_START} WHERE {' AND '.join(conditions)} ORDER BY {NEWEST_FIRST}"  # noqa: S608

    def select(db: durable.Database) -> list[PastRun]:
        asked = limit
        while True:  # a server gives all rows at once, so it is not asked for more than it takes to find enough
            rows: Any = db.execute(query if asked is None else f"{query} LIMIT {asked}", values)
            rows = rows if asked is None else rows.fetchall()
            found = [run for run in _runs(db, rows, state_path) if not statuses or run.status in statuses]
            if asked is None or limit is None or len(found) >= limit or len(rows) < asked:
                return found[:limit]
            asked *= 10

    return read(state_path, select)


def run_details(run: PastRun, *, journal: bool = False) -> RunDetails | None:
    """The details of a run; None if it was removed. Without `journal` only interventions are read from the journal."""
    key = (run.flow_id, run.run_id)
    events = "" if journal else f"AND event IN {INTERVENTIONS}"

    def rows(db: durable.Database, record: type[Any], table: str, order: str, condition: str = "") -> list[Any]:
        columns = _columns(record)
        query = f"SELECT {columns} FROM {table} WHERE flow_id=? AND run_id=? {condition} ORDER BY {order}"  # noqa: S608
        return [record(*row) for row in db.execute(query, key)]

    flows = "SELECT detail FROM journal WHERE flow_id=? AND run_id=? AND event='flow_started' ORDER BY seq"

    def select(db: durable.Database) -> RunDetails | None:
        found = past_run(db, Path(run.state_path), *key)
        if found is None:
            return None
        entries = rows(db, JournalEntry, "journal", "seq", events)
        return RunDetails(
            found,
            [_settled(job, found) for job in rows(db, PastJob, "job_runs", "started_at, job_id")],
            [_settled(step, found) for step in rows(db, PastStep, "step_runs", "started_at, job_id, step_id, attempt")],
            rows(db, PastArtifact, "artifacts", "job_id, step_id, path"),
            [entry._replace(detail=json.loads(str(entry.detail))) for entry in entries],
            [_started(*row) for row in dict.fromkeys(db.execute(flows, key))],
        )

    return read(Path(run.state_path), select)


def past_run(db: durable.Database, state_path: Path, flow_id: str, run_id: str) -> PastRun | None:
    """One run, as `list_runs` gives it, from a state that is being read."""
    return next(iter(past_runs(db, state_path, flow_id, [run_id])), None)


def past_runs(db: durable.Database, state_path: Path, flow_id: str, run_ids: Iterable[str]) -> list[PastRun]:
    """The same for many of a flow, without those that are not recorded."""
    query = f"SELECT {_RUN} FROM runs WHERE flow_id=? AND run_id"  # noqa: S608 names are ours
    found = (db.execute(f"{query} {these}", values).fetchall() for these, values in among(run_ids, flow_id))
    return [run for rows in found for run in _runs(db, rows, state_path)]


def circumstances(run: PastRun) -> dict[str, Any]:
    """The circumstances that a run's latest process recorded: fingerprints of flow, profiles, bundle; plugins."""
    query = "SELECT detail FROM journal WHERE flow_id=? AND run_id=? AND event='run_start' ORDER BY seq DESC LIMIT 1"

    def select(db: durable.Database) -> dict[str, Any]:
        row = db.execute(query, (run.flow_id, run.run_id)).fetchone()
        return {} if row is None else dict(json.loads(row[0]))

    return read(Path(run.state_path), select)


def carried_out(db: durable.Database, flow_id: str, run_id: str, order: str) -> bool:
    """Whether a process that this order started has brought the run to an end, other than by being stopped."""
    query = "SELECT detail FROM journal WHERE flow_id=? AND run_id=? AND event IN ('run_start', 'run_end') ORDER BY seq"
    is_of_order = False
    for (text,) in db.execute(query, (flow_id, run_id)).fetchall():
        detail = json.loads(text)
        if "generation" in detail:
            is_of_order = detail.get("order") == order
        elif is_of_order and detail["status"] != Status.INTERRUPTED:
            return True
    return False


def bundle_of(run: PastRun) -> dict[str, Any] | None:
    """The bundle of a run's latest process; None if it had none."""
    return circumstances(run).get("bundle")


def _started(detail: str) -> StartedFlow:
    found = json.loads(detail)
    path, flow_id, run_id = found["state"], found["flow"], found["run"]
    try:
        runs = list_runs(Path(path), flow_id=flow_id, run_id=run_id)
    except StateError:
        runs = []
    status = runs[0].status if runs else None
    return StartedFlow(found["job"], found["step"], found.get("item") or "", flow_id, run_id, path, status)


def _runs(db: durable.Database, rows: Iterable[Any], state_path: Path) -> Iterator[PastRun]:
    """The runs of rows; values that follow each other share their memory, since most are the same."""
    before = list[Any]()
    for row in rows:
        before = [old if old == new else new for old, new in zip(before or row, row, strict=True)]
        run = PastRun(str(state_path), *before)
        if run.status == Status.RUNNING and not is_live(
            state_path, run.flow_id, run.run_id, run.host, run.heartbeat_at, db.now_ms()
        ):
            gone = said(StateReason.GONE)
            run = run._replace(status=str(Status.INTERRUPTED), reason=str(gone), reason_code=gone.code)
        yield run


def _settled(row: Any, run: PastRun) -> Any:
    """The job or step, with INTERRUPTED in place of RUNNING if its process is dead."""
    dead = row.status == Status.RUNNING and run.status != Status.RUNNING
    return row._replace(status=str(Status.INTERRUPTED)) if dead else row
