"""The errors of a run that did not end in SUCCESS. The tree of all errors stands in `base.errors`."""

from typing import TYPE_CHECKING

from aetherflow.core.base.errors import AetherflowError

if TYPE_CHECKING:
    from aetherflow.core.kernel.sequencing.results import RunSummary


class RunError(AetherflowError):
    """A run did not end in SUCCESS; `summary` says what happened."""

    code = "AF3001"
    told = True  # its command shows the summary

    def __init__(self, message: str, summary: "RunSummary", *, exit_code: int = 1) -> None:
        super().__init__(message)
        self.summary = summary
        self.exit_code = exit_code


class RunFailedError(RunError):
    """At least one job FAILED."""

    code = "AF3001"


class RunUnknownError(RunError):
    """A `once` step was interrupted: whether it had its effect has to be decided."""

    code = "AF3004"


class RunInterruptedError(RunError):
    """The run was stopped by a signal; `aetherflow resume` goes on where it stopped."""

    code = "AF3002"
