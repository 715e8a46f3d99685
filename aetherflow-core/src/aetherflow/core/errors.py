"""The errors of `run_flow()` as version 1.0 documented them; new code imports them from `aetherflow.core.api`."""

from aetherflow.core.base.errors import (
    AetherflowError,
    ChangedDefinitionError,
    RunBusyError,
    SpecError,
    StateError,
    UsageError,
)
from aetherflow.core.kernel.sequencing.run_errors import RunFailedError, RunInterruptedError, RunUnknownError

__all__ = [
    "AetherflowError",
    "ChangedDefinitionError",
    "RunBusyError",
    "RunFailedError",
    "RunInterruptedError",
    "RunUnknownError",
    "SpecError",
    "StateError",
    "UsageError",
]
