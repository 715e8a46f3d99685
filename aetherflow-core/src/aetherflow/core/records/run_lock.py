"""The lock of a run, as its state has it: of this host, or of all hosts that share a server."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, cast

from aetherflow.core.base import durable
from aetherflow.core.kernel.state.member import Member
from aetherflow.core.kernel.state.ownership import RunLock, lock_path

if TYPE_CHECKING:
    from aetherflow.core.records.run_lease import RunLease


def run_lock(state: Path, flow_id: str, run_id: str) -> RunLock:
    """The lock that one process holds while it executes a run of a state."""
    path, server = lock_path(state, flow_id, run_id), durable.server_at(state)
    if server is None:
        return RunLock(path)
    from aetherflow.core.records.run_lease import RunLease  # a state file needs none

    return RunLease(path, server, flow_id, run_id)


def lease_of(lock: RunLock) -> "RunLease | None":
    """The lock of a run whose state is in a server, which is a part of the run, too; None for that of a file."""
    return None if type(lock) is RunLock else cast("RunLease", lock)


@contextmanager
def held(member: Member) -> Iterator[None]:
    """Keep every process from executing the run; RunBusyError if one does. Nothing if its state file is gone."""
    if not durable.is_there(Path(member.state)):
        yield
        return
    lock = run_lock(Path(member.state), member.flow_id, member.run_id)
    lock.acquire(member.run_id)
    try:
        yield
    finally:
        lock.release()
