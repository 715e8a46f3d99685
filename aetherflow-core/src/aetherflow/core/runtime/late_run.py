"""The heartbeat of a run whose process is there, but is stopped, frozen, or hangs."""

from pathlib import Path

from aetherflow.core.base import durable
from aetherflow.core.base.actor import hostname
from aetherflow.core.base.said import Reason, ReasonCode, said
from aetherflow.core.base.times import iso
from aetherflow.core.kernel.state.transitions import Status
from aetherflow.core.records.history import PastRun
from aetherflow.core.records.living import HEARTBEAT_LIMIT_MS

_STOPPED = frozenset({"T", "t"})
"""States of a process in /proc that SIGSTOP, Ctrl-Z or a debugger has stopped."""


class LateRun(ReasonCode):
    """Why the heartbeat of a run is late."""

    STOPPED = "stopped", "its process {pid} is stopped; last heartbeat {at}"
    NO_HEARTBEAT = "no_heartbeat", "its process {pid} is there, but its last heartbeat was {at}"


def late_run(run: PastRun, now: int) -> Reason | None:
    """Return why the heartbeat of a run is late; None if it isn't."""
    if not is_late(run, now):
        return None
    code = LateRun.STOPPED if _state_of(run.pid) in _STOPPED else LateRun.NO_HEARTBEAT
    return said(code, pid=run.pid, at=iso(run.heartbeat_at))


def late_run_commands(run: PastRun, reason: Reason) -> tuple[str, ...]:
    """Return the command that lets a stopped process continue; none for one that hangs."""
    return (f"kill -CONT {run.pid}",) if reason.code == LateRun.STOPPED else ()


def is_late(run: PastRun, now: int) -> bool:
    """Whether a run of this host should have written a heartbeat; one of another host is INTERRUPTED by then.

    A heartbeat in the future is late, too: the clock was set back since, and a living process writes it again soon.
    """
    if run.status != Status.RUNNING or run.host != hostname() or durable.server_at(Path(run.state_path)) is not None:
        return False
    return abs(now - (run.heartbeat_at or run.started_at)) > HEARTBEAT_LIMIT_MS


def _state_of(pid: int) -> str:
    """The state of a process as /proc shows it; empty if that isn't known."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return ""
