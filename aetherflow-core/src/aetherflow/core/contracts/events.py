"""The values that hooks receive: frozen copies, so that a hook cannot change the run through them."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from aetherflow.core.base.location import Location
from aetherflow.core.base.problems import Problem

REFUSED_PLAN = "AF2112"


class RunInfo(NamedTuple):
    """The identity of a run, and which of its processes this is."""

    flow_id: str
    run_id: str
    attempt: int
    """1 for a new run, one more each time that it is resumed."""
    flow_file: str


class JobInfo(NamedTuple):
    """The identity of a job within a run."""

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
    """A lock that the run acquired or lost."""

    key: str
    token: int
    """The fencing token: it grows each time that the lock is taken."""


class Outcome(NamedTuple):
    """How a run, a job or an attempt ended. Secrets are masked."""

    status: str
    """SUCCESS, SKIPPED, FAILED, UNKNOWN, INTERRUPTED, or BLOCKED for a job."""
    duration_ms: int
    error: str | None = None
    """Message of the failure; None if nothing failed."""
    reason: str | None = None
    """Why it was skipped or blocked; else None."""


class PlannedStep(NamedTuple):
    """A step of a plan, with what will happen to it."""

    step_id: str
    step_type: str
    verdict: str
    """`reuse`, `run`, `run again`, `ask` or `leave`."""
    inputs: Mapping[str, Any]
    """The inputs as written in the flow file, templates not rendered. Frozen: lists are tuples here."""
    location: Location

    def problem(self, message: str, *, fix: str = "") -> Problem:
        """A finding at this step, for `aetherflow_check_plan`."""
        return _problem(self.location, message, fix)


class PlannedJob(NamedTuple):
    """A job of a plan, with what will happen to it."""

    job_id: str
    verdict: str
    """One of the verdicts that a step can have."""
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
