"""A database as the steps use it: what is the same on all of them, on top of the published contract."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from itertools import chain
from typing import Any, TypeAlias

from aetherflow.core.api import (
    ConnectorError,
    Row,
    Rows,
    ScriptResult,
    ScriptRunner,
    SqlConnector,
    SqlDialect,
    SqlTransaction,
)
from aetherflow_builtins_db.params import translate
from aetherflow_builtins_db.rules import check_query, check_script, checked_values, step_name
from aetherflow_builtins_db.scripts import split_script
from aetherflow_builtins_db.statements import changes_rows

AnySqlConnector: TypeAlias = SqlConnector[Any, Any]
_POSITIONS = frozenset({"qmark", "format", "numeric"})


class Database:
    """A database. `:name` markers and their values go in, whatever markers the driver takes."""

    def __init__(self, connector: AnySqlConnector) -> None:
        self.connector = connector

    @property
    def dialect(self) -> SqlDialect:
        return self.connector.dialect

    def quote(self, *name: str) -> str:
        """Quote the parts of a name for SQL and join them with dots."""
        return self.dialect.quote(*name)

    def query(self, sql: str, params: Mapping[str, Any] | None = None) -> tuple[str, Any]:
        """A query and its values in the form that the connector takes; ConnectorError unless it only reads."""
        if self.dialect.paramstyle == "flow":
            return sql, params
        check_query(split_script(sql, self.dialect.lexis), self._refuse, self.dialect.lexis)
        statement = Statement(sql, self.dialect)
        return statement.text, statement.values(params, self._refuse)

    def stream(self, sql: str, params: Mapping[str, Any] | None = None, *, fetch_size: int = 5000) -> Rows:
        """Open a query whose result may be larger than memory."""
        return self.connector.stream(*self.query(sql, params), fetch_size=fetch_size)

    def read(self, sql: str, params: Mapping[str, Any] | None = None) -> tuple[list[str], list[Row]]:
        """Column names and all rows of a query."""
        with self.stream(sql, params) as rows:
            return [column.name for column in rows.columns], list(chain.from_iterable(rows.batches()))

    def transaction(self) -> AbstractContextManager[SqlTransaction]:
        """A transaction on a connection that no other call uses."""
        return self.connector.transaction() if self.dialect.paramstyle == "flow" else self._translating()

    @contextmanager
    def _translating(self) -> Iterator[SqlTransaction]:
        with self.connector.transaction() as opened:
            yield _Translating(opened, self.dialect, self._refuse)

    def statements(self, sql: str) -> list[str]:
        """The statements of a script, each with its original text."""
        if isinstance(self.connector, ScriptRunner):
            return self.connector.statements(sql)
        return split_script(sql, self.dialect.lexis)

    def check_script(self, statements: list[str], *, allow_implicit_commit: bool = True) -> None:
        """Raise ConnectorError for an empty script and for statements that would end the script's transaction."""
        check_script(statements, self.dialect, self._refuse, allow_implicit_commit=allow_implicit_commit)

    def script(
        self,
        sql: str,
        params: Mapping[str, Any] | None = None,
        *,
        before_commit: Callable[[ScriptResult], None] | None = None,
        allow_implicit_commit: bool = False,
    ) -> ScriptResult:
        """Run one or more statements in one transaction; if `before_commit` raises, nothing is committed."""
        if isinstance(self.connector, ScriptRunner):
            return self.connector.script(
                sql, params, before_commit=before_commit, allow_implicit_commit=allow_implicit_commit
            )
        listed = self.statements(sql)
        self.check_script(listed, allow_implicit_commit=allow_implicit_commit)
        names = [translate(each, str, lexis=self.dialect.lexis)[1] for each in listed]
        values = checked_values(list(dict.fromkeys(chain.from_iterable(names))), params, self._refuse)
        affected = []
        with self.transaction() as tx:
            for number, (statement, wanted) in enumerate(zip(listed, names, strict=True), 1):
                try:
                    affected.append(tx.execute(statement, {name: values[name] for name in wanted} or None))
                except ConnectorError as error:
                    error.message = f"{step_name(number, len(listed))} failed: {error.message}"
                    raise
            result = ScriptResult(tuple(affected))
            if before_commit is not None:
                before_commit(result)
        return result

    def _refuse(self, message: str, fix: str) -> ConnectorError:
        who = self.connector
        return ConnectorError(f"resource {who.name} ({who.kind}:{who.driver}): {message}", fix=fix)


class Statement:
    """A statement with the markers of a driver."""

    def __init__(self, sql: str, dialect: SqlDialect) -> None:
        self._style = dialect.paramstyle
        self._order: list[str] = []
        percent = self._style in {"format", "pyformat"}
        escape = (lambda text: text.replace("%", "%%")) if percent else None
        self.text, self.names = translate(sql, self._mark, lexis=dialect.lexis, escape=escape)

    def _mark(self, name: str) -> str:
        if self._style == "numeric" and name in self._order:
            return f":{self._order.index(name) + 1}"
        self._order.append(name)
        match self._style:
            case "qmark":
                return "?"
            case "format":
                return "%s"
            case "pyformat":
                return f"%({name})s"
            case "numeric":
                return f":{len(self._order)}"
        return f":{name}"

    def values(self, params: Mapping[str, Any] | None, refuse: Callable[[str, str], ConnectorError]) -> Any:
        """The values for the driver: a map, or a tuple in the order of the markers; None without markers."""
        return self.arranged(checked_values(self.names, params, refuse)) if self.names or params else None

    def arranged(self, values: Mapping[str, Any]) -> Any:
        """Values, already checked, in the driver's form."""
        return tuple([values[name] for name in self._order]) if self._style in _POSITIONS else dict(values)


class _Translating:
    """A transaction that takes `:name` markers."""

    def __init__(
        self, inner: SqlTransaction, dialect: SqlDialect, refuse: Callable[[str, str], ConnectorError]
    ) -> None:
        self._inner, self._dialect, self._refuse = inner, dialect, refuse

    def execute(self, sql: str, params: Mapping[str, Any] | None = None) -> int | None:
        statement = Statement(sql, self._dialect)
        count = self._inner.execute(statement.text, statement.values(params, self._refuse))
        return (
            count if changes_rows(sql, self._dialect.lexis) and count is not None and count >= 0 else None
        )  # -1: the driver cannot tell

    def executemany(self, sql: str, rows: Iterable[Mapping[str, Any]]) -> int:
        statement = Statement(sql, self._dialect)
        return self._inner.executemany(statement.text, map(statement.arranged, rows))

    def read(self, sql: str, params: Mapping[str, Any] | None = None) -> tuple[list[str], list[Row]]:
        statement = Statement(sql, self._dialect)
        return self._inner.read(statement.text, statement.values(params, self._refuse))
