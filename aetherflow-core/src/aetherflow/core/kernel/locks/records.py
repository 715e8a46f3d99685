"""Records of the lock store: owners, holders, waiters, and reasons of a loss."""

from dataclasses import dataclass
from typing import Self

from aetherflow.core.base.said import ReasonCode
from aetherflow.core.base.times import iso


class LostReason(ReasonCode):
    """Why a lease was lost."""

    BROKEN = "broken", "it was released by {actor}: {why}"
    HELD = "held", "it is {holder}"
    TAKEN = "taken", "it expired and was taken by another run"
    EXPIRED = "expired", "it expired"
    GONE = "gone", "{error}"
    NOT_RENEWED = "not_renewed", "it could not be renewed before it expired ({error})"


@dataclass(frozen=True, slots=True)
class Owner:
    """One execution of a run: a resumed run has a higher generation, and so is another owner."""

    flow_id: str
    run_id: str
    generation: int = 1

    def __str__(self) -> str:
        return f"{self.flow_id}/{self.run_id}/{self.generation}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """The owner that `str()` made this text from."""
        flow_id, run_id, generation = text.rsplit("/", 2)
        return cls(flow_id, run_id, int(generation))


@dataclass(frozen=True, slots=True)
class Holder:
    """A lock that is held. Times are UTC epoch milliseconds, only for display."""

    key: str
    owner: Owner
    token: int
    acquired_at: int
    renewed_at: int
    expires_at: int
    host: str
    pid: int
    alive: bool
    """False once its process is known to have ended or the lease has expired: the next request gets the lock."""

    def __str__(self) -> str:
        who = f"run {self.owner.run_id} of flow {self.owner.flow_id}, pid {self.pid} on {self.host}"
        return f"held by {who} since {iso(self.acquired_at)}"


@dataclass(frozen=True, slots=True)
class Waiter:
    """A run that waits in the queue of a lock; the lowest ticket is served first."""

    key: str
    ticket: int
    owner: Owner
    since: int
    """When it began to wait, in UTC epoch milliseconds."""
    host: str
    pid: int
    alive: bool
    """False if its process has ended or is stopped: it is passed over."""

    def __str__(self) -> str:
        who = f"run {self.owner.run_id} of flow {self.owner.flow_id}, pid {self.pid} on {self.host}"
        return f"{who} waits for it since {iso(self.since)}"
