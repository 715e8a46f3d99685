"""A lock that is held, as its holder sees it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from aetherflow.core.base.errors import LeaseLostError
from aetherflow.core.base.said import Reason, said
from aetherflow.core.kernel.locks.records import LostReason, Owner

OnLost = Callable[["Lease"], None]


@dataclass(slots=True, eq=False)
class Hold:
    """One key held by one owner, with the leases that share it: a lock is re-entrant for its owner."""

    key: str
    owner: Owner
    token: int
    ttl_ms: int
    expires_mono: int
    """End of the lease as last known to this process; others may take the key from then on."""
    renew_mono: int
    """Time of the next renewal."""
    leases: list["Lease"] = field(default_factory=list)
    lost: Reason | None = None
    """Why the key was lost; None while it is held."""


class Lease:
    """A key held under a fencing token until `release()`; renewed in the background as long as the process runs.

    Pass `token` to the resource that the lock protects, and let the resource refuse a token lower than the highest it
    has seen: a holder that was paused beyond its time to live cannot know that another one has taken the key.
    """

    def __init__(
        self,
        hold: Hold,
        is_lost: Callable[[Hold], bool],
        release: Callable[["Lease"], bool],
        on_lost: OnLost | None,
    ) -> None:
        self.hold = hold
        """For the store: what this lease shares with others of the same owner."""
        self._is_lost = is_lost
        self._release = release
        self._released = False
        self.on_lost = on_lost
        hold.leases.append(self)

    @property
    def key(self) -> str:
        """The name of the lock."""
        return self.hold.key

    @property
    def owner(self) -> Owner:
        """The run, and its generation, that holds the key."""
        return self.hold.owner

    @property
    def token(self) -> int:
        """The fencing token: greater for every acquisition of the key."""
        return self.hold.token

    @property
    def lost(self) -> bool:
        """True once the lock is lost; asks the lock store if the time to live has passed without a renewal."""
        return self._is_lost(self.hold)

    @property
    def why_lost(self) -> Reason:
        """Why the lock was lost."""
        return self.hold.lost or said(LostReason.EXPIRED)

    def check(self) -> None:
        """Raise LeaseLostError if the lock was lost."""
        if self.lost:
            raise self.error()

    def error(self) -> LeaseLostError:
        """The error for a lock that was lost."""
        return LeaseLostError(
            f"the lock {self.key} was lost (token {self.token}): {self.why_lost}",
            fix="what the step wrote without the token may be mixed with another run's; check it, then run again",
        )

    def release(self) -> bool:
        """Give the lock back, once; False if it had been lost, which is no error."""
        if self._released:
            return True
        self._released = True
        return self._release(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
