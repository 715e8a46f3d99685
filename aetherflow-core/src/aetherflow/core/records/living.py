"""The runs that processes execute, as their locks and heartbeats show."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from aetherflow.core.base import durable
from aetherflow.core.base.actor import hostname
from aetherflow.core.base.errors import RunBusyError
from aetherflow.core.kernel.state.ownership import lock_path
from aetherflow.core.kernel.state.transitions import Status

HEARTBEAT_LIMIT_MS = 60_000
"""Time without a heartbeat after which a run of another host counts as dead; its kernel lock is not visible here."""
_RUNNING = "SELECT flow_id, run_id, host, heartbeat_at FROM runs WHERE status=?"


def is_live(state_path: Path, flow_id: str, run_id: str, host: str, heartbeat_at: int | None, now: int) -> bool:
    """Whether a process executes the run: it holds the kernel lock, or writes heartbeats from another host.

    `now` is the time by the clock of the database that heartbeats are written with.
    """
    if durable.is_locked(lock_path(state_path, flow_id, run_id)):
        return True
    return _beats_elsewhere(host, heartbeat_at, now)


def live_runs(db: durable.Database, state_path: Path) -> list[str]:
    """`flow/run` of each run that a process is executing."""
    now = db.now_ms()
    rows = db.execute(
        "SELECT flow_id, run_id, host, heartbeat_at FROM runs WHERE status=?", (Status.RUNNING,)
    ).fetchall()
    return [f"{flow}/{run}" for flow, run, host, beat in rows if is_live(state_path, flow, run, host, beat, now)]


def held_runs(state_path: Path) -> list[str]:
    """`flow/run` of each run whose lock a process of this host holds, whether the run has begun or not."""
    locks = sorted(durable.side_folder(state_path).glob("runs/*/*.lock"))
    return [f"{lock.parent.name}/{lock.stem}" for lock in locks if durable.is_locked(lock)]


@contextmanager
def no_run(state_path: Path) -> Iterator[None]:
    """Keep every run of a state file on this host from starting, while the block runs.

    Raises RunBusyError if a process executes one.
    """
    folder = durable.side_folder(state_path) / "runs"
    durable.make_dir(folder)
    gate = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(gate, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            flow_id, _, run_id = next(iter(held_runs(state_path)), "").partition("/")
            live = f"run {run_id} of flow {flow_id} is live" if run_id else "a run is just starting or ending"
            raise RunBusyError(f"{live}: nothing is restored under it", fix="wait for it, or stop it") from None
        yield
    finally:
        os.close(gate)


def runs_elsewhere(db: durable.Database) -> list[str]:
    """`flow/run on HOST` of each run of another host with a recent heartbeat."""
    now = db.now_ms()
    rows = db.execute(_RUNNING, (Status.RUNNING,)).fetchall()
    return [f"{flow}/{run} on {host}" for flow, run, host, beat in rows if _beats_elsewhere(host, beat, now)]


def _beats_elsewhere(host: str, heartbeat_at: int | None, now: int) -> bool:
    return host != hostname() and now - (heartbeat_at or 0) < HEARTBEAT_LIMIT_MS
