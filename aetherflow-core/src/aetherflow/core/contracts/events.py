"""What hooks are told: frozen values, copied out of the run. Nothing that is done to them reaches back."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from aetherflow.core.base.location import Location
from aetherflow.core.base.problems import Problem

REFUSED_PLAN = "AF2112"


class RunInfo(NamedTuple):
    """A run."""

    flow_id: str
    run_id: str
    attempt: int
    """1 for a new run, one more for each process that goes on with it."""
    flow_file: str


class JobInfo(NamedTuple):
    """A job of a run."""

    job_id: str


class StepInfo(NamedTuple):
    """One attempt of a step, or of one item of its `for_each`."""

    job_id: str
    step_id: str
    step_type: str
    attempt: int
    item: str | None = None
    """Key of the item; None for a step without `for_each`."""


class LockInfo(NamedTuple):
    """A lock that the run has, or had."""

    key: str
    token: int
    """The fencing token: it grows each time that the lock is taken."""


class Outcome(NamedTuple):
    """How a run, a job or an attempt ended. Secrets are masked."""

    status: str
    """SUCCESS, SKIPPED, FAILED, UNKNOWN, INTERRUPTED, or BLOCKED for a job."""
    duration_ms: int
    error: str | None = None
    """The message of what failed."""
    reason: str | None = None
    """Why it was skipped or blocked."""


class PlannedStep(NamedTuple):
    """A step of a plan."""

    step_id: str
    step_type: str
    verdict: str
    """`reuse`, `run`, `run again`, `ask` or `leave`."""
    inputs: Mapping[str, Any]
    """As the flow file has them, templates not rendered. Frozen: lists are tuples here."""
    location: Location

    def problem(self, message: str, *, fix: str = "") -> Problem:
        """A finding at this step, for `aetherflow_check_plan`."""
        return _problem(self.location, message, fix)


class PlannedJob(NamedTuple):
    """A job of a plan."""

    job_id: str
    verdict: str
    """As of a step."""
    steps: tuple[PlannedStep, ...]
    location: Location

    def problem(self, message: str, *, fix: str = "") -> Problem:
        """A finding at this job, for `aetherflow_check_plan`."""
        return _problem(self.location, message, fix)


class PlanInfo(NamedTuple):
    """What a run is going to do."""

    run: RunInfo
    env: Mapping[str, str]
    """The environment of the run; cannot be changed. It holds secrets: do not put its values into messages."""
    jobs: tuple[PlannedJob, ...]
    location: Location

    def problem(self, message: str, *, fix: str = "") -> Problem:
        """A finding at the flow, for `aetherflow_check_plan`."""
        return _problem(self.location, message, fix)


def _problem(at: Location, message: str, fix: str) -> Problem:
    return Problem(REFUSED_PLAN, message, at, code="hook:check_plan", fix=fix)
