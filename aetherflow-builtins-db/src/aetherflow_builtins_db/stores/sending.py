"""Statements of the engine over one connection of psycopg, many in one message, and what each has found."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from aetherflow_builtins_db.stores.dialect import postgres

if TYPE_CHECKING:
    import psycopg

AT_ONCE = 100
"""So many statements go in one message."""


class Found(NamedTuple):
    """What a statement has changed or found."""

    rowcount: int
    rows: list[tuple[Any, ...]]


class FoundRows:
    """The rows of an answer, one after the other; who asks for them, or for their number, waits for the answer."""

    def __init__(self, found: Callable[[], Found]) -> None:
        self._found = found
        self._left: Iterator[tuple[Any, ...]] | None = None

    @property
    def rowcount(self) -> int:
        """How many rows the statement has changed."""
        return self._found().rowcount

    def fetchone(self) -> Any:
        """The next row; None at the end."""
        return next(iter(self), None)

    def fetchall(self) -> list[Any]:
        """All rows that are left."""
        return list(self)

    def __iter__(self) -> Iterator[Any]:
        if self._left is None:
            self._left = iter(self._found().rows)
        return self._left


class Act(NamedTuple):
    """A statement of a transaction; `kind` is one, many or attempt."""

    kind: str
    statement: str
    values: Any

    @property
    def can_wait(self) -> bool:
        """Whether it only changes rows, so that it can go in one message with what comes after it."""
        changes = self.statement.startswith(("INSERT ", "UPDATE ", "DELETE "))
        return self.kind != "attempt" and changes and " RETURNING " not in self.statement


def send(raw: "psycopg.Connection[Any]", acts: Sequence[Act], begin: str | None) -> list[Found]:
    """Execute statements, after `begin` if that is given; what each has found. Raises psycopg's errors.

    An `attempt` that a unique index refuses is undone; any other error undoes all.
    """
    import psycopg

    counts, rows = [0] * len(acts), [list[tuple[Any, ...]]() for _ in acts]
    message: list[tuple[int | None, str]] = [(None, begin)] if begin else []

    def go() -> None:
        if message:
            sent = message.copy()
            message.clear()
            cursor = raw.execute("; ".join(text for _, text in sent))
            for place, _ in sent:
                if place is not None:
                    counts[place] += max(cursor.rowcount, 0)
                    rows[place] = cursor.fetchall() if cursor.description else []
                cursor.nextset()

    with psycopg.ClientCursor(raw) as texts:
        for place, act in enumerate(acts):
            statement = postgres(act.statement)
            if act.kind == "attempt":
                message.append((None, "SAVEPOINT attempt"))
                go()
                message += (place, texts.mogrify(statement, act.values)), (None, "RELEASE SAVEPOINT attempt")
                try:
                    go()
                except psycopg.errors.UniqueViolation:
                    raw.execute("ROLLBACK TO SAVEPOINT attempt")
                continue
            for values in act.values if act.kind == "many" else (act.values,):
                message.append((place, texts.mogrify(statement, values)))
                if len(message) >= AT_ONCE:
                    go()
        go()
    return [Found(*each) for each in zip(counts, rows, strict=True)]


def last(cursor: "psycopg.Cursor[Any]") -> list[tuple[Any, ...]]:
    """The rows of the last of some statements."""
    while cursor.nextset():
        pass
    return cursor.fetchall()
