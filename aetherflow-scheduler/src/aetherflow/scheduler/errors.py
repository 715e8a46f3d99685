"""Errors that only the scheduler raises; the exit codes are those of the core.

AetherflowError
├── CronError (ValueError)           exit 2   a cron expression that cannot be read
│   └── NeverError                   exit 2   one that can be read and names no day that exists
└── HeldError                        exit 3   a person holds the slot
"""

from typing import ClassVar

from aetherflow.core.api import AetherflowError


class CronError(AetherflowError, ValueError):
    """A cron expression is invalid; `fix` says what to write instead."""

    code: ClassVar[str] = "AF8001"
    exit_code = 2


class NeverError(CronError):
    """A cron expression is valid but never fires, such as on the 31st of February."""

    code: ClassVar[str] = "AF8002"


class HeldError(AetherflowError):
    """A person holds the slot that is to run; `fix` says how to take that back."""

    code: ClassVar[str] = "AF8015"
    exit_code = 3
