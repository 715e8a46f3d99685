"""The connector of `driver: oracledb`, in thin mode or, with Oracle's client libraries, in thick mode."""

import decimal
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, ClassVar, Self, cast

from pydantic import Field, SecretStr, model_validator

from aetherflow.core.api import AssetFile, Column, ColumnType, Flag, Holds, PlainText, Row, SameAs, SqlDialect
from aetherflow_builtins_db.columns import MAX_DECIMAL_DIGITS, STRING, UNKNOWN
from aetherflow_builtins_db.connectors.common.arguments import IN_DSN
from aetherflow_builtins_db.connectors.common.rows import CursorRows
from aetherflow_builtins_db.connectors.common.server import ServerBase
from aetherflow_builtins_db.connectors.common.settings import PoolOptions, ServerConfig, ServerOptions
from aetherflow_builtins_db.connectors.oracledb.errors import failure_of
from aetherflow_builtins_db.contract import Params
from aetherflow_builtins_db.failures import PASSING, Failure
from aetherflow_builtins_db.params import translate

LocalFolder = Annotated[str, AssetFile(folder=True, local=True)]
Libraries = Annotated[LocalFolder, Holds.CODE]
_INT_DIGITS = 18
"""A NUMBER of at most so many digits fits in 64 bits."""
_NO_SCALE = -127
"""The scale that Oracle reports for FLOAT and for a NUMBER without precision."""
_TYPES = {
    "DB_TYPE_BINARY_FLOAT": ColumnType("float"),
    "DB_TYPE_BINARY_DOUBLE": ColumnType("float"),
    "DB_TYPE_BOOLEAN": ColumnType("bool"),
    "DB_TYPE_DATE": ColumnType("datetime"),
    "DB_TYPE_TIMESTAMP": ColumnType("datetime"),
    "DB_TYPE_TIMESTAMP_TZ": ColumnType("datetime"),
    "DB_TYPE_TIMESTAMP_LTZ": ColumnType("datetime"),
    "DB_TYPE_RAW": ColumnType("bytes"),
    "DB_TYPE_BLOB": ColumnType("bytes"),
    "DB_TYPE_LONG_RAW": ColumnType("bytes"),
}


class Config(ServerConfig):
    """Address and account: `dsn`, or host, port and service."""

    SCHEMES: ClassVar = ("oracle",)

    dsn: Annotated[str, IN_DSN] | None = Field(
        None, min_length=1, description="Connect string, or a name of tnsnames.ora: `db1:1521/sales`."
    )
    service_name: PlainText | None = Field(None, min_length=1, description="The service; `database` is the same.")
    sid: PlainText | None = Field(None, min_length=1, description="The SID, for databases without a service.")
    config_dir: Annotated[str, AssetFile(folder=True), Holds.CODE] | None = Field(
        None,
        min_length=1,
        description="The folder of tnsnames.ora and sqlnet.ora, relative to the flow file. They may name libraries and "
        "wallets: under a policy of the administrator it is below `plugins.paths`.",
    )
    wallet_location: LocalFolder | None = Field(
        None, min_length=1, description="The folder of the wallet (ewallet.pem), relative to the flow file."
    )
    wallet_password: SecretStr | None = Field(None, description="The wallet's password.")


class OraclePool(PoolOptions):
    """The pool of connections, which can be switched off."""

    enabled: Flag = Field(True, description="false: no connection stays open, as with `size: 0`.")


class Options(ServerOptions):
    """Server options, and those of python-oracledb."""

    pool: OraclePool = Field(OraclePool(), description="Connections that stay open.")
    pool_enabled: Annotated[Flag | None, SameAs("pool.enabled")] = Field(
        None, description="The same as `pool.enabled`."
    )

    lib_dir: Libraries | None = Field(
        None,
        min_length=1,
        description="The folder of Oracle's client libraries, relative to the flow file: switches to thick mode. "
        "Under a policy of the administrator it is below `plugins.paths`.",
    )
    oracle: dict[str, Libraries] = Field({}, description="`{lib_dir: …}`, the same.")
    arraysize: int = Field(5000, ge=1, description="Rows that the driver fetches at a time.")

    @model_validator(mode="after")
    def _one_lib_dir(self) -> Self:
        if unknown := sorted(set(self.oracle) - {"lib_dir"}):
            raise ValueError(f"oracle holds lib_dir only, not {', '.join(unknown)}")
        if self.lib_dir and self.oracle and self.oracle["lib_dir"] != self.lib_dir:
            raise ValueError("lib_dir and oracle.lib_dir are both given and differ")
        return self

    @property
    def pooling(self) -> PoolOptions:
        """The pool's settings; without a pool as many connections as with it, but none stays open."""
        found = super().pooling
        if cast("OraclePool", found).enabled:
            return found
        return found.model_copy(update={"size": 0, "max_overflow": found.size + found.max_overflow})

    @property
    def libraries(self) -> str | None:
        """Where the client libraries are; None for thin mode."""
        return self.lib_dir or self.oracle.get("lib_dir")


class OracleConnector(ServerBase[Config, Options]):
    """An Oracle database, by python-oracledb.

    Thin mode needs no Oracle software; `options.lib_dir` switches the process to thick mode. Reading runs in a
    read-only transaction. CREATE, ALTER and DROP commit at once: a script that has one after a change of rows is
    refused, unless `allow_implicit_commit` is true. Names without quotes are upper case. The driver drops the zone of
    TIMESTAMP WITH TIME ZONE: select SYS_EXTRACT_UTC(x).

        resources:
          erp:
            kind: db
            driver: oracledb
            config: {host: db.example.com, service_name: erp, user: etl, password: "{{env.ERP_PASSWORD}}"}
            options: {statement_timeout: 600}
    """

    requires = ("oracledb",)
    dialect = SqlDialect("oracle", "flow", lexis="oracle", transactional_ddl=False)
    EXTRA = "oracle"

    ADVICE: ClassVar = {
        Failure.ACCOUNT_LOCKED: "the account is locked or its password has expired: ask its administrator",
        Failure.NO_DATABASE: "check config.service_name or sid",
        Failure.BAD_ADDRESS: "check config.dsn and config_dir",
        Failure.REFUSED: "check config.host and config.port, and that the listener runs",
        Failure.CERTIFICATE: "check config.ssl and wallet_location",
        Failure.NO_DRIVER: "check options.lib_dir: Oracle's client libraries are not there",
        Failure.MODES_DIFFER:
            "a process is thin or thick: set options.lib_dir in all its Oracle resources, or in none",
        Failure.DISK_FULL: "free space in the database: its tablespace or disk is full",
        Failure.NO_TABLE: "check the table's name, its schema and the user's rights",
        Failure.BAD_PARAMETER: "parameters are text, numbers, bytes, dates and null",
    }  # fmt: skip
    PASSING: ClassVar = PASSING - {Failure.CONNECTION_LOST}

    def driver_errors(self) -> tuple[type[BaseException], ...]:
        import oracledb

        return (oracledb.Error,)

    @property
    def address(self) -> str:
        """The database's address in messages."""
        return self.conf.dsn or super().address

    def connect_arguments(self) -> dict[str, Any]:
        conf, place = self.conf, self.conf.place
        query = place.pop("query", {})
        arguments: dict[str, Any] = {"user": place.get("user"), "password": place.get("password")}
        if conf.dsn:
            arguments["dsn"] = conf.dsn
        else:
            arguments |= {"host": place.get("host", "localhost"), "port": place.get("port", 1521)}
            service = conf.service_name or query.get("service_name") or place.get("database")
            arguments |= {"sid": conf.sid} if conf.sid else {"service_name": service}
        if conf.ssl is not None and conf.ssl.mode != "disable":
            arguments |= {"protocol": "tcps", "ssl_server_dn_match": conf.ssl.mode == "verify-full"}
            if conf.ssl.ca_file or conf.ssl.cert_file:  # in thick mode a wallet holds them
                arguments["ssl_context"] = self.tls_context(conf.ssl)
        for name in ("config_dir", "wallet_location"):
            if value := getattr(conf, name):
                arguments[name] = self.file(value)
        if conf.wallet_password is not None:
            arguments["wallet_password"] = conf.wallet_password.get_secret_value()
        arguments["tcp_connect_timeout"] = self.opts.connect_timeout
        return arguments | self.opts.connect_args

    def open(self) -> Any:
        """Connect and set up the session; TimeoutError if the listener accepts but the login does not end."""
        import oracledb

        if (libraries := self.opts.libraries) is not None and oracledb.is_thin_mode():
            oracledb.init_oracle_client(lib_dir=self.file(libraries))
        arguments = self.connect_arguments()
        # tcp_connect_timeout ends when the listener accepts; a listener that then stays silent would block for ever.
        connection = with_deadline(self.opts.connect_timeout * 2, lambda: oracledb.connect(**arguments))
        try:
            connection.outputtypehandler = _handler
            connection.call_timeout = round((self.opts.statement_timeout or self.silence_limit or 0) * 1000)
            with connection.cursor() as cursor:
                cursor.execute("ALTER SESSION SET TIME_ZONE = '+00:00'")
                for statement in self.opts.init_sql:
                    cursor.execute(statement)
        except BaseException:
            connection.close()
            raise
        return connection

    def failure_of(self, error: BaseException) -> Failure:
        """Classify an error of the driver."""
        return failure_of(error)

    def check(self, connection: Any) -> None:
        connection.ping()

    def cancel(self, connection: Any) -> None:
        connection.cancel()

    def markers(self, sql: str) -> tuple[str, list[str]]:
        """The SQL with `:name` markers, which are Oracle's own, and the names of its parameters."""
        return translate(sql, lambda name: f":{name}", lexis="oracle")

    def begin(self, connection: Any, *, read_only: bool) -> None:
        """Start a read-only transaction; Oracle starts any other one implicitly."""
        if read_only:
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION READ ONLY")

    def run(self, connection: Any, sql: str, values: Mapping[str, Any]) -> int | None:
        """Run a statement; return the driver's row count."""
        with connection.cursor() as cursor:
            cursor.execute(sql, _sent(values))
            return int(cursor.rowcount)

    def run_many(self, connection: Any, sql: str, rows: Iterable[Mapping[str, Any]]) -> int:
        """Run a statement for every map of values, with array binds; return the number of changed rows."""
        listed = [_sent(row) for row in rows]
        if not listed:
            return 0
        with connection.cursor() as cursor:
            cursor.executemany(sql, listed)
            return int(cursor.rowcount)

    def fetch(self, connection: Any, sql: str, values: Mapping[str, Any]) -> tuple[list[str], list[Row]]:
        """Run a query and fetch all of it."""
        with connection.cursor() as cursor:
            cursor.execute(sql, _sent(values))
            return [each[0] for each in cursor.description or ()], cursor.fetchall()

    def stream(self, sql: str, params: Params = None, *, fetch_size: int = 5000) -> CursorRows:
        """Open a query in a read-only transaction of its own."""
        self.check_query(sql)
        (statement,) = self.statements(sql)
        text, names = self.markers(statement)
        values = self.bound(names, params)
        connection = self.acquire()
        try:
            with self.mapped("query"):
                self.begin(connection, read_only=True)
                cursor = connection.cursor()
                cursor.arraysize = cursor.prefetchrows = self.opts.arraysize
                cursor.execute(text, _sent(values))
                if cursor.description is None:
                    raise self.refuse("the SQL returns no rows", "use db_execute to change data")
                columns = [column_of(each) for each in cursor.description]
        except BaseException:
            self.give_back(connection)
            raise
        return CursorRows(self, connection, cursor, columns, fetch_size)


def column_of(described: Any) -> Column:
    """A column from the driver's description: name, type, display size, internal size, precision, scale."""
    name, kind, _display, _internal, precision, scale, *_ = described
    if kind.name != "DB_TYPE_NUMBER":
        return Column(name, _TYPES.get(kind.name, STRING))
    if not precision or scale is None or scale == _NO_SCALE:
        return Column(name, UNKNOWN)
    if scale == 0 and precision <= _INT_DIGITS:
        return Column(name, ColumnType("int"))
    fits = precision <= MAX_DECIMAL_DIGITS and 0 <= scale <= precision
    return Column(name, ColumnType("decimal", precision, scale) if fits else UNKNOWN)


def _handler(cursor: Any, metadata: Any) -> Any:
    """Output type handler: NUMBER as Decimal without loss, large objects as str and bytes instead of locators."""
    import oracledb

    kind = metadata.type_code
    if kind is oracledb.DB_TYPE_NUMBER and not (metadata.scale == 0 and 0 < (metadata.precision or 0) <= _INT_DIGITS):
        return cursor.var(decimal.Decimal, arraysize=cursor.arraysize)
    plain = {
        oracledb.DB_TYPE_CLOB: oracledb.DB_TYPE_LONG,
        oracledb.DB_TYPE_NCLOB: oracledb.DB_TYPE_LONG_NVARCHAR,
        oracledb.DB_TYPE_BLOB: oracledb.DB_TYPE_LONG_RAW,
    }
    return cursor.var(plain[kind], arraysize=cursor.arraysize) if kind in plain else None


def _sent(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values with booleans as 0 and 1: Oracle has no BOOLEAN before 23ai."""
    return {name: int(value) if isinstance(value, bool) else value for name, value in values.items()}


def with_deadline(seconds: float, work: Callable[[], Any]) -> Any:
    """Run `work` in a thread; return or raise what it does. After `seconds`: TimeoutError, and the thread goes on."""
    done: list[Any] = []
    failed: list[BaseException] = []

    def attempt() -> None:
        try:
            done.append(work())
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            failed.append(error)

    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    thread.join(seconds)
    if failed:
        raise failed[0]
    if not done:
        raise TimeoutError(f"the server accepted the connection and did not answer for {seconds:g} seconds")
    return done[0]
