"""The tables of the registry of runs, and what migrates those of older versions."""

from aetherflow.core.base.durable import Table, statements_of

SCHEMA_VERSION = 3
_OF_1 = "run_id TEXT NOT NULL, flow_id TEXT NOT NULL, state_path TEXT NOT NULL, flow_path TEXT NOT NULL, "
_ADDED_IN_2 = (
    "status TEXT, ended_at INTEGER, subject TEXT, given TEXT, parent TEXT, reason_code TEXT, settled TEXT, "
    "manifest TEXT, open_claims INTEGER"
)
_RECORDED = "recorded INTEGER"
_INDEXES_OF_2 = (
    "CREATE INDEX runs_by_flow ON runs (flow_id, state_path, started_at)",
    "CREATE INDEX runs_by_manifest ON runs (manifest) WHERE manifest IS NOT NULL",
    "CREATE INDEX unknown_runs ON runs (flow_id, state_path) WHERE status IS NULL",
    "CREATE INDEX runs_before ON runs (flow_id) WHERE settled='before'",
    "CREATE INDEX claiming_runs ON runs (flow_id) WHERE open_claims=1",
    "CREATE INDEX open_runs ON runs (flow_id) WHERE status<>'SUCCESS' AND settled IS NULL",
)
_INDEXES_OF_3 = (
    "CREATE INDEX runs_by_record ON runs (flow_id, recorded)",
    "CREATE INDEX runs_of_subject ON runs (flow_id, subject, recorded)",
)
_HEADS_OF_STATE = "CREATE INDEX heads_of_state ON heads (state_path, seq)"
FLOWS = Table(
    "flows",
    "flow_id TEXT NOT NULL, state_path TEXT NOT NULL, flow_path TEXT NOT NULL, last_started_at INTEGER NOT NULL",
    key="flow_id, state_path",
)
RUNS = Table(
    "runs",
    f"{_OF_1}started_at INTEGER NOT NULL, {_ADDED_IN_2}, {_RECORDED}",
    key="run_id, flow_id, state_path",
    indexes=(*_INDEXES_OF_2, *_INDEXES_OF_3),
)
REFUSED = Table(
    "refused",
    "flow_id TEXT, flow_path TEXT NOT NULL, slot TEXT, at INTEGER NOT NULL, reason TEXT NOT NULL, "
    "reason_code TEXT NOT NULL, actor TEXT NOT NULL, host TEXT NOT NULL, trigger TEXT NOT NULL, command TEXT NOT NULL, "
    "config TEXT, manifest TEXT, working_dir TEXT, owner TEXT, runbook TEXT, run_id TEXT, subject TEXT, "
    "error_code TEXT, last_at INTEGER NOT NULL, following TEXT, hint TEXT, times INTEGER NOT NULL DEFAULT 1, "
    f"{_RECORDED}",
    number="id",
)
ACTS = Table(
    "acts",
    "refused_id INTEGER NOT NULL, verb TEXT NOT NULL, value TEXT, actor TEXT NOT NULL, host TEXT NOT NULL, "
    "reason TEXT NOT NULL, until INTEGER, at INTEGER NOT NULL, ended_at INTEGER, ended_by TEXT",
    number="id",
)
FORGOTTEN = Table(
    "forgotten",
    "flow_id TEXT NOT NULL, run_id TEXT NOT NULL, state_path TEXT NOT NULL, status TEXT, actor TEXT NOT NULL, "
    "host TEXT NOT NULL, reason TEXT NOT NULL, at INTEGER NOT NULL",
)
OUTBOX = Table("outbox", "id TEXT NOT NULL, detail TEXT NOT NULL, at INTEGER NOT NULL", key="id")
"""Of refused starts, until a sender takes them."""
HEADS = Table(
    "heads",
    "event TEXT NOT NULL, state_path TEXT NOT NULL, flow_id TEXT NOT NULL, run_id TEXT NOT NULL, head TEXT NOT NULL, "
    "log_size INTEGER NOT NULL, logs TEXT NOT NULL, at INTEGER NOT NULL, chain TEXT NOT NULL",
    number="seq",
    indexes=(_HEADS_OF_STATE,),
)
"""When runs ended, and what their states and logs were then: `registry_chain.py`."""
SHARED = Table("shared", "name TEXT NOT NULL, value TEXT NOT NULL", key="name")
"""In a server: what its hosts share, and no file of one of them can hold."""
TABLES = (FLOWS, RUNS, REFUSED, ACTS, FORGOTTEN, OUTBOX, HEADS, SHARED)
_ADDED_TABLES = statements_of(REFUSED, ACTS, FORGOTTEN, OUTBOX, HEADS, SHARED)
_RECORDED_RUNS = (f"ALTER TABLE runs ADD COLUMN {_RECORDED}", "UPDATE runs SET recorded=coalesce(ended_at, started_at)")
MIGRATIONS = {
    1: ";".join((
        *(f"ALTER TABLE runs ADD COLUMN {column}" for column in _ADDED_IN_2.split(", ")),
        _ADDED_TABLES,
        *_RECORDED_RUNS,
        *RUNS.indexes,
    )),
    2: ";".join((
        f"ALTER TABLE refused ADD COLUMN {_RECORDED}",
        "UPDATE refused SET recorded=last_at",
        *_RECORDED_RUNS,
        *_INDEXES_OF_3,
        _HEADS_OF_STATE,
    )),
}  # fmt: skip
"""Version to the statements that migrate it to the present one."""
