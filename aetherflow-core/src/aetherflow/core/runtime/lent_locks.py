"""The locks of a run, as a run inside it sees them that has a process of its own."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from aetherflow.core.base.redact import Redactor
from aetherflow.core.kernel.locks.lease import Hold, Lease, OnLost
from aetherflow.core.kernel.locks.records import Owner
from aetherflow.core.kernel.locks.run_locks import RunLocks
from aetherflow.core.runtime.logs.events import Events


class LentLock(NamedTuple):
    """A lock that a run around holds, and renews."""

    store: Path
    key: str
    token: int
    owner: Owner


def lend(locks: RunLocks) -> tuple[LentLock, ...]:
    """What a run holds now, for a process of its own."""
    return tuple(LentLock(store, lease.key, lease.token, lease.owner) for store, lease in locks.lent())


def borrow(lent: Sequence[LentLock]) -> "RunLocks | None":
    """The locks of the run around, for a run inside that was lent them; None if there are none."""
    around: RunLocks | None = None
    for store in dict.fromkeys(each.store for each in lent):
        around = _LentLocks(store, {each.key: each for each in lent if each.store == store}, around)
    return around


class _LentLocks(RunLocks):
    """The locks of one store. They are neither taken, renewed nor released here; whether they are lost is looked up."""

    def __init__(self, store: Path, lent: Mapping[str, LentLock], around: RunLocks | None) -> None:
        owner = next(iter(lent.values())).owner
        super().__init__(store, (owner.flow_id, owner.run_id, owner.generation), Events(Redactor()), around)
        self._lent = lent

    def holds(self, key: str) -> bool:
        return key in self._lent

    def lease(self, key: str, *, on_lost: OnLost | None = None, **_: object) -> Lease:
        found = self._lent[key]
        hold = Hold(key, found.owner, found.token, ttl_ms=0, expires_mono=0, renew_mono=0)
        return Lease(hold, self._is_lost, _give_back, on_lost)

    def lent(self) -> list[tuple[Path, Lease]]:
        return [*((self._path, self.lease(key)) for key in self._lent), *super().lent()]

    def _is_lost(self, hold: Hold) -> bool:
        holders = self._opened().holders()
        return not any(each.key == hold.key and each.token == hold.token and each.alive for each in holders)


def _give_back(lease: Lease) -> bool:
    lease.hold.leases.remove(lease)
    return True
