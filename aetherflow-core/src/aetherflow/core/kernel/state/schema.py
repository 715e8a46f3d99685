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

from aetherflow.core.base.durable import Table

SCHEMA_VERSION = 3
DEF_VERSION = 2
"""The current form of step definitions (`step_runs.def_version`).

1: that of 1.0.0, with the versions of installed distributions, and numbers as YAML reads them; 2: without the versions,
numbers in written form.
"""


_RUN = "flow_id TEXT NOT NULL, run_id TEXT NOT NULL, "
RUNS = Table(
    "runs",
    _RUN + "generation INTEGER NOT NULL, status TEXT NOT NULL, reason TEXT, engine_version TEXT NOT NULL, "
    "flow_path TEXT NOT NULL, fingerprint TEXT NOT NULL, params TEXT NOT NULL, slot TEXT, run_date TEXT NOT NULL, "
    "data_date TEXT NOT NULL, actor TEXT NOT NULL, host TEXT NOT NULL, pid INTEGER NOT NULL, trigger TEXT NOT NULL, "
    "command TEXT NOT NULL, started_at INTEGER NOT NULL, finished_at INTEGER, error TEXT, parent TEXT, "
    "heartbeat_at INTEGER, reason_code TEXT, error_code TEXT, config TEXT, manifest TEXT, working_dir TEXT, "
    "owner TEXT, runbook TEXT, progress TEXT, outermost TEXT, part TEXT",
    key="flow_id, run_id",
    of_run=True,
    unchained=("heartbeat_at", "progress"),
    indexes=("CREATE INDEX runs_by_start ON runs (started_at)",),
)
JOB_RUNS = Table(
    "job_runs",
    _RUN + "job_id TEXT NOT NULL, status TEXT NOT NULL, when_result INTEGER, outputs TEXT, blob TEXT, "
    "skip_reason TEXT, blocked_by TEXT, error TEXT, started_at INTEGER NOT NULL, finished_at INTEGER, "
    "def_hash TEXT NOT NULL DEFAULT '', reason_code TEXT, error_code TEXT",
    key="flow_id, run_id, job_id",
    of_run=True,
)
STEP_RUNS = Table(
    "step_runs",
    _RUN + "job_id TEXT NOT NULL, step_id TEXT NOT NULL, item_key TEXT NOT NULL DEFAULT '', attempt INTEGER NOT NULL, "
    "status TEXT NOT NULL, effect TEXT NOT NULL, idem_key TEXT NOT NULL, outputs TEXT, blob TEXT, "
    "plugin TEXT NOT NULL, reason TEXT, error TEXT, started_at INTEGER NOT NULL, finished_at INTEGER, "
    "def_hash TEXT NOT NULL DEFAULT '', items TEXT, items_blob TEXT, secret_keys TEXT, reason_code TEXT, "
    "error_code TEXT, label TEXT, def_version INTEGER NOT NULL DEFAULT 1",
    key="flow_id, run_id, job_id, step_id, item_key, attempt",
    of_run=True,
)
ARTIFACTS = Table(
    "artifacts",
    _RUN + "path TEXT NOT NULL, job_id TEXT NOT NULL, step_id TEXT NOT NULL, item_key TEXT NOT NULL DEFAULT '', "
    "size INTEGER NOT NULL, sha256 TEXT NOT NULL, gone_by TEXT",
    key="flow_id, run_id, path",
    of_run=True,
)
JOURNAL = Table(
    "journal",
    _RUN + "at INTEGER NOT NULL, event TEXT NOT NULL, detail TEXT NOT NULL, chain TEXT",
    number="seq",
    of_run=True,
    unchained=None,
    indexes=("CREATE INDEX journal_by_run ON journal (flow_id, run_id, seq)",),
)
LEDGER = Table(
    "ledger",
    "flow_id TEXT NOT NULL, namespace TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, run_id TEXT NOT NULL, "
    "at INTEGER NOT NULL",
    key="flow_id, namespace, key",
    merged_by="flow_id, namespace, key",
)
DEFINITIONS = Table("definitions", "hash TEXT NOT NULL, text TEXT NOT NULL", key="hash", merged_by="hash")
CLAIMS = Table(
    "claims",
    "flow_id TEXT NOT NULL, namespace TEXT NOT NULL, key TEXT NOT NULL, run_id TEXT NOT NULL, value TEXT NOT NULL, "
    "job_id TEXT NOT NULL, step_id TEXT NOT NULL, item_key TEXT NOT NULL DEFAULT '', state TEXT NOT NULL, "
    "identity TEXT, artifact TEXT, taken_from TEXT, taken_by TEXT, at INTEGER NOT NULL, ended_at INTEGER",
    key="flow_id, namespace, key, run_id",
    of_run=True,
    more=", CHECK (state IN ('open', 'final', 'lost'))",
    indexes=(
        "CREATE UNIQUE INDEX open_claims ON claims (flow_id, namespace, key) WHERE state='open'",
        "CREATE INDEX claims_of_run ON claims (flow_id, run_id)",
    ),
)
ACTS = Table(
    "acts",
    _RUN + "verb TEXT NOT NULL, value TEXT, actor TEXT NOT NULL, host TEXT NOT NULL, reason TEXT NOT NULL, "
    "until INTEGER, at INTEGER NOT NULL, ended_at INTEGER, ended_by TEXT",
    number="id",
    of_run=True,
    indexes=("CREATE INDEX acts_of_run ON acts (flow_id, run_id)",),
)
OUTBOX = Table(
    "outbox",
    "id TEXT NOT NULL UNIQUE, " + _RUN + "event TEXT NOT NULL, series TEXT NOT NULL, detail TEXT NOT NULL, "
    "at INTEGER NOT NULL, done_at INTEGER",
    number="seq",
    of_run=True,
    merged_by="id",
    unchained=("done_at",),
    indexes=(
        "CREATE INDEX open_outbox ON outbox (seq) WHERE done_at IS NULL",
        "CREATE INDEX outbox_of_series ON outbox (flow_id, series, seq)",
    ),
)
HEADS = Table(
    "heads",
    "event TEXT NOT NULL, " + _RUN + "generation INTEGER NOT NULL, head TEXT NOT NULL, facts TEXT NOT NULL, "
    "chain TEXT NOT NULL, at INTEGER NOT NULL",
    number="seq",
    indexes=("CREATE INDEX heads_of_run ON heads (flow_id, run_id, generation)",),
)
META = Table("meta", "name TEXT NOT NULL, value TEXT NOT NULL", key="name")
TABLES = (RUNS, JOB_RUNS, STEP_RUNS, ARTIFACTS, JOURNAL, LEDGER, DEFINITIONS, CLAIMS, ACTS, OUTBOX, HEADS, META)
OF_SERVERS = (
    Table("blobs", "name TEXT NOT NULL, data BLOB NOT NULL", key="name"),
    Table(
        "owners",
        _RUN + "holder TEXT NOT NULL, place TEXT NOT NULL, host TEXT NOT NULL, pid INTEGER NOT NULL, "
        "expires_at INTEGER NOT NULL",
        key="flow_id, run_id",
    ),
)
"""What is in files beside a state file: large outputs; and the leases of the runs that processes execute."""
