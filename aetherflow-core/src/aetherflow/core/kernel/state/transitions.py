"""Legal changes of status, as tables. `None` means that there is no row yet."""

from collections.abc import Mapping
from enum import StrEnum

from aetherflow.core.base.errors import StateError


class Status(StrEnum):
    """Status of a run, a job or a step."""

    RUNNING = "RUNNING"
    SUCCESS = "SUCCESS"
    SKIPPED = "SKIPPED"
    BLOCKED = "BLOCKED"
    FAILED = "FAILED"
    INTERRUPTED = "INTERRUPTED"
    UNKNOWN = "UNKNOWN"
    """A `once` step was interrupted and may have had its effect; a person or its `verify` has to decide."""
    DISCARDED = "DISCARDED"
    """A discarded result, for example by `--from-step`; it is made again."""


FINAL_JOB = frozenset({Status.SUCCESS, Status.SKIPPED})
"""A job with one of these is not started again when the run is resumed."""
DONE_STEP = frozenset({Status.SUCCESS, Status.SKIPPED})
"""A step with one of these is never executed again."""

LegalChanges = Mapping[Status | None, frozenset[Status]]
_S = Status
_AGAIN = frozenset({_S.RUNNING})

RUN: LegalChanges = {
    None: _AGAIN,
    _S.RUNNING: frozenset({_S.RUNNING, _S.SUCCESS, _S.FAILED, _S.INTERRUPTED, _S.UNKNOWN}),
    _S.FAILED: _AGAIN,
    _S.INTERRUPTED: _AGAIN,
    _S.UNKNOWN: _AGAIN,
    _S.SUCCESS: _AGAIN,
}
"""RUNNING to RUNNING is a takeover after a crash; SUCCESS is the end unless a person asks for more by `--from-step`."""
_GATES = frozenset({_S.RUNNING, _S.SKIPPED, _S.BLOCKED, _S.FAILED})
JOB: LegalChanges = {
    None: _GATES,
    _S.RUNNING: frozenset({_S.RUNNING, _S.SUCCESS, _S.SKIPPED, _S.FAILED, _S.INTERRUPTED, _S.UNKNOWN, _S.DISCARDED}),
    _S.BLOCKED: _GATES | {_S.DISCARDED},
    _S.FAILED: _GATES | {_S.DISCARDED},
    _S.INTERRUPTED: _GATES | {_S.DISCARDED},
    _S.UNKNOWN: _GATES | {_S.DISCARDED},
    _S.DISCARDED: _GATES | {_S.DISCARDED},
    _S.SUCCESS: frozenset({_S.DISCARDED}),
    _S.SKIPPED: frozenset({_S.DISCARDED}),
}
STEP: LegalChanges = {
    None: frozenset({_S.RUNNING, _S.SKIPPED}),
    _S.RUNNING: frozenset({_S.SUCCESS, _S.SKIPPED, _S.FAILED, _S.INTERRUPTED}),
    _S.FAILED: frozenset({_S.RUNNING, _S.SKIPPED, _S.DISCARDED}),
    _S.INTERRUPTED: frozenset({_S.RUNNING, _S.SKIPPED, _S.SUCCESS, _S.DISCARDED}),
    _S.DISCARDED: frozenset({_S.RUNNING, _S.SKIPPED}),
    _S.SUCCESS: frozenset({_S.DISCARDED}),
    _S.SKIPPED: frozenset({_S.DISCARDED}),
}
"""A new attempt is a new row, so RUNNING after FAILED or INTERRUPTED means attempt n+1; SUCCESS after INTERRUPTED is
the answer of a person or of `verify` to the question whether a `once` step was done."""


def require_legal(table: LegalChanges, what: str, old: Status | None, new: Status) -> None:
    """Raise StateError unless `old` may become `new`."""
    if new not in table[old]:
        raise StateError(
            f"{what} cannot go from {old or 'nothing'} to {new}", fix="report this as a defect of the engine"
        )
