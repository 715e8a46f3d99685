"""Records for the rows of the ledger. All times are UTC epoch milliseconds."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, NamedTuple, Self

from aetherflow.core.embedding import durable
from aetherflow.scheduler.reasons import Reason, SlotReason, read_reason, said
from aetherflow.scheduler.schedule.policy import ACTIVE, Status


class SlotRow(NamedTuple):
    """One slot of one item, with its status."""

    item: str
    slot: int
    status: Status
    reason: str | None
    reason_code: str | None
    run_id: str
    batch: int
    """1 for the slot's first run; a backfill that starts a new run adds 1."""
    attempts: int
    """Number of starts of the slot, over all batches."""
    failures: int
    """Failed starts of the present run, which `retry` limits."""
    trigger: str
    host: str
    owner: str | None
    """Name of the process that runs or has reserved the slot; None if no process has."""
    claimed_at: int
    started_at: int | None
    finished_at: int | None
    exit_code: int | None
    waits_since: int | None
    not_before: int | None
    queued: bool
    late: bool
    overdue: bool
    pool: str | None
    params: dict[str, Any]
    pid: int | None
    birth: str | None
    log: str | None
    told_by: str | None
    """`exit_code` where the state of its run could not be asked."""
    flow_id: str | None
    state_path: str | None
    """Where its run is recorded, as far as the run has reported it."""

    @property
    def given(self) -> dict[str, str]:
        """Its parameters as `--param` gives them."""
        return {name: as_text(value) for name, value in self.params.items()}

    @property
    def why(self) -> Reason | None:
        """The reason with its code; None without a reason."""
        return read_reason(self.reason_code, self.reason)

    @property
    def shown(self) -> str:
        """Its status for people, with the reason."""
        told = ", by exit code" if self.told_by else ""
        return f"{self.status}{told}" + (f", {self.reason}" if self.reason else "")

    @property
    def active(self) -> bool:
        """True while the slot waits or runs."""
        return self.status in ACTIVE

    @property
    def begun(self) -> bool:
        """True once the present run was started."""
        return self.started_at is not None

    def from_the_future(self, now: int) -> bool:
        """Whether it was recorded as MISSED at a time after `now`, by a clock that was ahead.

        Then it is decided again.
        """
        return self.status == Status.MISSED and self.attempts == 0 and self.claimed_at > now

    @classmethod
    def read(cls, row: tuple[Any, ...]) -> Self:
        """Make a record from a row of `COLUMNS`. Raises ValueError for an unknown status."""
        values = list(row)
        for place, read in _READ:
            values[place] = read(values[place])
        return cls._make(values)

    def as_json(self) -> dict[str, Any]:
        """The slot as a JSON object; instants are ISO 8601 text."""
        from aetherflow.scheduler.time.clock import from_ms

        shown: dict[str, Any] = {name: getattr(self, name) for name in NAMES if name not in _PRIVATE}
        for name in ("slot", "claimed_at", "started_at", "finished_at", "not_before"):
            if shown[name] is not None:
                shown[name] = from_ms(shown[name]).isoformat().replace("+00:00", "Z")
        return shown


def as_text(value: Any) -> str:
    """The text of a parameter's value for `--param`: text unchanged, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _params(text: str) -> dict[str, Any]:
    if text == "{}":  # as most have it; many rows are read again and again
        return {}
    try:
        found = json.loads(text)
    except ValueError as error:
        raise ValueError(f"params are no JSON: {error}") from error
    if not isinstance(found, dict):
        raise ValueError(f"params are no JSON object: {text[:100]}")
    return found


NAMES = SlotRow._fields
COLUMNS = ", ".join(NAMES)
_READERS: dict[str, Callable[[Any], Any]]
_READERS = {"status": Status, "queued": bool, "late": bool, "overdue": bool, "params": _params}
_READ = tuple((NAMES.index(name), read) for name, read in _READERS.items())
"""The columns whose values are not taken as they are: place and what reads them."""
_PRIVATE = frozenset({"owner", "birth", "waits_since", "queued"})


@dataclass(frozen=True, slots=True)
class Epoch:
    """A span during which an item has one definition; its slots in [since, until) are expected."""

    item: str
    definition: dict[str, Any]
    since: int
    until: int | None


@dataclass(frozen=True, slots=True)
class Pause:
    """A span during which nothing of an item starts."""

    item: str
    since: int
    until: int | None
    reason: str
    actor: str

    def covers(self, instant: int) -> bool:
        """Whether the pause includes an instant."""
        return self.since <= instant and (self.until is None or instant < self.until)

    @property
    def why(self) -> Reason:
        """The reason for slots that the pause delays or skips."""
        return said(SlotReason.PAUSED, why=f": {self.reason}" if self.reason else "")


@dataclass(frozen=True, slots=True)
class Owner:
    """A process that can own slots."""

    name: str
    kind: str
    host: str
    pid: int
    since: int

    def __str__(self) -> str:
        return f"{self.kind}, pid {self.pid} on {self.host}"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One start of a slot's run."""

    item: str
    slot: int
    run_id: str
    attempt: int
    status: str
    reason: str | None
    reason_code: str | None
    trigger: str
    host: str
    pid: int | None
    started_at: int
    finished_at: int | None
    exit_code: int | None
    log: str | None


ATTEMPT_COLUMNS = ", ".join(field.name for field in fields(Attempt))


LATEST = (1 << 62) - 1
"""Later than every instant."""


def insert(db: durable.Database, table: str, *rows: Mapping[str, Any]) -> None:
    """Insert rows of the same columns. `table` and the names must be constants, as they are part of the statement."""
    if rows:
        marks = ", ".join("?" * len(rows[0]))
        query = f"INSERT INTO {table} ({', '.join(rows[0])}) VALUES ({marks})"  # noqa: S608 names are ours
        db.executemany(query, [tuple(row.values()) for row in rows])


def note_fact(db: durable.Database, name: str, value: str) -> None:
    """Write a fact about the ledger in place of the one before."""
    query = "INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value=excluded.value"
    db.execute(query, (name, value))
