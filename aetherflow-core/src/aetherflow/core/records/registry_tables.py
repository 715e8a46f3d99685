"""The tables of the registry of runs, and what migrates those of older versions."""

SCHEMA_VERSION = 3
_RUN_COLUMNS_OF_2 = (
    "status TEXT", "ended_at INTEGER", "subject TEXT", "given TEXT", "parent TEXT", "reason_code TEXT", "settled TEXT",
    "manifest TEXT", "open_claims INTEGER",
)  # fmt: skip
_RECORDED = "recorded INTEGER"
_TABLES_OF_2 = (
    """CREATE TABLE refused (
        id INTEGER PRIMARY KEY, flow_id TEXT, flow_path TEXT NOT NULL, slot TEXT, at INTEGER NOT NULL,
        reason TEXT NOT NULL, reason_code TEXT NOT NULL, actor TEXT NOT NULL, host TEXT NOT NULL,
        trigger TEXT NOT NULL, command TEXT NOT NULL, config TEXT, manifest TEXT, working_dir TEXT,
        owner TEXT, runbook TEXT, run_id TEXT, subject TEXT, error_code TEXT, last_at INTEGER NOT NULL,
        following TEXT, hint TEXT, times INTEGER NOT NULL DEFAULT 1, recorded INTEGER) STRICT""",
    """CREATE TABLE acts (
        id INTEGER PRIMARY KEY, refused_id INTEGER NOT NULL, verb TEXT NOT NULL, value TEXT, actor TEXT NOT NULL,
        host TEXT NOT NULL, reason TEXT NOT NULL, until INTEGER, at INTEGER NOT NULL, ended_at INTEGER,
        ended_by TEXT) STRICT""",
    """CREATE TABLE forgotten (
        flow_id TEXT NOT NULL, run_id TEXT NOT NULL, state_path TEXT NOT NULL, status TEXT, actor TEXT NOT NULL,
        host TEXT NOT NULL, reason TEXT NOT NULL, at INTEGER NOT NULL) STRICT""",
    # of refused starts, until a sender takes them
    """CREATE TABLE outbox (id TEXT PRIMARY KEY, detail TEXT NOT NULL, at INTEGER NOT NULL) WITHOUT ROWID, STRICT""",
    # when runs ended, and what their states and logs were then: registry_chain.py
    """CREATE TABLE heads (
        seq INTEGER PRIMARY KEY, event TEXT NOT NULL, state_path TEXT NOT NULL, flow_id TEXT NOT NULL,
        run_id TEXT NOT NULL, head TEXT NOT NULL, log_size INTEGER NOT NULL, logs TEXT NOT NULL, at INTEGER NOT NULL,
        chain TEXT NOT NULL) STRICT""",
    # in a server: what its hosts share, and no file of one of them can hold
    """CREATE TABLE shared (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID, STRICT""",
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
    "CREATE INDEX heads_of_state ON heads (state_path, seq)",
)
_RUNS_OF_3 = (
    f"ALTER TABLE runs ADD COLUMN {_RECORDED}",
    "UPDATE runs SET recorded=coalesce(ended_at, started_at)",
    *_INDEXES_OF_3,
)
MIGRATIONS = {
    1: (*(f"ALTER TABLE runs ADD COLUMN {column}" for column in _RUN_COLUMNS_OF_2), *_TABLES_OF_2, *_RUNS_OF_3),
    2: (f"ALTER TABLE refused ADD COLUMN {_RECORDED}", "UPDATE refused SET recorded=last_at", *_RUNS_OF_3),
}
"""Version to the statements that migrate it to the present one."""
TABLES = (
    """CREATE TABLE flows (
        flow_id TEXT NOT NULL, state_path TEXT NOT NULL, flow_path TEXT NOT NULL, last_started_at INTEGER NOT NULL,
        PRIMARY KEY (flow_id, state_path)) WITHOUT ROWID, STRICT""",
    # with all columns at once: a column that SQLite adds costs as much as three tables
    f"""CREATE TABLE runs (
        run_id TEXT NOT NULL, flow_id TEXT NOT NULL, state_path TEXT NOT NULL, flow_path TEXT NOT NULL,
        started_at INTEGER NOT NULL, {", ".join((*_RUN_COLUMNS_OF_2, _RECORDED))},
        PRIMARY KEY (run_id, flow_id, state_path)) WITHOUT ROWID, STRICT""",
    *_TABLES_OF_2,
    *_INDEXES_OF_3,
)
