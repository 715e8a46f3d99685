"""Whether a job may start: its dependencies, then its `when`."""

from collections.abc import Collection, Mapping
from typing import Any

from aetherflow.core.kernel.resolver.when import evaluate_when
from aetherflow.core.kernel.state.transitions import Status
from aetherflow.core.kernel.yaml.flow import JobSpec


def blocked_by(job: JobSpec, statuses: Mapping[str, Status], left_out: Collection[str] = ()) -> str | None:
    """The first dependency that is not SUCCESS, or None; jobs that this run was told to leave out do not count."""
    return next(
        (name for name in job.depends_on if name not in left_out and statuses.get(name) is not Status.SUCCESS), None
    )


def when_holds(job: JobSpec, scope: Mapping[str, Any]) -> bool:
    """Value of the job's `when` over the jobs handled so far, the parameters and the run; raises WhenError."""
    return evaluate_when(job.when, scope)
