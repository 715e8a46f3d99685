"""Opening states of any version for writing: those of older ones are migrated."""

from pathlib import Path

from aetherflow.core.base import durable
from aetherflow.core.base.errors import StateError
from aetherflow.core.kernel.state.chain import add_head, digest_of
from aetherflow.core.kernel.state.records import now_ms
from aetherflow.core.kernel.state.schema import (
    ACTS,
    CLAIMS,
    DEFINITIONS,
    HEADS,
    META,
    OUTBOX,
    SCHEMA_VERSION,
    TABLES,
)
from aetherflow.core.kernel.state.store import StateStore, create_schema
from aetherflow.core.kernel.state.unusable import schema_of
from aetherflow.core.records.living import held_runs, runs_elsewhere

_CODES_OF_1_0 = """
UPDATE runs SET reason_code='partial' WHERE status='SUCCESS' AND reason LIKE 'without %';
UPDATE job_runs SET reason_code=CASE skip_reason WHEN 'condition=false' THEN 'condition'
    WHEN 'step requested skip_job' THEN 'skip_job' ELSE 'step' END WHERE skip_reason IS NOT NULL;
UPDATE step_runs SET reason_code=CASE
    WHEN status='SKIPPED' AND plugin='' AND reason='step requested skip_job' THEN 'skip_job'
    WHEN status='SKIPPED' AND plugin='' THEN 'no_data'
    WHEN status='SKIPPED' AND (items IS NOT NULL OR items_blob IS NOT NULL) THEN 'items_skipped'
    WHEN status='SUCCESS' AND reason='verified' THEN 'verified'
    WHEN status='SUCCESS' AND reason LIKE 'decided by %' THEN 'decided'
    ELSE 'step' END WHERE reason IS NOT NULL;
UPDATE step_runs SET reason_code=CASE error WHEN 'the process that ran it ended' THEN 'process_ended'
    WHEN 'stopped before it began' THEN 'not_begun' ELSE 'stopped' END
    WHERE status='INTERRUPTED' AND (error IN ('the process that ran it ended', 'stopped before it began', 'stopped',
    'the run is being stopped') OR error LIKE 'signal %');
"""
"""The words that 1.0.0 wrote as reasons are read here, and nowhere else."""
_CLAIMS_OF_1_0 = """
INSERT INTO claims (flow_id, namespace, key, run_id, value, job_id, step_id, state, at, ended_at)
    SELECT flow_id, namespace, key, run_id, value, '', '', 'final', at, at FROM ledger JOIN runs USING (flow_id, run_id)
    WHERE status<>'SUCCESS' OR reason LIKE 'without %';
"""
"""What it wrote into ledgers is final, with the step; what runs took that never ended well is listed, to be judged."""
_MIGRATIONS = {
    1: f"""
ALTER TABLE runs ADD COLUMN parent TEXT;
ALTER TABLE runs ADD COLUMN heartbeat_at INTEGER;
ALTER TABLE job_runs ADD COLUMN def_hash TEXT NOT NULL DEFAULT '';
ALTER TABLE step_runs ADD COLUMN def_hash TEXT NOT NULL DEFAULT '';
ALTER TABLE step_runs ADD COLUMN items TEXT;
ALTER TABLE step_runs ADD COLUMN items_blob TEXT;
ALTER TABLE step_runs ADD COLUMN secret_keys TEXT;
{DEFINITIONS.statements}
CREATE INDEX runs_by_start ON runs (started_at);
CREATE INDEX journal_by_run ON journal (flow_id, run_id, seq);
""",
    2: f"""
ALTER TABLE runs ADD COLUMN reason_code TEXT;
ALTER TABLE runs ADD COLUMN error_code TEXT;
ALTER TABLE runs ADD COLUMN config TEXT;
ALTER TABLE runs ADD COLUMN manifest TEXT;
ALTER TABLE runs ADD COLUMN working_dir TEXT;
ALTER TABLE runs ADD COLUMN owner TEXT;
ALTER TABLE runs ADD COLUMN runbook TEXT;
ALTER TABLE runs ADD COLUMN progress TEXT;
ALTER TABLE runs ADD COLUMN outermost TEXT;
ALTER TABLE runs ADD COLUMN part TEXT;
ALTER TABLE job_runs ADD COLUMN reason_code TEXT;
ALTER TABLE job_runs ADD COLUMN error_code TEXT;
ALTER TABLE step_runs ADD COLUMN reason_code TEXT;
ALTER TABLE step_runs ADD COLUMN error_code TEXT;
ALTER TABLE step_runs ADD COLUMN label TEXT;
ALTER TABLE step_runs ADD COLUMN def_version INTEGER NOT NULL DEFAULT 1;
ALTER TABLE journal ADD COLUMN chain TEXT;
{durable.statements_of(CLAIMS, ACTS, OUTBOX, HEADS, META)}
{_CODES_OF_1_0}
{_CLAIMS_OF_1_0}""",
}
"""Version to the statements that migrate it to the next; a migrated and a new file have the same columns."""


def prepare_schema(connection: durable.Database, path: Path, tables: tuple[durable.Table, ...] = TABLES) -> bool:
    """Create the tables in a new file, accept our own version, migrate an older one, refuse any other.

    True if it was migrated. Raises StateError for a file of a newer engine, for a database that is not ours, and for an
    older file in use.
    """
    if 0 < schema_of(connection, path) < SCHEMA_VERSION:
        return migrate(connection, path) is not None
    create_schema(connection, path, tables)
    return False


def open_state(path: Path) -> StateStore:
    """Open a state for writing; one of an older version is migrated. StateError as for `StateStore`."""
    return StateStore(path, prepare=prepare_schema)


def migrate(connection: durable.Database, path: Path) -> Path | None:
    """Migrate an older file after a backup beside it; returns the backup's path, None if nothing was to be done.

    Raises StateError for a database of another program, and while a process executes a run of the file.
    """
    if not 0 < (version := connection.schema_version()) < SCHEMA_VERSION:
        return None
    with durable.transaction(connection, "migrate schema"):
        if connection.schema_version() != version:
            return None  # another process was first, and has made the backup
        if "step_runs" not in connection.tables():
            raise StateError(f"{path} is no state file of AetherFlow", fix="name another file")
        _require_idle(connection, path, version)
        backup = durable.keep_before(path, version)
        for old in range(version, SCHEMA_VERSION):
            durable.execute_all(connection, _MIGRATIONS[old], old + 1)
        facts = [("migrated_from", str(version)), ("migrated_at", str(now_ms()))]
        connection.executemany("INSERT INTO meta (name, value) VALUES (?, ?)", facts)
        last = connection.execute("SELECT coalesce(max(seq), 0) FROM journal").fetchone()[0]
        add_head(connection, "migrated", "", "", version, str(last), digest_of(sum(facts, ())))
    return backup


def _require_idle(connection: durable.Database, path: Path, version: int) -> None:
    """Refuse the migration while a process of the older engine has runs in the file, since it cannot use new tables."""
    live = held_runs(path) + (runs_elsewhere(connection) if version > 1 else [])
    if live:
        shown = ", ".join(live[:3]) + (f" and {len(live) - 3} more" if len(live) > 3 else "")
        raise StateError(
            f"state file {path} has the older schema {version} and is in use by {shown}: it is not migrated meanwhile",
            fix="wait for it, or stop it; then do the same again",
        )
