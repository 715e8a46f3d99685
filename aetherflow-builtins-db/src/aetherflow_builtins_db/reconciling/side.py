"""One side of a comparison: a table or a query of a database, its columns, and its rows in the order of their keys."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from aetherflow.core.api import Column, Row
from aetherflow_builtins_db.columns import refuse_duplicates
from aetherflow_builtins_db.database import Database
from aetherflow_builtins_db.statements import without_end

Key = tuple[Any, ...]
_MYSQL = frozenset({"mysql", "mariadb"})


class KeyRange(NamedTuple):
    """Rows with keys above `after`, and not above `upto`; None has no border."""

    after: Key | None = None
    upto: Key | None = None


@dataclass
class Side:
    """What is compared, by names of its own columns."""

    database: Database
    resource: str
    relation: str
    """A table, or a query in brackets."""
    params: Mapping[str, Any]
    fetch_size: int
    names: tuple[str, ...] = ()
    """The columns that are compared, in the order of the pairs."""
    keys: tuple[int, ...] = ()
    """Places of the keys among them."""
    texts: frozenset[int] = frozenset()
    """Places of those that are text."""
    window: str | None = None
    """A condition that all rows meet."""
    window_params: Mapping[str, Any] = field(default_factory=dict)

    @staticmethod
    def of_query(sql: str) -> str:
        """The relation of a query."""
        return f"({without_end(sql)}\n)"

    def columns(self) -> list[Column]:
        """All columns, in their order."""
        with self.database.stream(self._select("*", " WHERE 1 = 0"), self.params) as rows:
            refuse_duplicates(rows.columns)
            return list(rows.columns)

    def read(self, selected: str, within: KeyRange | None = None, rest: str = "", **more: Any) -> list[Row]:
        """All rows of a query of this side with few rows."""
        sql, params = self._query(selected, within or KeyRange(), rest, more)
        return self.database.read(sql, params)[1]

    @contextmanager
    def rows(self, within: KeyRange) -> Iterator[Iterator[list[Row]]]:
        """The compared columns of all rows of the range, in batches, in the order of the keys."""
        order = ", ".join(self.ordered(index) for index in self.keys)
        sql, params = self._query(self.listed(range(len(self.names))), within, f"ORDER BY {order}", {})
        with self.database.stream(sql, params, fetch_size=self.fetch_size) as rows:
            yield rows.batches()

    def _query(self, selected: str, within: KeyRange, rest: str, more: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        condition, values = self.condition(within)
        params = {**self.params, **self.window_params, **values, **more}
        return self._select(selected, f"{condition} {rest}".rstrip()), params

    def _select(self, selected: str, rest: str) -> str:
        return f"SELECT {selected} FROM {self.relation} q{rest}"  # noqa: S608 - quoted names, and the query of the user

    def condition(self, within: KeyRange) -> tuple[str, dict[str, Any]]:
        """The WHERE clause for the rows of a range, and its values."""
        parts = [f"({self.window})"] if self.window else []
        params: dict[str, Any] = {}
        if within.after is not None:
            sql, values = self.beyond(within.after, "aetherflow_a")
            parts.append(sql)
            params |= values
        if within.upto is not None:
            sql, values = self.beyond(within.upto, "aetherflow_u")
            parts.append(f"NOT {sql}")
            params |= values
        return f" WHERE {' AND '.join(parts)}" if parts else "", params

    def beyond(self, key: Key, prefix: str) -> tuple[str, dict[str, Any]]:
        """The condition for keys above this one, column by column, and its values."""
        params = {f"{prefix}{number}": value for number, value in enumerate(key)}
        exprs = [self.ordered(index) for index in self.keys]
        sql = ""
        for expr, name in reversed(list(zip(exprs, params, strict=True))):
            sql = f"{expr} > :{name}" + (f" OR ({expr} = :{name} AND ({sql}))" if sql else "")
        return f"({sql})", params

    def listed(self, indexes: Sequence[int]) -> str:
        """The columns at these places, separated by commas."""
        return ", ".join(self.quoted(index) for index in indexes)

    def quoted(self, index: int) -> str:
        """The column at this place."""
        return f"q.{self.database.quote(self.names[index])}"

    def ordered(self, index: int) -> str:
        """The column as both sides order it: text by its characters, whatever the collation of the column is."""
        name = self.quoted(index)
        if index not in self.texts:
            return name
        match self.database.dialect.name:
            case "postgresql":
                return f'CAST({name} AS text) COLLATE "C"'
            case "sqlite":
                return f"{name} COLLATE BINARY"
            case "oracle":
                return f"NLSSORT({name}, 'NLS_SORT=BINARY')"
            case dialect if dialect in _MYSQL:
                return f"CAST(CONVERT({name} USING utf8mb4) AS BINARY)"
        return name
