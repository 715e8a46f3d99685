"""The base class of all SQL connectors."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from itertools import chain
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import StringConstraints

from aetherflow.core.api import (
    ConnectorConfig,
    ConnectorError,
    ConnectorOptions,
    Row,
    Rows,
    ScriptResult,
    SqlConnector,
)
from aetherflow_builtins_db.connectors.common.progress import Progress
from aetherflow_builtins_db.connectors.common.time_limit import TimeLimit
from aetherflow_builtins_db.contract import Params, Transaction
from aetherflow_builtins_db.failures import ADVICE, Advice, DatabaseError, Failure, one_line
from aetherflow_builtins_db.rules import check_query, check_script, checked_values
from aetherflow_builtins_db.scripts import split_script

ConfigT = TypeVar("ConfigT", bound=ConnectorConfig)
OptionsT = TypeVar("OptionsT", bound=ConnectorOptions)
SettingName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_.]*$")]
"""Names of settings and pragmas: they become parts of statements unquoted."""


class SqlBase(SqlConnector[ConfigT, OptionsT]):
    """Implements most of the connector contract on top of `running`, `transaction` and `stream` of a subclass."""

    ADVICE: ClassVar[Advice] = {}
    """Entries that replace those of `failures.ADVICE` for this database."""
    MAPPED_ERRORS: ClassVar[tuple[type[BaseException], ...]] = ()
    """Errors other than the driver's own that `mapped` converts to DatabaseError."""
    read_only = False
    limit = TimeLimit(0)

    # Supplied by subclasses

    @abstractmethod
    def driver_errors(self) -> tuple[type[BaseException], ...]:
        """The driver's exceptions; ImportError if the driver is not installed."""

    @abstractmethod
    def failure_of(self, error: BaseException) -> Failure:
        """Classify an error of the driver."""

    @property
    def password(self) -> str:
        """The password; it is masked in every message."""
        return ""

    @abstractmethod
    def running(
        self, sql: str, params: Params, *, together: bool, allow_implicit_commit: bool
    ) -> AbstractContextManager[list[int | None]]:
        """Run the statements of a script and yield the number of changed rows of each; commit at the end of the block.

        :param together: whether even a single statement runs in a transaction, which an error in the block rolls back
        """

    @abstractmethod
    def transaction(self) -> AbstractContextManager[Transaction]:
        """Several operations on one connection: committed at the end of the block, rolled back if it raises."""

    @abstractmethod
    def stream(self, sql: str, params: Params = None, *, fetch_size: int = 5000) -> Rows:
        """Open a query whose result may be larger than memory."""

    def script(
        self,
        sql: str,
        params: Params = None,
        *,
        before_commit: Callable[[ScriptResult], None] | None = None,
        allow_implicit_commit: bool = False,
    ) -> ScriptResult:
        """Run one or more statements, several (or any with `before_commit`) in one transaction."""
        together = before_commit is not None
        with self.running(sql, params, together=together, allow_implicit_commit=allow_implicit_commit) as affected:
            result = ScriptResult(tuple(affected))
            if before_commit is not None:
                before_commit(result)
        return result

    def statements(self, sql: str) -> list[str]:
        """The statements of a script, each with its original text."""
        return split_script(sql, self.dialect.lexis)

    def quote(self, *name: str) -> str:
        """Quote the parts of a name for SQL and join them with dots."""
        return self.dialect.quote(*name)

    def ping(self) -> bool:
        """Whether the database answers; never raises ConnectorError."""
        try:
            return bool(self.read("SELECT 1 AS one")[1])
        except ConnectorError:
            return False

    def executemany(self, sql: str, rows: Iterable[Mapping[str, Any]]) -> int:
        """Run one statement for every map of values, in one transaction; return the number of changed rows."""
        with self.transaction() as transaction:
            return transaction.executemany(sql, rows)

    def execute(self, sql: str, params: Params = None) -> int:
        """Run one or more statements; return the number of changed rows, -1 if it is unknown."""
        affected = self.script(sql, params).affected_rows
        return -1 if affected is None else affected

    def read(self, sql: str, params: Params = None) -> tuple[list[str], list[Row]]:
        """Column names and all rows of a query. The query must only read."""
        with self.stream(sql, params) as rows:
            return [column.name for column in rows.columns], list(chain.from_iterable(rows.batches()))

    def fetchall(self, sql: str, params: Params = None) -> tuple[list[str], list[Row]]:
        return self.read(sql, params)

    def fetchmany(
        self, sql: str, params: Params = None, *, fetch_size: int = 5000
    ) -> tuple[list[str], Iterator[Row], list[type]]:
        """Names of the columns, an iterator over the rows, and the Python type of each column."""
        rows = self.stream(sql, params, fetch_size=fetch_size)

        def each() -> Iterator[Row]:
            with rows:
                yield from chain.from_iterable(rows.batches())

        return [c.name for c in rows.columns], each(), [c.type.python_type for c in rows.columns]

    @property
    def label(self) -> str:
        """The name of this resource in messages."""
        return f"resource {self.name} ({self.kind}:{self.driver})"

    def failed(self, operation: str, error: BaseException, detail: str = "") -> DatabaseError:
        """Convert a driver's error, to raise `from error`; `detail` says how far the operation came."""
        failure = self.failure_of(error)
        if failure is Failure.INTERRUPTED and (over := self.limit.over()) is not None:
            failure, error = Failure.STATEMENT_TIMEOUT, over
        return self.error_of(failure, operation, error, detail, self.where(failure))

    def error_of(
        self, failure: Failure, operation: str, error: BaseException, detail: str = "", where: str = ""
    ) -> DatabaseError:
        """The error to raise `from error`. Its text never contains the password."""
        text = f"{operation} failed{detail}: {self.message_of(error, failure)}{where}"
        if self.password:
            text = text.replace(self.password, "***")
        return DatabaseError(
            f"{self.label}: {text}", fix=self.ADVICE.get(failure) or ADVICE.get(failure, ""), failure=failure
        )

    def where(self, failure: Failure) -> str:
        """A suffix for the message: the address, if the connection was lost."""
        del failure
        return ""

    def message_of(self, error: object, failure: Failure) -> str:
        """The driver's message on one line."""
        del failure
        return one_line(str(error)) or type(error).__name__

    @contextmanager
    def mapped(self, operation: str, progress: Progress | None = None) -> Iterator[None]:
        """Convert the driver's errors inside the block to DatabaseError; the message includes the progress so far."""
        try:
            yield
        except (*self.driver_errors(), *self.MAPPED_ERRORS) as error:
            raise self.failed(operation, error, str(progress or "")) from error

    def refuse(self, message: str, fix: str = "") -> ConnectorError:
        """A ConnectorError that names this resource, for the caller to raise."""
        return ConnectorError(f"{self.label}: {message}", fix=fix)

    def bound(self, names: list[str], params: Params) -> dict[str, Any]:
        """The values of the parameters `names`; ConnectorError for non-SQL types, which drivers would send as text."""
        return checked_values(names, params, self.refuse)

    def check_writable(self) -> None:
        """Raise ConnectorError if the resource is `read_only`."""
        if self.read_only:
            raise self.refuse("it is read_only", "writing needs a resource without read_only")

    def check_query(self, sql: str) -> None:
        """Raise ConnectorError unless the SQL is one statement that reads."""
        check_query(self.statements(sql), self.refuse, self.dialect.lexis)

    def check_script(self, statements: list[str], *, allow_implicit_commit: bool = True) -> None:
        """Raise ConnectorError for an empty script and for statements that would end the script's transaction."""
        check_script(statements, self.dialect, self.refuse, allow_implicit_commit=allow_implicit_commit)


def setting_literal(value: Any) -> str:
    """A value as an SQL literal, for SET and COPY statements, which take no parameters."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    text = str(value).replace("'", "''")
    return f"'{text}'"
