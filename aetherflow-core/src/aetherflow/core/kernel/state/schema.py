"""The tables of a state file. Times are UTC epoch milliseconds; JSON is stored as text.

Schema 3 holds what 1.1 and the versions after it need, so that a state is migrated once.

- `claims`: what a run took from the world, final when the run is good (`open`, `final`, `lost`); `identity` names what
  is claimed, the same in every run; `artifact` is the copy that a run which takes over needs, with size and sha256;
  `taken_from` is the run before, `taken_by` the one that took it over. At most one open claim of a key.
- `runs.outermost` of a run that a step started: the run in which it ends well, with its state file.
- `runs.part`: the jobs that were asked for so far (`--flow-job`), a JSON list; NULL for all.
- `step_runs.label`: the name of an item for people; its key stays what it is.
- `acts`: what persons did to a run: `ack`, `resolve`, with name, host, reason and end.
- `runs.progress`: what the step that runs has reported last, as JSON; written with the heartbeat.
- `outbox`: facts about a run to be sent, written with the transition; `series` is equal for the runs of a flow with the
  same parameters; `done_at` is when a sender took it.
- `journal.chain` and `heads`: the hash chain of a run's journal, and that of the ends of all runs (`chain.py`).

Not written yet:

- `error_code` of runs and attempts: the code of the error beside its words.
"""

SCHEMA_VERSION = 3
DEF_VERSION = 2
"""The current form of step definitions (`step_runs.def_version`).

1: that of 1.0.0, with the versions of installed distributions, and numbers as YAML reads them; 2: without the versions,
numbers in written form.
"""

ADDED_IN_3 = """
CREATE TABLE claims (
    flow_id TEXT NOT NULL, namespace TEXT NOT NULL, key TEXT NOT NULL, run_id TEXT NOT NULL, value TEXT NOT NULL,
    job_id TEXT NOT NULL, step_id TEXT NOT NULL, item_key TEXT NOT NULL DEFAULT '',
    state TEXT NOT NULL CHECK (state IN ('open', 'final', 'lost')), identity TEXT, artifact TEXT, taken_from TEXT,
    taken_by TEXT, at INTEGER NOT NULL, ended_at INTEGER,
    PRIMARY KEY (flow_id, namespace, key, run_id)
) WITHOUT ROWID, STRICT;
CREATE UNIQUE INDEX open_claims ON claims (flow_id, namespace, key) WHERE state='open';
CREATE INDEX claims_of_run ON claims (flow_id, run_id);
CREATE TABLE acts (
    id INTEGER PRIMARY KEY, flow_id TEXT NOT NULL, run_id TEXT NOT NULL, verb TEXT NOT NULL, value TEXT,
    actor TEXT NOT NULL, host TEXT NOT NULL, reason TEXT NOT NULL, until INTEGER, at INTEGER NOT NULL,
    ended_at INTEGER, ended_by TEXT
) STRICT;
CREATE INDEX acts_of_run ON acts (flow_id, run_id);
CREATE TABLE outbox (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, flow_id TEXT NOT NULL, run_id TEXT NOT NULL, event TEXT NOT NULL,
    series TEXT NOT NULL, detail TEXT NOT NULL, at INTEGER NOT NULL, done_at INTEGER
) STRICT;
CREATE INDEX open_outbox ON outbox (seq) WHERE done_at IS NULL;
CREATE INDEX outbox_of_series ON outbox (flow_id, series, seq);
CREATE TABLE heads (
    seq INTEGER PRIMARY KEY, event TEXT NOT NULL, flow_id TEXT NOT NULL, run_id TEXT NOT NULL,
    generation INTEGER NOT NULL, head TEXT NOT NULL, facts TEXT NOT NULL, chain TEXT NOT NULL, at INTEGER NOT NULL
) STRICT;
CREATE INDEX heads_of_run ON heads (flow_id, run_id, generation);
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID, STRICT;
"""
TABLES = f"""
CREATE TABLE runs (
    flow_id TEXT NOT NULL, run_id TEXT NOT NULL, generation INTEGER NOT NULL, status TEXT NOT NULL, reason TEXT,
    engine_version TEXT NOT NULL, flow_path TEXT NOT NULL, fingerprint TEXT NOT NULL,
    params TEXT NOT NULL, slot TEXT, run_date TEXT NOT NULL, data_date TEXT NOT NULL,
    actor TEXT NOT NULL, host TEXT NOT NULL, pid INTEGER NOT NULL, trigger TEXT NOT NULL, command TEXT NOT NULL,
    started_at INTEGER NOT NULL, finished_at INTEGER, error TEXT,
    parent TEXT, heartbeat_at INTEGER,
    reason_code TEXT, error_code TEXT, config TEXT, manifest TEXT, working_dir TEXT, owner TEXT, runbook TEXT,
    progress TEXT, outermost TEXT, part TEXT,
    PRIMARY KEY (flow_id, run_id)
) WITHOUT ROWID, STRICT;
CREATE TABLE job_runs (
    flow_id TEXT NOT NULL, run_id TEXT NOT NULL, job_id TEXT NOT NULL, status TEXT NOT NULL,
    when_result INTEGER, outputs TEXT, blob TEXT, skip_reason TEXT, blocked_by TEXT, error TEXT,
    started_at INTEGER NOT NULL, finished_at INTEGER,
    def_hash TEXT NOT NULL DEFAULT '',
    reason_code TEXT, error_code TEXT,
    PRIMARY KEY (flow_id, run_id, job_id)
) WITHOUT ROWID, STRICT;
CREATE TABLE step_runs (
    flow_id TEXT NOT NULL, run_id TEXT NOT NULL, job_id TEXT NOT NULL, step_id TEXT NOT NULL,
    item_key TEXT NOT NULL DEFAULT '', attempt INTEGER NOT NULL, status TEXT NOT NULL, effect TEXT NOT NULL,
    idem_key TEXT NOT NULL, outputs TEXT, blob TEXT, plugin TEXT NOT NULL, reason TEXT, error TEXT,
    started_at INTEGER NOT NULL, finished_at INTEGER,
    def_hash TEXT NOT NULL DEFAULT '', items TEXT, items_blob TEXT, secret_keys TEXT,
    reason_code TEXT, error_code TEXT, label TEXT, def_version INTEGER NOT NULL DEFAULT 1,
    PRIMARY KEY (flow_id, run_id, job_id, step_id, item_key, attempt)
) WITHOUT ROWID, STRICT;
CREATE TABLE artifacts (
    flow_id TEXT NOT NULL, run_id TEXT NOT NULL, job_id TEXT NOT NULL, step_id TEXT NOT NULL,
    item_key TEXT NOT NULL DEFAULT '', path TEXT NOT NULL, size INTEGER NOT NULL, sha256 TEXT NOT NULL, gone_by TEXT,
    PRIMARY KEY (flow_id, run_id, path)
) WITHOUT ROWID, STRICT;
CREATE TABLE journal (
    seq INTEGER PRIMARY KEY, flow_id TEXT NOT NULL, run_id TEXT NOT NULL, at INTEGER NOT NULL,
    event TEXT NOT NULL, detail TEXT NOT NULL, chain TEXT
) STRICT;
CREATE TABLE ledger (
    flow_id TEXT NOT NULL, namespace TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL,
    run_id TEXT NOT NULL, at INTEGER NOT NULL,
    PRIMARY KEY (flow_id, namespace, key)
) WITHOUT ROWID, STRICT;
CREATE TABLE definitions (hash TEXT PRIMARY KEY, text TEXT NOT NULL) WITHOUT ROWID, STRICT;
CREATE INDEX runs_by_start ON runs (started_at);
CREATE INDEX journal_by_run ON journal (flow_id, run_id, seq);
{ADDED_IN_3}"""

OF_SERVERS = """
CREATE TABLE blobs (name TEXT PRIMARY KEY, data BLOB NOT NULL) WITHOUT ROWID, STRICT;
CREATE TABLE owners (
    flow_id TEXT NOT NULL, run_id TEXT NOT NULL, holder TEXT NOT NULL, place TEXT NOT NULL, host TEXT NOT NULL,
    pid INTEGER NOT NULL, expires_at INTEGER NOT NULL,
    PRIMARY KEY (flow_id, run_id)
) WITHOUT ROWID, STRICT;
"""
"""What is in files beside a state file: large outputs; and the leases of the runs that processes execute."""
