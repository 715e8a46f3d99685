"""Scripts and transactions of connectors that use a separate connection for every call."""

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, ClassVar, TypeVar

from aetherflow.core.api import ConnectorConfig, ConnectorOptions, Row
from aetherflow_builtins_db.connectors.common.base import SqlBase
from aetherflow_builtins_db.connectors.common.progress import Progress
from aetherflow_builtins_db.connectors.common.transaction import PooledTransaction
from aetherflow_builtins_db.contract import Params
from aetherflow_builtins_db.failures import LOST, Failure
from aetherflow_builtins_db.rules import step_name
from aetherflow_builtins_db.statements import changes_rows, keeps_session

ConfigT = TypeVar("ConfigT", bound=ConnectorConfig)
OptionsT = TypeVar("OptionsT", bound=ConnectorOptions)

VALUE_ERRORS = (TypeError, ValueError, AttributeError, OverflowError)
"""Errors that drivers raise for a value that they cannot send."""
DOUBT_ADVICE = "nobody can tell whether the server has committed: look, before you repeat what must not happen twice"
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.2, 5.0
"""Pauses between attempts to connect; they double up to the longest."""


class PooledBase(SqlBase[ConfigT, OptionsT]):
    """Runs scripts and transactions. Subclasses open connections and run single statements (`contract.Statements`)."""

    MAPPED_ERRORS: ClassVar[tuple[type[BaseException], ...]] = (*VALUE_ERRORS, OSError)

    @abstractmethod
    def working(self, *, together: bool, keep: bool, progress: Progress | None = None) -> AbstractContextManager[Any]:
        """Lend a connection for the block; commit at its end, roll back if it raises.

        :param together: whether the statements form one transaction; otherwise each may commit by itself
        :param keep: whether the block leaves the session unchanged; if not, the connection is closed afterwards
        """

    @property
    @abstractmethod
    def address(self) -> str:
        """The address of the database in messages, without the password."""

    def where(self, failure: Failure) -> str:
        """A suffix for the message: the address, if the connection was lost."""
        return f" ({self.address})" if failure in LOST else ""

    @abstractmethod
    def markers(self, sql: str) -> tuple[Any, list[str]]:
        """The SQL with the driver's parameter markers, for `run`, and the names of its parameters."""

    @abstractmethod
    def run(self, connection: Any, sql: Any, values: Mapping[str, Any]) -> int | None:
        """Run a statement and consume its result; return the driver's row count."""

    @abstractmethod
    def run_many(self, connection: Any, sql: Any, rows: Iterable[Mapping[str, Any]]) -> int:
        """Run a statement for every map of values; return the number of changed rows."""

    @abstractmethod
    def fetch(self, connection: Any, sql: Any, values: Mapping[str, Any]) -> tuple[list[str], list[Row]]:
        """Run a query; return the column names and all rows."""

    def restart_transaction(self, connection: Any, sql: str) -> None:
        """Start a new transaction if this statement implicitly committed the one it ran in."""

    @contextmanager
    def committing(self, progress: Progress | None) -> Iterator[None]:
        """Convert errors of a commit. If the connection is lost, the advice says that the outcome is unknown."""
        try:
            yield
        except (*self.driver_errors(), *self.MAPPED_ERRORS) as error:
            found = self.failed("commit", error, str(progress or ""))
            if found.failure in LOST:
                found.fix = DOUBT_ADVICE
            raise found from error

    @contextmanager
    def running(
        self, sql: str, params: Params, *, together: bool, allow_implicit_commit: bool
    ) -> Iterator[list[int | None]]:
        """Run the statements of a script, several in one transaction."""
        statements = self.statements(sql)
        self.check_script(statements, allow_implicit_commit=allow_implicit_commit)
        self.check_writable()
        translated = [(statement, *self.markers(statement)) for statement in statements]
        values = self.bound(list(dict.fromkeys(name for *_, names in translated for name in names)), params)
        together = together or len(statements) > 1
        with self.working(
            together=together, keep=all(keeps_session(each, self.dialect.lexis) for each in statements)
        ) as connection:
            affected = []
            for number, (statement, text, names) in enumerate(translated, 1):
                with self.mapped(step_name(number, len(statements))):
                    count = self.run(connection, text, {name: values[name] for name in names})
                    if together:
                        self.restart_transaction(connection, statement)
                affected.append(count if changes_rows(statement, self.dialect.lexis) else None)
            yield affected

    @contextmanager
    def transaction(self) -> Iterator[PooledTransaction]:
        """Several operations on one connection: committed at the end of the block, rolled back if it raises."""
        self.check_writable()
        progress = Progress()
        with self.working(together=True, keep=False, progress=progress) as connection:
            yield self.transaction_on(connection, progress)

    def transaction_on(self, connection: Any, progress: Progress) -> PooledTransaction:
        """The object that `transaction` yields."""
        return PooledTransaction(self, connection, progress)
