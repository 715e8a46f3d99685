"""Shared by all transitions of one run: its key, the transaction that checks ownership, the journal."""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, NamedTuple

from aetherflow.core.base import durable
from aetherflow.core.base.errors import LostOwnershipError, StateError
from aetherflow.core.kernel.state.chain import append
from aetherflow.core.kernel.state.member import Member
from aetherflow.core.kernel.state.records import StepEffects, StepKey
from aetherflow.core.kernel.state.store import StateStore
from aetherflow.core.kernel.state.transitions import Status
from aetherflow.core.kernel.state.values import to_json


class Unit:
    """One run in a state file, for writing."""

    def __init__(self, store: StateStore, flow_id: str, run_id: str) -> None:
        self.store = store
        self.db = store.connection
        self.blobs = store.blobs(flow_id, run_id)
        self.flow_id = flow_id
        self.run_id = run_id
        self.key = {"flow_id": flow_id, "run_id": run_id}
        """The key columns of the run."""
        self.generation = 0
        self.known_outermost: Member | None = None
        """What `outermost` has read of the run's row."""
        self.parts: tuple[RunPart, ...] = ()
        """Recorded with the run, in this order."""
        self.tail: str | None = None
        """The chain of the journal's last entry; None: to be read. Nobody else writes one while the run goes on."""

    @property
    def member(self) -> Member:
        """The run, as others may name it."""
        return Member.of(self.store.path, self.flow_id, self.run_id)

    @property
    def outermost(self) -> Member:
        """The run in which this one ends well: itself, or the outermost of those around it."""
        if self.known_outermost is None:
            query = "SELECT outermost FROM runs WHERE flow_id=? AND run_id=?"
            row = self.db.execute(query, (self.flow_id, self.run_id)).fetchone()
            self.known_outermost = Member.read(row[0]) if row is not None and row[0] else self.member
        return self.known_outermost

    @contextmanager
    def transaction(self, name: str, *, check: bool = True) -> Iterator[None]:
        """A transaction. Raises LostOwnershipError if another process has taken over the run, StateError on errors."""
        try:
            self._check_parts()
            with durable.transaction(self.db, name):
                if check:
                    self._require_ownership()
                yield
        except BaseException as error:
            self.tail = None
            if not isinstance(error, sqlite3.Error | OSError):
                raise
            what = "the disk" if self.store.server is None else "whether the server can be reached"
            raise StateError(f"state file {self.store.path}: {error}", fix=f"check {what}, then run again") from error

    @contextmanager
    def recording(self, name: str, event: "RunEvent") -> Iterator[None]:
        """A transaction that writes an event down, within all that the parts of the run need around it."""
        self._check_parts()
        needed = [around for part in self.parts if (around := part.around(self, event)) is not None]
        with ExitStack() as stack:
            for around in needed:
                stack.enter_context(around)
            with self.transaction(name):
                yield

    def apply(self, event: "RunEvent") -> None:
        """Within the transaction of an event: let the parts of the run write their rows."""
        for part in self.parts:
            part.apply(self, event)

    def now_ms(self) -> int:
        """The clock of the database, in UTC epoch milliseconds."""
        return self.db.now_ms()

    def remove_unfinished_blobs(self) -> None:
        """Delete leftovers of unfinished writes of a dead process among the large outputs."""
        try:
            self.blobs.remove_unfinished()
        except OSError as error:
            raise StateError(f"{self.store.path}: {error}", fix="check the disk, then run again") from error

    def journal(self, event: str, **detail: Any) -> None:
        """Write down a transition, in the transaction that makes it."""
        entry = (self.now_ms(), event, to_json(detail))
        self.tail = append(self.db, self.flow_id, self.run_id, *entry, tail=self.tail)

    def journal_of(self, run_id: str, event: str, detail: Mapping[str, Any]) -> None:
        """The same, for another run of the flow that the transition concerns, and that is held."""
        append(self.db, self.flow_id, run_id, self.now_ms(), event, to_json(detail))

    def _check_parts(self) -> None:
        for part in self.parts:
            part.check()

    def _require_ownership(self) -> None:
        query = f"SELECT generation FROM runs WHERE flow_id=? AND run_id=?{self.db.row_lock}"  # noqa: S608 ours
        found = self.db.execute(query, (self.flow_id, self.run_id)).fetchone()
        if found is None or found[0] != self.generation:
            raise LostOwnershipError(f"run {self.run_id} was taken over by another process")


class RunBegan(NamedTuple):
    """A run begins, or goes on in another process."""

    actor: str
    resumed: bool


class StepEnded(NamedTuple):
    """An attempt has ended well, and its effects are recorded with it."""

    key: StepKey
    effects: StepEffects


class StepDiscarded(NamedTuple):
    """The result of a step counts no more: the step runs again."""

    key: StepKey


class RunEnded(NamedTuple):
    """A run has ended, as its row says from this transaction on."""

    status: Status
    whole: bool
    """Well, with all of its jobs, and no run around it goes on."""


RunEvent = RunBegan | StepEnded | StepDiscarded | RunEnded


class RunPart:
    """A part of a run that is recorded with its events, in their transactions; the run needs none."""

    def check(self) -> None:
        """Called before each transaction. Raises LostOwnershipError once another process may own the run."""

    def around(self, _unit: Unit, _event: RunEvent) -> AbstractContextManager[None] | None:
        """Entered before the transaction of the end of a step or of the run, left after it; None if not needed."""
        return None

    def apply(self, unit: Unit, event: RunEvent) -> None:
        """Write the part's rows, within the transaction; the first ones of a step's end, which they may refuse."""
        raise NotImplementedError
