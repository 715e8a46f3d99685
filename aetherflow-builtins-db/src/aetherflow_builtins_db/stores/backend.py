"""The state backends `postgres` and `mysql`: which schema a store has, what the server says of itself, its backup."""

import re
import shlex
import time
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from aetherflow.core.api import ServerFacts, StateBackend
from aetherflow_builtins_db.stores.kept import KeptConnection
from aetherflow_builtins_db.stores.mariadb import MariadbLine
from aetherflow_builtins_db.stores.owners import Owners
from aetherflow_builtins_db.stores.postgres import PostgresLine
from aetherflow_builtins_db.stores.sending import Line, message_of
from aetherflow_builtins_db.stores.server import ServerDatabase, StoreError

if TYPE_CHECKING:
    from aetherflow_builtins_db.connectors.mysql.connector import MySQLConnector
    from aetherflow_builtins_db.connectors.postgres.connector import PostgresConnector

_MARIADB = re.compile(r"(?:5\.5\.5-)?((\d+)\.(\d+)[-.\d]*)-MariaDB")
"""The version in what the server says of itself; older ones put 5.5.5 before theirs."""
_OLDEST_MARIADB = 10, 6


class ServerStores(StateBackend):
    """Stores in a server, each in a schema of its own."""

    error: type[OSError] = StoreError
    kind: ClassVar[type[Line]]
    connector: "PostgresConnector | MySQLConnector"

    def __init__(self, connector: Any, name: str, folder: Path) -> None:
        super().__init__(connector, name, folder)
        self._kept, self._owners = KeptConnection(self._connect), Owners(name)

    def database(self, store: str, *, busy_seconds: float, reading: bool = False) -> ServerDatabase:
        """A connection to the schema of a store, which is created unless it is for `reading`.

        StoreError; UntrustedError where other users of the server have something in it.
        """
        return ServerDatabase(
            self.kind, self._kept, self._owners, self._prefix() + store, busy_seconds=busy_seconds, reading=reading
        )

    def address(self) -> str:
        """Name of the database, host and port, as the connector takes them."""
        given = {"port": "", "dbname": "", "database": ""} | self.connector.connect_arguments()
        place = given.get("unix_socket") or f"{given.get('host', '')}:{given['port']}"
        return f"{given['dbname'] or given['database']} on {place}"

    def facts(self) -> ServerFacts:
        """Version, rights, clock, and how long a question takes: the shortest of three. StoreError."""
        with self._line() as line:
            ((version, may_create),) = line.ask(line.text(*self._asking()))[0].rows
            round_trip_ms, offset_ms = min(_ask_time(line) for _ in range(3))
        return ServerFacts(version, bool(may_create), round(offset_ms), round_trip_ms)

    def stores(self) -> list[str]:
        """The names of the stores that are there. StoreError."""
        with self._line() as line:
            names = [name for (name,) in line.ask(line.schemas)[0].rows]
        return [name.removeprefix(self._prefix()) for name in names if name.startswith(self._prefix())]

    @abstractmethod
    def _connect(self) -> Any: ...

    @abstractmethod
    def _prefix(self) -> str:
        """What the names of the schemas begin with."""

    @abstractmethod
    def _asking(self) -> tuple[str, tuple[Any, ...]]:
        """The query for version and rights, with its values."""

    @contextmanager
    def _line(self) -> Iterator[Line]:
        try:
            with closing(self.kind(self._connect(), "")) as line:
                if line.before_looks:
                    line.ask(line.before_looks)
                yield line
        except self.kind.errors() as error:
            raise StoreError(message_of(error)) from error


class PostgresStores(ServerStores):
    """State, locks and ledger in a database of PostgreSQL: each store has a schema, `aetherflow_state`.

    The account needs two rights: GRANT CONNECT, CREATE ON DATABASE ops TO etl.

        state: {resource: ops_db}
        resources:
          ops_db:
            kind: db
            driver: postgres
            config: {host: db.example.com, database: ops, user: etl, password: "{{env.OPS_PASSWORD}}", ssl: true}
    """

    kind: ClassVar = PostgresLine
    connector: "PostgresConnector"

    def _connect(self) -> Any:
        return self.connector.open()

    def _prefix(self) -> str:
        return "aetherflow_"

    def _asking(self) -> tuple[str, tuple[Any, ...]]:
        names = ", ".join(f"'{self._prefix()}{store}'" for store in ("state", "locks", "registry"))
        query = f"""SELECT 'PostgreSQL ' || current_setting('server_version'),
            has_database_privilege(current_database(), 'CREATE') OR
            (SELECT count(*) = 0 FROM unnest(ARRAY[{names}]) AS s WHERE to_regnamespace(s) IS NULL
            OR NOT has_schema_privilege(to_regnamespace(s), 'CREATE'))"""  # noqa: S608
        return query, ()

    def backup_command(self, file: Path) -> str:
        """That of pg_dump, which asks for the password."""
        names = {"host": "--host", "port": "--port", "user": "--username", "dbname": "--dbname"}
        words = _options(self.connector.connect_arguments(), names)
        return shlex.join(["pg_dump", *words, "--schema=aetherflow_*", "--format=custom", f"--file={file}"])


class MariadbStores(ServerStores):
    r"""State, locks and ledger in MariaDB 10.6 or later: each store is a database, `ops_aetherflow_state`.

    The account needs rights on them: GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, INDEX, TRIGGER ON
    `ops\_aetherflow\_%`.* TO etl. A server of MySQL keeps no states.

        state: {resource: ops_db}
        resources:
          ops_db:
            kind: db
            driver: mysql
            config: {host: db.example.com, database: ops, user: etl, password: "{{env.OPS_PASSWORD}}", ssl: true}
    """

    kind: ClassVar = MariadbLine
    connector: "MySQLConnector"

    def _connect(self) -> Any:
        from pymysql.constants import CLIENT

        raw = self.connector.open(CLIENT.MULTI_STATEMENTS, database=None)  # on which it may have no right
        told: str = raw.get_server_info()  # type: ignore[no-untyped-call]
        found = _MARIADB.match(told)
        if found is None or (int(found[2]), int(found[3])) < _OLDEST_MARIADB:
            raw.close()
            what = f"MySQL {told}" if found is None else f"MariaDB {found[1]}"
            wanted = "states are kept by MariaDB 10.6 or later, and by PostgreSQL: let the resource lead to one of them"
            raise StoreError(f"{raw.host}:{raw.port} is {what}; {wanted}")
        return raw

    def _prefix(self) -> str:
        database = self.connector.connect_arguments().get("database")
        return f"{database}_aetherflow_" if database else "aetherflow_"

    def _asking(self) -> tuple[str, tuple[Any, ...]]:
        query = """SELECT concat('MariaDB ', substring_index(version(), '-', 1)), EXISTS(SELECT 1 FROM
            (SELECT grantee, '%' AS granted, privilege_type FROM information_schema.user_privileges UNION ALL
            SELECT grantee, table_schema, privilege_type FROM information_schema.schema_privileges) AS rights
            WHERE privilege_type='CREATE' AND ? LIKE granted AND grantee IN
            (concat('''', replace(current_user(), '@', '''@'''), ''''), concat('''', current_role(), '''@''''')))"""
        return query, (f"{self._prefix()}state",)

    def backup_command(self, file: Path) -> str:
        """That of mariadb-dump, which asks for the password; it names the stores that are there. StoreError."""
        names = {"host": "--host", "port": "--port", "user": "--user"}
        words = _options(self.connector.connect_arguments(), names)
        stores = [self._prefix() + store for store in self.stores()]
        return shlex.join(
            ["mariadb-dump", *words, "--password", "--single-transaction", f"--result-file={file}", "--databases"]
            + stores
        )


def _options(arguments: dict[str, Any], names: dict[str, str]) -> list[str]:
    return [f"{option}={arguments[name]}" for name, option in names.items() if arguments.get(name)]


def _ask_time(line: Line) -> tuple[float, float]:
    """How long the answer took, and the server's clock less that of this host, both in milliseconds."""
    sent, began = time.time(), time.perf_counter()
    ((now_ms,),) = line.ask(f"SELECT {line.clock}")[0].rows
    took = time.perf_counter() - began
    return took * 1000, now_ms - (sent + took / 2) * 1000
