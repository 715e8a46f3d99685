"""The engine's stores on throw-away servers."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any, ClassVar

import psycopg
import pymysql
import pytest
from pymysql.constants import CR

from aetherflow.core.api import ConnectorInit
from aetherflow.core.base import durable
from aetherflow_builtins_db.connectors.mysql.connector import MySQLConnector
from aetherflow_builtins_db.connectors.postgres.connector import PostgresConnector
from aetherflow_builtins_db.stores.backend import MariadbStores, PostgresStores, ServerStores
from aetherflow_builtins_db.stores.dialect import mariadb
from aetherflow_builtins_db.stores.mariadb import MariadbLine
from aetherflow_builtins_db.stores.postgres import PostgresLine
from aetherflow_builtins_db.stores.sending import Line
from aetherflow_builtins_db.stores.server import ServerDatabase
from db_places import new_database, settings
from services import Database

NAME = "//postgres:ops_db"


def use_postgres(server: Database, folder: Path, *, port: int | None = None) -> Path:
    """Let this process keep stores in a database; returns what stands for the path of a file."""
    connector = PostgresConnector(_init("postgres", server, port))
    return _use(PostgresStores(connector, NAME, folder))


def use_mariadb(server: Database, folder: Path, *, port: int | None = None) -> Path:
    """The same in MariaDB."""
    connector = MySQLConnector(_init("mysql", server, port))
    return _use(MariadbStores(connector, "//mysql:ops_db", folder))


def _init(driver: str, server: Database, port: int | None) -> ConnectorInit:
    config = settings(server) | {"port": port or server.port, "ssl": False}
    return ConnectorInit("ops_db", "db", driver, config, {"connect_timeout": 5})


def _use(stores: ServerStores) -> Path:
    durable.servers[stores.name] = stores
    return Path(stores.name)


def connected(server: Database) -> "psycopg.Connection[tuple[object, ...]]":
    """A connection to look at the rows."""
    given = settings(server)
    return psycopg.connect(
        host=server.host, port=server.port, user=server.user, password=given["password"], dbname=server.name,
        autocommit=True,
    )  # fmt: skip


SERVERS = ("postgres", "mariadb")


def place_of(server: Database) -> "ServerPlace":
    """The stores in a database."""
    return MariadbPlace(server) if server.driver == "mysql" else PostgresPlace(server)


def new_place(request: pytest.FixtureRequest, name: str) -> "ServerPlace":
    """A new database on the server that the fixture's parameter names, one of SERVERS."""
    return place_of(new_database(request.getfixturevalue(request.param), name))


class ServerPlace(ABC):
    """Stores in a server, and a way to look at them beside the engine."""

    kind: ClassVar[type[Line]]
    enter: ClassVar[str]
    drop: ClassVar[str]
    end_session: ClassVar[str]
    number_of_session: ClassVar[str]
    other_sessions: ClassVar[str]

    def __init__(self, server: Database) -> None:
        self.server = server

    @abstractmethod
    def use(self, folder: Path, *, port: int | None = None) -> Path:
        """Let this process keep stores there; returns what stands for the path of a file."""

    @abstractmethod
    def schema(self, store: str) -> str:
        """The name of the schema of a store."""

    @abstractmethod
    def ask(self, *queries: str) -> list[tuple[Any, ...]]:
        """What the last of some statements finds."""

    def within(self, store: str, *queries: str) -> list[tuple[Any, ...]]:
        """What the last of some statements finds in a store; nothing where that is not there yet."""
        try:
            return self.ask(self.enter.format(self.schema(store)), *queries)
        except self.kind.errors() as error:
            if self.kind.no_schema(error):
                return []
            raise

    @abstractmethod
    def lost(self, text: str) -> Exception:
        """What the driver raises where a connection is lost, or none is made."""

    @abstractmethod
    def stalled(self, store: str, table: str) -> AbstractContextManager[object]:
        """Nobody can write into a table meanwhile."""

    @abstractmethod
    def commits(self) -> int:
        """A number that each transaction that writes makes larger by one."""

    def check_free(self) -> None:
        """Assert that no process executes a run, holds a lock or waits for one."""
        for store, table in (("state", "owners"), ("locks", "locks"), ("locks", "waiters")):
            assert self.within(store, f"SELECT * FROM {table}") == [], table

    def empty(self) -> None:
        """Take all rows out of the state and the locks, and the other stores as a whole."""
        tables = "SELECT table_schema, table_name FROM information_schema.tables WHERE table_schema LIKE '%aetherflow%'"
        kept = [self.schema("state"), self.schema("locks")]
        found = self.ask(tables)
        rows = [f"DELETE FROM {schema}.{name}" for schema, name in found if schema in kept and name != "schema_version"]
        ours = {schema for schema, _ in found if schema.startswith(self.schema(""))}
        self.ask(*rows, *(self.drop.format(schema) for schema in ours - {*kept}), "SELECT 1")


class PostgresPlace(ServerPlace):
    """Stores in a database of PostgreSQL."""

    kind = PostgresLine
    enter = "SET search_path = {}"
    drop = "DROP SCHEMA {} CASCADE"
    end_session = "SELECT pg_terminate_backend({})"
    number_of_session = "SELECT pg_backend_pid()"
    other_sessions = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"

    def use(self, folder: Path, *, port: int | None = None) -> Path:
        return use_postgres(self.server, folder, port=port)

    def schema(self, store: str) -> str:
        return f"aetherflow_{store}"

    def ask(self, *queries: str) -> list[tuple[Any, ...]]:
        with connected(self.server) as connection, connection.cursor() as cursor:
            for query in queries:
                cursor.execute(query)
            return cursor.fetchall() if cursor.description else []

    def lost(self, text: str) -> Exception:
        return psycopg.OperationalError(text)

    @contextmanager
    def stalled(self, store: str, table: str) -> Iterator[None]:
        with connected(self.server) as connection, connection.transaction():
            connection.execute(f"LOCK TABLE {self.schema(store)}.{table} IN EXCLUSIVE MODE")
            yield

    def commits(self) -> int:
        return int(self.ask("SELECT pg_current_xact_id()::text::bigint")[0][0])


class MariadbPlace(ServerPlace):
    """The same in MariaDB."""

    kind = MariadbLine
    enter = "USE {}"
    drop = "DROP DATABASE {}"
    end_session = "KILL CONNECTION {}"
    number_of_session = "SELECT connection_id()"
    other_sessions = "SELECT id FROM information_schema.processlist WHERE id <> connection_id()"

    def use(self, folder: Path, *, port: int | None = None) -> Path:
        return use_mariadb(self.server, folder, port=port)

    def schema(self, store: str) -> str:
        return f"{self.server.name}_aetherflow_{store}"

    def ask(self, *queries: str) -> list[tuple[Any, ...]]:
        with self._cursor() as cursor:
            for query in queries:
                cursor.execute(mariadb(query), ())
            return list(cursor.fetchall())

    def lost(self, text: str) -> Exception:
        return pymysql.OperationalError(CR.CR_SERVER_LOST, text)

    @contextmanager
    def stalled(self, store: str, table: str) -> Iterator[None]:
        with self._cursor() as cursor:  # and reading it waits, too
            cursor.execute(f"LOCK TABLES {self.schema(store)}.{table} WRITE")
            yield

    @contextmanager
    def _cursor(self) -> "Iterator[pymysql.cursors.Cursor]":
        with (
            closing(pymysql.connect(**settings(self.server), ssl_disabled=True, autocommit=True)) as raw,
            raw.cursor() as cursor,
        ):
            yield cursor

    def commits(self) -> int:
        return int(self.ask("SHOW GLOBAL STATUS LIKE 'com_commit'")[0][1])


@contextmanager
def another_creates(path: Path, store: str, statements: str, version: int) -> Iterator[None]:
    """When the tables of a new store are looked for, another process has just created them.

    In MariaDB each table that is created ends the transaction, and so the turn of who creates them.
    """
    tables, others = ServerDatabase.tables, list[str]()

    def created(database: ServerDatabase) -> set[str]:
        if not others:
            others.append(store)
            with closing(durable.open_store(path, store, busy_seconds=30)) as other:
                durable.execute_all(other, statements, version)
        return tables(database)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ServerDatabase, "tables", created)
        yield
    assert others == [store]
