"""Runs whose process is there, but writes no heartbeat: it is stopped, frozen, or hangs."""

from pathlib import Path

from aetherflow.core.base import durable
from aetherflow.core.base.actor import hostname
from aetherflow.core.base.said import ReasonCode, said
from aetherflow.core.base.times import iso
from aetherflow.core.contracts.needs_person import NeedsPerson
from aetherflow.core.kernel.state.history import PastRun
from aetherflow.core.kernel.state.ownership import HEARTBEAT_LIMIT_MS
from aetherflow.core.kernel.state.transitions import Status
from aetherflow.core.kernel.state.trouble import Trouble
from aetherflow.core.runtime.resuming import runs_of

_STOPPED = frozenset({"T", "t"})
"""States of a process in /proc that SIGSTOP, Ctrl-Z or a debugger has stopped."""


class LateReason(ReasonCode):
    """Why the heartbeat of a run is late."""

    STOPPED = "stopped", "its process {pid} is stopped; last heartbeat {at}"
    NO_HEARTBEAT = "no_heartbeat", "its process {pid} is there, but its last heartbeat was {at}"


def frozen(root: Path, trouble: Trouble, now: int) -> NeedsPerson | None:
    """Return the row for a run whose heartbeat is late; None for other runs, and where that of the parent is, too."""
    run = trouble.run
    if not _is_late(run, now) or _parent_is_late(root, run, now):
        return None
    stopped = _state_of(run.pid) in _STOPPED
    why = said(LateReason.STOPPED if stopped else LateReason.NO_HEARTBEAT, pid=run.pid, at=iso(run.heartbeat_at))
    return NeedsPerson(
        status="LATE",
        name=run.flow_id,
        since=run.heartbeat_at or run.started_at,
        cause=str(why),
        reason_code=why.code,
        flow_id=run.flow_id,
        slot=run.slot,
        run_id=run.run_id,
        owner=run.owner,
        runbook_url=run.runbook,
        commands=(f"kill -CONT {run.pid}",) if stopped else (),
        hint=None if stopped else f"look at process {run.pid}; if it hangs, end it and resume the run",
    )


def _is_late(run: PastRun, now: int) -> bool:
    """Whether a run of this host should have written a heartbeat; one of another host is INTERRUPTED by then.

    A heartbeat in the future is late, too: the clock was set back since, and a living process writes it again soon.
    """
    if run.status != Status.RUNNING or run.host != hostname() or durable.server_at(Path(run.state_path)) is not None:
        return False
    return abs(now - (run.heartbeat_at or run.started_at)) > HEARTBEAT_LIMIT_MS


def _parent_is_late(root: Path, run: PastRun, now: int) -> bool:
    if run.trigger != "flow" or not run.parent:
        return False
    flow_id, _, run_id = run.parent.partition("/")
    return any(_is_late(each, now) for each in runs_of(root, run_id, flow_id))


def _state_of(pid: int) -> str:
    """The state of a process as /proc shows it; empty if that isn't known."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return ""
