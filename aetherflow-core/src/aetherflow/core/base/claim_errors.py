"""Errors of claims: what a run took from the world is another run's, or is gone.

AetherflowError
├── ClaimsLostError                  exit 2   what a run had claimed was taken over, or given back
└── StepError                        exit 1
    ├── ClaimBusyError (RuntimeError)         another run, which lives or was faster, has claimed the key
    └── ClaimedFileError (RuntimeError)       what an ended run had taken is gone
"""

from aetherflow.core.base.errors import AetherflowError, StepError


class ClaimsLostError(AetherflowError):
    """What a run had claimed was taken over, or given back: its results are not to be used any more."""

    code = "AF3005"
    exit_code = 2


class ClaimBusyError(StepError, RuntimeError):
    """Another run has claimed the key and lives, or was a moment faster; `run_id` is that run."""

    code = "AF5303"

    def __init__(self, message: str = "", *, run_id: str = "", fix: str = "") -> None:
        super().__init__(message, fix=fix)
        self.run_id = run_id


class ClaimedFileError(StepError, RuntimeError):
    """The file of a claim, which a run that takes over needs, is gone or damaged."""

    code = "AF5304"
