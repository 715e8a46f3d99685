"""`aetherflow-scheduler status --check`: whether the scheduler works, for probes."""

from typing import TYPE_CHECKING

import typer

from aetherflow.core.embedding import print_json
from aetherflow.scheduler.audit.health import health_of
from aetherflow.scheduler.cli.app import SCHEMA
from aetherflow.scheduler.cli.instants import ledger_of

if TYPE_CHECKING:
    from aetherflow.scheduler.schedule.schedule import Schedule


def show_health(schedule: "Schedule", *, as_json: bool) -> int:
    """Print it; returns the exit code. StateError for a ledger that cannot be read."""
    with ledger_of(schedule, read_only=True) as ledger:
        found = health_of(schedule, ledger)
    leader = found.leader
    if as_json:
        report = {
            "schema": SCHEMA,
            "healthy": not found.problems,
            "leader": {"host": leader.host, "pid": leader.pid} if leader is not None else None,
            "problems": [{"reason_code": each.code, "reason": str(each)} for each in found.problems],
        }
        print_json(report)
    elif found.problems:
        typer.echo("\n".join(f"unhealthy: {each}" for each in found.problems))
    else:
        assert leader is not None  # noqa: S101 else it is a problem
        typer.echo(f"healthy: pid {leader.pid} on {leader.host} leads")
    return 1 if found.problems else 0
