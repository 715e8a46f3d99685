"""Statements of the engine over one connection to a server, many in one message, and what each has found."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar, NamedTuple

from aetherflow_builtins_db.failures import Failure, one_line
from aetherflow_builtins_db.stores.values import Values

AT_ONCE = 100
"""So many statements go in one message."""
_AT_ONCE_CHARS = 1_000_000
"""No further statement goes in a message that has so many characters: servers limit its size."""


def message_of(error: Exception) -> str:
    """What a driver's error says, on one line: PyMySQL puts a number before it."""
    return one_line(str(error.args[-1] if error.args else error))


class Found(NamedTuple):
    """What a statement has changed or found."""

    rowcount: int
    rows: list[tuple[Any, ...]]


class OfOthers(NamedTuple):
    """Something in the schema of a store by which another user of the server could run code in its sessions."""

    what: str
    fix: str


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


class Line(ABC):
    """One connection of a driver to the schema of a store: what one kind of server does differently from another."""

    clock: ClassVar[str]
    """The expression for the server's clock, in UTC epoch milliseconds."""
    begin_reading: ClassVar[str]
    """Begins a transaction that is one view of the store, and changes nothing."""
    mark: ClassVar[Sequence[str]]
    """Statements that write the number of a commit into the session's row, and end with one that asks for the clock.

    The first takes number, session and link; they fail as `taken_over` says if the session has another connection.
    """
    size: ClassVar[str]
    """The query for the bytes of a schema, whose name it takes."""
    schemas: ClassVar[str]
    """The query for the names of all schemas."""
    before_looks: ClassVar[str] = ""
    """Lets statements find functions of the server only, if other users could give the session some of theirs."""
    relax: ClassVar[str] = ""
    """Lets commits of a connection not wait for the server's disk, if the server has that."""
    commits_definitions: ClassVar[bool] = False
    """Whether CREATE and ALTER commit by themselves, so that a schema may have been left half made."""

    def __init__(self, raw: Any, schema: str) -> None:
        self.raw, self.schema = raw, schema

    @staticmethod
    @abstractmethod
    def errors() -> tuple[type[Exception], ...]:
        """The errors of the driver."""

    @staticmethod
    @abstractmethod
    def failure_of(error: Exception) -> Failure:
        """What such an error says."""

    @staticmethod
    @abstractmethod
    def taken_over(error: Exception) -> bool:
        """Whether it says that the session has another connection by now."""

    @staticmethod
    @abstractmethod
    def is_undone(error: Exception) -> bool:
        """Whether it says that the server has undone the transaction of a process that was stopped too long.

        So others need not wait for it.
        """

    @staticmethod
    @abstractmethod
    def no_schema(error: Exception) -> bool:
        """Whether it says that there is no such schema, or nothing in it."""

    @staticmethod
    @abstractmethod
    def is_double(error: Exception) -> bool:
        """Whether a unique index has refused a row."""

    @abstractmethod
    def text(self, statement: str, values: Values) -> str:
        """A statement of the engine with its values, as this server takes it."""

    @abstractmethod
    def ask(self, *texts: str) -> list[Found]:
        """Send statements in one message; what each has found."""

    @abstractmethod
    def entering(self, *, reading: bool) -> tuple[str, ...]:
        """The statements that set the session up; they fail if there is no schema."""

    @abstractmethod
    def make(self) -> None:
        """Make the schema, with the tables `sessions` and `schema_version`; nothing if it is there."""

    @abstractmethod
    def of_others(self) -> list[OfOthers]:
        """What other users have in the schema, in one message; an error of the driver if there is no schema."""

    @abstractmethod
    def limit(self, seconds: float) -> str:
        """The statement that limits how long the server waits for others; how long it is waited for is limited here."""

    @staticmethod
    @abstractmethod
    def turn(name: str) -> Act:
        """The statement that waits until no other transaction has this turn, and takes it to its end."""

    @property
    @abstractmethod
    def closed(self) -> bool:
        """Whether the connection is known to be lost."""

    def close(self) -> None:
        self.raw.close()

    def send(self, acts: Sequence[Act], begin: str | None) -> list[Found]:
        """Execute statements, after `begin` if that is given; what each has found. Raises the driver's errors.

        An `attempt` that a unique index refuses is undone; any other error undoes all.
        """
        counts, rows = [0] * len(acts), [list[tuple[Any, ...]]() for _ in acts]
        message: list[tuple[int | None, str]] = [(None, begin)] if begin else []
        size = 0

        def go() -> None:
            nonlocal size
            sent, size = message.copy(), 0
            message.clear()
            if sent:
                for (place, _), found in zip(sent, self.ask(*(text for _, text in sent)), strict=True):
                    if place is not None:
                        counts[place] += found.rowcount
                        rows[place] = found.rows

        for place, act in enumerate(acts):
            if act.kind == "attempt":
                message.append((None, "SAVEPOINT attempt"))
                go()
                message += (place, self.text(act.statement, act.values)), (None, "RELEASE SAVEPOINT attempt")
                try:
                    go()
                except self.errors() as error:
                    if not self.is_double(error):
                        raise
                    self.ask("ROLLBACK TO SAVEPOINT attempt")
                continue
            for values in act.values if act.kind == "many" else (act.values,):
                text = self.text(act.statement, values)
                message.append((place, text))
                size += len(text)
                if len(message) >= AT_ONCE or size >= _AT_ONCE_CHARS:
                    go()
        go()
        return [Found(*each) for each in zip(counts, rows, strict=True)]
