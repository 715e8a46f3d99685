"""One statement of the engine over one connection of psycopg, and what it has found."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from aetherflow_builtins_db.stores.dialect import postgres
from aetherflow_builtins_db.stores.values import Values

if TYPE_CHECKING:
    import psycopg

_AT_ONCE = 100


class Found(NamedTuple):
    """What a statement has changed or found."""

    rowcount: int
    rows: list[tuple[Any, ...]]


class FoundRows:
    """The rows of an answer, one after the other."""

    def __init__(self, found: Found) -> None:
        self.rowcount = found.rowcount
        self._rows = iter(found.rows)

    def fetchone(self) -> Any:
        """The next row; None at the end."""
        return next(self._rows, None)

    def fetchall(self) -> list[Any]:
        """All rows that are left."""
        return list(self._rows)

    def __iter__(self) -> Iterator[Any]:
        return self._rows


class Act(NamedTuple):
    """A statement of a transaction; `kind` is one, many or attempt."""

    kind: str
    statement: str
    values: Any


def send(raw: "psycopg.Connection[Any]", act: Act, begin: str | None) -> Found:
    """Execute a statement, after `begin` if that is given. Raises psycopg's errors."""
    import psycopg

    statement = postgres(act.statement)
    if act.kind == "one":
        return last(raw.execute(f"{begin}; {statement}" if begin else statement, act.values))
    if begin:
        raw.execute(begin)
    if act.kind == "many":
        return Found(sum(_many(raw, statement, act.values)), [])
    raw.execute("SAVEPOINT attempt")
    try:
        raw.execute(statement, act.values)
    except psycopg.errors.UniqueViolation:
        raw.execute("ROLLBACK TO SAVEPOINT attempt")
        return Found(0, [])
    raw.execute("RELEASE SAVEPOINT attempt")
    return Found(1, [])


def _many(raw: "psycopg.Connection[Any]", statement: str, values: list[Values]) -> Iterator[int]:
    """How many rows the statement has changed with each of the values, several of which go in one message."""
    import psycopg

    with psycopg.ClientCursor(raw) as cursor:
        for part in (values[at : at + _AT_ONCE] for at in range(0, len(values), _AT_ONCE)):
            cursor.execute("; ".join(cursor.mogrify(statement, each) for each in part))
            yield max(cursor.rowcount, 0)
            while cursor.nextset():
                yield max(cursor.rowcount, 0)


def last(cursor: "psycopg.Cursor[Any]") -> Found:
    """What the last of the statements has found."""
    while cursor.nextset():
        pass
    return Found(max(cursor.rowcount, 0), cursor.fetchall() if cursor.description else [])
