"""Whether a job may start: its dependencies, then its `when`."""

from collections.abc import Collection, Mapping
from typing import Any

from aetherflow.core.kernel.resolver.when import evaluate_when
from aetherflow.core.kernel.state.transitions import Status
from aetherflow.core.kernel.yaml.flow import JobSpec


def blocked_by(job: JobSpec, statuses: Mapping[str, Status], left_out: Collection[str] = ()) -> str | None:
    """The first dependency that blocks the job, or None; jobs that this run leaves out do not count.

    One that is not SUCCESS blocks, a SKIPPED one as `on_dependency_skipped` says.
    """
    good = {Status.SUCCESS} if job.on_dependency_skipped == "block" else {Status.SUCCESS, Status.SKIPPED}
    return next((name for name in job.depends_on if name not in left_out and statuses.get(name) not in good), None)


def skipped_by(job: JobSpec, statuses: Mapping[str, Status]) -> str | None:
    """The first SKIPPED dependency of a job with `on_dependency_skipped: skip`; None if there is none."""
    if job.on_dependency_skipped != "skip":
        return None
    return next((name for name in job.depends_on if statuses.get(name) is Status.SKIPPED), None)


def when_holds(job: JobSpec, scope: Mapping[str, Any]) -> bool:
    """Value of the job's `when` over the jobs handled so far, the parameters and the run; raises WhenError."""
    return evaluate_when(job.when, scope)
