"""The state backend `postgres`: which schema a store has, what the server says of itself, how it is backed up."""

import shlex
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aetherflow.core.api import ServerFacts, StateBackend
from aetherflow_builtins_db.connectors.postgres.connector import PostgresConnector
from aetherflow_builtins_db.failures import one_line
from aetherflow_builtins_db.stores.postgres import NOW, PostgresDatabase, StoreError

if TYPE_CHECKING:
    import psycopg

_FACTS = """SELECT current_setting('server_version'), has_database_privilege(current_database(), 'CREATE')
    OR (SELECT count(*) = 0 FROM unnest(ARRAY['aetherflow_state', 'aetherflow_locks', 'aetherflow_registry']) AS name
        WHERE to_regnamespace(name) IS NULL OR NOT has_schema_privilege(to_regnamespace(name), 'CREATE'))"""

_STORES = "SELECT substr(nspname, 12) FROM pg_namespace WHERE starts_with(nspname, 'aetherflow_') ORDER BY nspname"


class PostgresStores(StateBackend):
    """State, locks and ledger in a database of PostgreSQL: each store has a schema, `aetherflow_state`.

    The account needs the right to create schemas: GRANT CREATE ON DATABASE ops TO etl.

        state: {resource: ops_db}
        resources:
          ops_db:
            kind: db
            driver: postgres
            config: {host: db.example.com, database: ops, user: etl, password: "{{env.OPS_PASSWORD}}", ssl: true}
    """

    error: type[OSError] = StoreError
    connector: PostgresConnector

    def database(self, store: str, *, busy_seconds: float, reading: bool = False) -> PostgresDatabase:
        """A connection to the schema of a store, which is created unless it is for `reading`. StoreError."""
        schema = f"aetherflow_{store}"
        return PostgresDatabase(self.connector.open, schema, busy_seconds=busy_seconds, reading=reading)

    def stores(self) -> list[str]:
        """Those whose schemas begin with `aetherflow_`. StoreError."""
        import psycopg

        try:
            with closing(self.connector.open()) as raw:
                return [name for (name,) in raw.execute(_STORES).fetchall()]
        except psycopg.Error as error:
            raise StoreError(one_line(str(error))) from error

    def backup_command(self, file: Path) -> str:
        """That of pg_dump, which asks for the password."""
        place = self.connector.connect_arguments()
        names = {"host": "--host", "port": "--port", "user": "--username", "dbname": "--dbname"}
        words = [f"{option}={place[name]}" for name, option in names.items() if place.get(name)]
        return shlex.join(["pg_dump", *words, "--schema=aetherflow_*", "--format=custom", f"--file={file}"])

    def facts(self) -> ServerFacts:
        """Version, rights, clock, and how long a question takes: the shortest of three. StoreError."""
        import psycopg

        try:
            with closing(self.connector.open()) as raw:
                ((version, may_create),) = raw.execute(_FACTS).fetchall()
                asked = [_ask_time(raw) for _ in range(3)]
        except psycopg.Error as error:
            raise StoreError(one_line(str(error))) from error
        round_trip_ms, offset_ms = min(asked)
        return ServerFacts(f"PostgreSQL {version}", may_create, round(offset_ms), round_trip_ms)


def _ask_time(raw: "psycopg.Connection[Any]") -> tuple[float, float]:
    """How long the answer took, and the server's clock less that of this host, both in milliseconds."""
    sent, began = time.time(), time.perf_counter()
    ((now_ms,),) = raw.execute(f"SELECT {NOW}").fetchall()
    took = time.perf_counter() - began
    return took * 1000, now_ms - (sent + took / 2) * 1000
