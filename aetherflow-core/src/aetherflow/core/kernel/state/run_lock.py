"""The lock of a run, as its state has it: of this host, or of all hosts that share a server."""

from pathlib import Path

from aetherflow.core.base import durable
from aetherflow.core.kernel.state.ownership import RunLock


def run_lock(state: Path, flow_id: str, run_id: str) -> RunLock:
    """The lock that one process holds while it executes a run of a state."""
    path, server = durable.side_folder(state) / "runs" / flow_id / f"{run_id}.lock", durable.server_at(state)
    if server is None:
        return RunLock(path)
    from aetherflow.core.kernel.state.run_lease import RunLease  # a state file needs none

    return RunLease(path, server, flow_id, run_id)
