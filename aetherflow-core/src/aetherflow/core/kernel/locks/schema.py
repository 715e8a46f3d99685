"""Tables of a lock store. `*_at` are UTC epoch milliseconds; `*_mono` count on the clock of the boot beside them.

`waiters.beat_at` is the last sign of life of a waiter on another host, where the store is in a server; else NULL.

`broken.chain` is reserved for a hash chain of what operators did; it is not written yet.
"""

from pathlib import Path

from aetherflow.core.base import durable
from aetherflow.core.base.errors import StateError
from aetherflow.core.kernel.locks.alive import living_files
from aetherflow.core.kernel.locks.clock import Clock
from aetherflow.core.kernel.state.unusable import newer

SCHEMA_VERSION = 2

TABLES = (
    durable.Table(
        "locks",
        "key TEXT NOT NULL, owner TEXT NOT NULL, token INTEGER NOT NULL, acquired_at INTEGER NOT NULL, "
        "renewed_at INTEGER NOT NULL, expires_at INTEGER NOT NULL, ttl_ms INTEGER NOT NULL, boot TEXT NOT NULL, "
        "expires_mono INTEGER NOT NULL, alive TEXT, host TEXT NOT NULL, pid INTEGER NOT NULL",
        key="key",
    ),
    durable.Table(
        "waiters",
        "key TEXT NOT NULL, owner TEXT NOT NULL, since INTEGER NOT NULL, boot TEXT NOT NULL, alive TEXT NOT NULL, "
        "host TEXT NOT NULL, pid INTEGER NOT NULL, beat_at INTEGER",
        number="ticket",
        used_once=True,
        indexes=("CREATE INDEX waiters_of_key ON waiters (key, ticket)",),
    ),
    durable.Table("tokens", "key TEXT NOT NULL, last INTEGER NOT NULL", key="key"),
    durable.Table(
        "broken",
        "key TEXT NOT NULL, token INTEGER NOT NULL, owner TEXT NOT NULL, at INTEGER NOT NULL, actor TEXT NOT NULL, "
        "reason TEXT NOT NULL, host TEXT, chain TEXT",
        key="key, token",
    ),
)
_MIGRATIONS = {
    1: "ALTER TABLE broken ADD COLUMN host TEXT; ALTER TABLE broken ADD COLUMN chain TEXT;"
    "ALTER TABLE waiters ADD COLUMN beat_at INTEGER"
}
"""Schema version to the statements that migrate it to the next one."""


def prepare_schema(connection: durable.Database, path: Path, clock: Clock) -> None:
    """Create the tables in a new file; migrate an older schema after a backup.

    Raises StateError for a store of a newer engine, for a database of another program, and for an older store in use.
    """
    version = connection.schema_version()
    if version == SCHEMA_VERSION:
        return
    if version > SCHEMA_VERSION:
        raise newer("lock store", path, version, SCHEMA_VERSION)
    with durable.transaction(connection, "create lock store"):
        connection.await_turn("schema")
        tables = connection.tables()  # before the version: in MariaDB the first table that is created ends a turn
        if (version := connection.schema_version()) == SCHEMA_VERSION:
            return  # another process was first
        if version:
            _require_idle(connection, path, clock, version)
            durable.keep_before(path, version)
            for old in range(version, SCHEMA_VERSION):
                durable.execute_all(connection, _MIGRATIONS[old], old + 1)
            return
        if tables:
            fix = "name another file in AETHERFLOW_LOCK_STORE"
            raise StateError(f"{path} is a database that AetherFlow did not create", fix=fix)
        durable.execute_all(connection, durable.statements_of(*TABLES), SCHEMA_VERSION)


def _require_idle(connection: durable.Database, path: Path, clock: Clock, version: int) -> None:
    """Refuse the migration while a process of the older engine has the store open, since it cannot use new tables."""
    living = living_files(durable.side_folder(path))
    rows = connection.execute("SELECT owner, pid, host, alive, boot, expires_at, ttl_ms FROM locks ORDER BY key")
    live = []
    for owner, pid, host, alive, boot, expires_at, ttl_ms in rows.fetchall():
        elsewhere = boot != clock.boot and min(ttl_ms, expires_at - clock.wall_ms()) > 0
        if alive in living or elsewhere:
            flow_id, run_id, _ = owner.rsplit("/", 2)
            live.append(f"run {run_id} of flow {flow_id}, pid {pid} on {host}")
    if live or living:
        shown = ", ".join(dict.fromkeys(live[:3])) or f"{len(living)} other process{'es' * (len(living) > 1)}"
        raise StateError(
            f"lock store {path} has the older schema {version} and is in use by {shown}: it is not migrated meanwhile",
            fix="wait for it, or stop it; then do the same again",
        )
