"""Tables of a ledger. All times are UTC epoch milliseconds; JSON is stored as text.

Schema 3 holds what 1.1 and the versions after it need, so that a ledger is migrated once.

- `outbox`: transitions of slots to notify of, each written in the transaction that makes it; `done_at` is when one was
  taken.

- `acts`: what persons did to a slot, with name, host, reason and end.

Not written yet: `journal.chain`, the hash chain of the journal.

`slots.told_by` is `exit_code` where the state of the run could not be asked; `slots.flow_id` and `slots.state_path` say
where the run is recorded, as far as it has reported that.
"""

import re
import time
from collections.abc import Callable
from pathlib import Path

from aetherflow.core.api import StateError
from aetherflow.core.embedding import aside, durable, newer

SCHEMA_VERSION = 3
Living = Callable[[], list[str]]

_OPEN = "CREATE INDEX open_slots ON slots (status) WHERE status IN ('WAITING', 'RUNNING', 'INTERRUPTED')"
_UNWELL = (
    "CREATE INDEX unwell_slots ON slots (slot) WHERE status IN ('FAILED', 'UNKNOWN', 'MISSED')",
    "CREATE INDEX held_slots ON slots (slot) WHERE reason_code='after_healed'",
)
ITEMS = durable.Table("items", "item TEXT NOT NULL, cursor INTEGER NOT NULL, file TEXT, pruned INTEGER", key="item")
EPOCHS = durable.Table(
    "epochs",
    "item TEXT NOT NULL, definition TEXT NOT NULL, since INTEGER NOT NULL, until INTEGER",
    number="id",
    indexes=("CREATE INDEX epochs_of_item ON epochs (item, since)",),
)
SLOTS = durable.Table(
    "slots",
    "item TEXT NOT NULL, slot INTEGER NOT NULL, status TEXT NOT NULL, reason TEXT, run_id TEXT NOT NULL, "
    "batch INTEGER NOT NULL DEFAULT 1, attempts INTEGER NOT NULL DEFAULT 0, failures INTEGER NOT NULL DEFAULT 0, "
    "trigger TEXT NOT NULL, host TEXT NOT NULL, owner TEXT, claimed_at INTEGER NOT NULL, started_at INTEGER, "
    "finished_at INTEGER, exit_code INTEGER, waits_since INTEGER, not_before INTEGER, "
    "queued INTEGER NOT NULL DEFAULT 0, late INTEGER NOT NULL DEFAULT 0, overdue INTEGER NOT NULL DEFAULT 0, "
    "pool TEXT, params TEXT NOT NULL DEFAULT '{}', pid INTEGER, birth TEXT, log TEXT, reason_code TEXT, told_by TEXT, "
    "flow_id TEXT, state_path TEXT",
    key="item, slot",
    indexes=(_OPEN, *_UNWELL),
)
ATTEMPTS = durable.Table(
    "attempts",
    "item TEXT NOT NULL, slot INTEGER NOT NULL, run_id TEXT NOT NULL, attempt INTEGER NOT NULL, status TEXT NOT NULL, "
    "reason TEXT, trigger TEXT NOT NULL, host TEXT NOT NULL, pid INTEGER, started_at INTEGER NOT NULL, "
    "finished_at INTEGER, exit_code INTEGER, log TEXT, reason_code TEXT",
    key="item, slot, attempt",
)
PAUSES = durable.Table(
    "pauses",
    "item TEXT NOT NULL, since INTEGER NOT NULL, until INTEGER, reason TEXT NOT NULL, actor TEXT NOT NULL",
    number="id",
    indexes=("CREATE INDEX pauses_of_item ON pauses (item, since)",),
)
FENCE = durable.Table(
    "fence",
    "id INTEGER NOT NULL, token INTEGER NOT NULL, owner TEXT NOT NULL, host TEXT NOT NULL, pid INTEGER NOT NULL, "
    "since INTEGER NOT NULL",
    key="id",
    more=", CHECK (id = 1)",
)
JOURNAL = durable.Table(
    "journal",
    "at INTEGER NOT NULL, event TEXT NOT NULL, item TEXT, slot INTEGER, actor TEXT NOT NULL, detail TEXT NOT NULL, "
    "chain TEXT",
    number="seq",
)
ACTS = durable.Table(
    "acts",
    "item TEXT NOT NULL, slot INTEGER, verb TEXT NOT NULL, actor TEXT NOT NULL, host TEXT NOT NULL, "
    "reason TEXT NOT NULL, until INTEGER, at INTEGER NOT NULL, ended_at INTEGER, ended_by TEXT",
    number="id",
    indexes=("CREATE INDEX acts_of_item ON acts (item, slot)",),
)
OUTBOX = durable.Table(
    "outbox",
    "id TEXT NOT NULL UNIQUE, item TEXT NOT NULL, slot INTEGER NOT NULL, run_id TEXT NOT NULL, event TEXT NOT NULL, "
    "detail TEXT NOT NULL, at INTEGER NOT NULL, done_at INTEGER",
    number="seq",
    indexes=(
        "CREATE INDEX open_outbox ON outbox (seq) WHERE done_at IS NULL",
        "CREATE INDEX outbox_of_item ON outbox (item, seq)",
    ),
)
META = durable.Table("meta", "name TEXT NOT NULL, value TEXT NOT NULL", key="name")
COPIED = (ITEMS, EPOCHS, SLOTS, ATTEMPTS, PAUSES, FENCE, JOURNAL, ACTS, OUTBOX, META)
OWNERS = durable.Table(
    "owners",
    "name TEXT NOT NULL, kind TEXT NOT NULL, host TEXT NOT NULL, pid INTEGER NOT NULL, since INTEGER NOT NULL",
    key="name",
)
"""They are processes, so that none lives in a copy."""
TABLES = (*COPIED, OWNERS)

_CODES_OF_1_0 = """
UPDATE slots SET reason_code=CASE
    WHEN status='MISSED' AND reason LIKE 'misfire: %' THEN 'misfire'
    WHEN status='MISSED' AND reason IN ('coalesced', 'max_catch_up') THEN reason
    WHEN status='MISSED' AND reason='since was set to an earlier time' THEN 'since'
    WHEN status='MISSED' AND reason='the schedule of the item was changed' THEN 'redefined'
    WHEN status='MISSED' AND reason='stopped by a signal' THEN 'stopped'
    WHEN reason='the item was disabled or removed' THEN 'removed'
    WHEN status IN ('SKIPPED', 'WAITING') AND reason LIKE 'calendar: %' THEN 'calendar'
    WHEN status IN ('SKIPPED', 'WAITING') AND reason LIKE 'blackout: %' THEN 'blackout'
    WHEN status IN ('SKIPPED', 'WAITING') AND (reason='paused' OR reason LIKE 'paused: %') THEN 'paused'
    WHEN status IN ('SKIPPED', 'WAITING', 'INTERRUPTED') AND reason LIKE 'overlap: the slot %' THEN 'overlap'
    WHEN status IN ('SKIPPED', 'WAITING') AND reason LIKE 'after %' THEN 'after'
    WHEN status='WAITING' AND reason LIKE '% is full' THEN 'full'
    WHEN status='WAITING' AND reason LIKE 'retry after: %' THEN 'retry'
    WHEN status='WAITING' AND reason LIKE 'resumes: %' THEN 'resumes'
    WHEN reason LIKE 'replaced by the slot %' THEN 'replaced'
    WHEN status='FAILED' AND reason LIKE 'timeout: it ran for more than %' THEN 'timeout'
    WHEN status='INTERRUPTED' AND reason='stopped with the scheduler' THEN 'drained'
    WHEN status='INTERRUPTED' AND reason='its scheduler ended without a word' THEN 'left'
    WHEN status='INTERRUPTED' AND reason='stopped by a signal' THEN 'stopped'
    WHEN status='INTERRUPTED' AND reason LIKE 'stopped by % from outside' THEN 'stopped_outside'
    WHEN status='SUCCESS' AND reason LIKE 'nothing was run: %' THEN 'nothing_run'
    WHEN status='FAILED' AND reason LIKE 'killed by %' THEN 'killed'
    WHEN status='FAILED' AND reason LIKE 'exit code %' THEN 'exit_code'
    WHEN status='UNKNOWN' AND reason='a step has to be decided' THEN 'undecided'
    WHEN status='FAILED' AND reason LIKE 'cannot be started: %' THEN 'cannot_start'
    WHEN status='FAILED' AND reason LIKE 'the launcher %' THEN 'launcher'
    ELSE 'run' END WHERE reason IS NOT NULL;
UPDATE attempts SET reason_code=CASE
    WHEN status='FAILED' AND reason LIKE 'replaced by the slot %' THEN 'replaced'
    WHEN status='FAILED' AND reason LIKE 'timeout: it ran for more than %' THEN 'timeout'
    WHEN status='FAILED' AND reason LIKE 'killed by %' THEN 'killed'
    WHEN status='FAILED' AND reason LIKE 'exit code %' THEN 'exit_code'
    WHEN status='FAILED' AND reason LIKE 'cannot be started: %' THEN 'cannot_start'
    WHEN status='FAILED' AND reason LIKE 'the launcher %' THEN 'launcher'
    WHEN status='INTERRUPTED' AND reason='stopped with the scheduler' THEN 'drained'
    WHEN status='INTERRUPTED' AND reason='its scheduler ended without a word' THEN 'left'
    WHEN status='INTERRUPTED' AND reason='interrupted' THEN 'interrupted'
    WHEN status='INTERRUPTED' AND reason='it was not started' THEN 'not_started'
    WHEN status='INTERRUPTED' AND reason='stopped by a signal' THEN 'stopped'
    WHEN status='INTERRUPTED' AND reason LIKE 'stopped by % from outside' THEN 'stopped_outside'
    WHEN status='SUCCESS' AND reason LIKE 'nothing was run: %' THEN 'nothing_run'
    WHEN status='UNKNOWN' AND reason='a step has to be decided' THEN 'undecided'
    ELSE 'run' END WHERE reason IS NOT NULL;
"""
"""Migration that derives `reason_code` from the reason texts of version 1.0.0; no other code parses them."""
_MIGRATIONS: dict[int, str] = {
    1: "ALTER TABLE items ADD COLUMN file TEXT; ALTER TABLE items ADD COLUMN pruned INTEGER",
    2: f"""
ALTER TABLE slots ADD COLUMN reason_code TEXT;
ALTER TABLE slots ADD COLUMN told_by TEXT;
ALTER TABLE slots ADD COLUMN flow_id TEXT;
ALTER TABLE slots ADD COLUMN state_path TEXT;
ALTER TABLE attempts ADD COLUMN reason_code TEXT;
ALTER TABLE journal ADD COLUMN chain TEXT;
{durable.statements_of(ACTS, OUTBOX, META)}
{_UNWELL[0]};
{_UNWELL[1]};
{_CODES_OF_1_0}""",
}
"""Schema version to the statements that migrate it to the next one."""


def prepare_schema(connection: durable.Database, path: Path, living: Living, *, read_only: bool = False) -> None:
    """Create the tables of a new file, or migrate an older one after a backup; raise StateError for any other file.

    `living` names the processes that have entered the ledger: an older file is not migrated under them.
    `read_only`: an older file also raises StateError, as it may not be migrated.
    """
    version = connection.schema_version()
    if version == SCHEMA_VERSION:
        if not read_only:
            _add_index(connection)
        return
    if version > SCHEMA_VERSION:
        raise newer("ledger", path, version, SCHEMA_VERSION)
    if read_only and not version:
        if connection.tables():
            raise no_ledger(path)
        fix = "copy it back from a backup; without one, the next `aetherflow-scheduler run` or `tick` begins a new one"
        raise StateError(f"ledger {path} is empty: what it recorded is gone", fix=fix)
    if version and read_only:
        raise StateError(
            f"ledger {path} has schema {version}, this scheduler reads {SCHEMA_VERSION}",
            fix="let `aetherflow-scheduler run` or `tick` open it once, which migrates it after a backup",
        )
    if version:
        _migrate(connection, path, version, living)
        _add_index(connection)
        return
    with durable.transaction(connection, "create ledger"):
        connection.await_turn("ledger")
        tables = connection.tables()  # before the version: in MariaDB the first table that is created ends a turn
        if connection.schema_version() == SCHEMA_VERSION:
            return  # another process was first
        if tables:
            raise no_ledger(path)
        durable.execute_all(connection, durable.statements_of(*TABLES), SCHEMA_VERSION)
    _add_index(connection)


def _add_index(connection: durable.Database) -> None:
    """Add the index that finds the slot of a run, to ledgers of before it, too.

    The schema keeps its number: a version that does not know the index, of 1.1 or SQLite itself, keeps it up to date.
    """
    added = "SELECT 1 FROM meta WHERE name='slots_of_run'"
    if connection.execute(added).fetchone() is not None:
        return
    with durable.transaction(connection, "add index"):
        connection.await_turn("ledger")
        if connection.execute(added).fetchone() is None:
            connection.execute("CREATE INDEX IF NOT EXISTS slots_of_run ON slots (run_id)")
            put = "INSERT INTO meta (name, value) VALUES ('slots_of_run', '1') ON CONFLICT (name) DO NOTHING"
            connection.execute(put)


def _migrate(connection: durable.Database, path: Path, version: int, living: Living) -> None:
    with durable.transaction(connection, "migrate ledger"):
        if connection.schema_version() != version:
            return  # another process was first, and has made the backup
        if "slots" not in connection.tables():
            raise no_ledger(path)
        _require_idle(connection, path, version, living)
        durable.keep_before(path, version)
        for old in range(version, SCHEMA_VERSION):
            durable.execute_all(connection, _MIGRATIONS[old], old + 1)
        facts = [("migrated_from", str(version)), ("migrated_at", str(time.time_ns() // 1_000_000))]
        connection.executemany("INSERT INTO meta (name, value) VALUES (?, ?)", facts)


def _require_idle(connection: durable.Database, path: Path, version: int, living: Living) -> None:
    """Raise StateError while other processes use the ledger: an older scheduler would go on without reason codes."""
    if names := living():
        known = {name: f"{kind}, pid {pid} on {host}" for name, kind, pid, host in connection.execute(_OWNERS)}
        shown = ", ".join(known.get(name, "another process") for name in names[:3])
        raise StateError(
            f"ledger {path} has the older schema {version} and is in use ({shown}): it is not migrated meanwhile",
            fix="stop it, or wait for its end; then do the same again",
        )


def no_ledger(path: Path) -> StateError:
    """Return the StateError for a database of another program; one that took our own name is moved away."""
    message = f"{path} is a database that is no ledger of a scheduler"
    if _OWN_NAME.fullmatch(f"{path.parent.name}/{path.name}"):
        return StateError(message, fix="move it away; a new one is made", commands=[aside(path)])
    return StateError(message, fix="name another file in `state:`")


_OWN_NAME = re.compile(r"scheduler/.+-[0-9a-f]{8}\.sqlite")
"""The place of a ledger whose document names none."""
_OWNERS = "SELECT name, kind, pid, host FROM owners"
