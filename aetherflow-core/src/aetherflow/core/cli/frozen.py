"""Runs whose process is there, but writes no heartbeat: it is stopped, frozen, or hangs."""

from pathlib import Path

from aetherflow.core.contracts.needs_person import NeedsPerson
from aetherflow.core.records.history import PastRun
from aetherflow.core.records.trouble import Trouble
from aetherflow.core.runtime.late_run import is_late, late_run, late_run_commands
from aetherflow.core.runtime.resuming import runs_of


def frozen(root: Path, trouble: Trouble, now: int) -> NeedsPerson | None:
    """Return the row for a run whose heartbeat is late; None for other runs, and where that of the parent is, too."""
    run = trouble.run
    if (why := late_run(run, now)) is None or _parent_is_late(root, run, now):
        return None
    commands = late_run_commands(run, why)
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
        commands=commands,
        hint=None if commands else f"look at process {run.pid}; if it hangs, end it and resume the run",
    )


def _parent_is_late(root: Path, run: PastRun, now: int) -> bool:
    if run.trigger != "flow" or not run.parent:
        return False
    flow_id, _, run_id = run.parent.partition("/")
    return any(is_late(each, now) for each in runs_of(root, run_id, flow_id))
