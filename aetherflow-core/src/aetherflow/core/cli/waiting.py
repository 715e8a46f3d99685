"""Which runs wait for a lock, as the lock store has it."""

from pathlib import Path
from typing import Any, NamedTuple

from aetherflow.core.base import durable
from aetherflow.core.base.times import iso
from aetherflow.core.cli.lookup import lock_store_here

RunName = tuple[str, str]
"""Flow id and run id."""


class Waits(NamedTuple):
    """The queue in which a run stands."""

    lock: str
    since: int
    """When it joined the queue: UTC epoch milliseconds."""
    holder: str | None
    """`FLOW/RUN` of the run that holds the lock; None if nobody does any more."""

    def __str__(self) -> str:
        held = f", held by {self.holder}" if self.holder else ""
        return f"waits for lock {self.lock}{held}, since {iso(self.since)}"


def waits_json(waits: Waits | None) -> dict[str, Any]:
    """The same as keys of a JSON object, each None where a run waits for nothing."""
    if waits is None:
        return {"waits_for": None, "waits_since": None, "lock_holder": None}
    return {"waits_for": waits.lock, "waits_since": waits.since, "lock_holder": waits.holder}


def waiting_here(config: Path | None) -> dict[RunName, Waits]:
    """The runs that wait now, by the lock store for flows in the working directory."""
    from aetherflow.core.kernel.locks.store import LockStore

    path = lock_store_here(config)
    if not durable.is_there(path):
        return {}
    with LockStore(path, reading=True) as store:
        waiters = [each for each in store.waiters() if each.alive]
        held = {each.key: f"{each.owner.flow_id}/{each.owner.run_id}" for each in store.holders() if waiters}
    return {
        (each.owner.flow_id, each.owner.run_id): Waits(each.key, each.since, held.get(each.key)) for each in waiters
    }
