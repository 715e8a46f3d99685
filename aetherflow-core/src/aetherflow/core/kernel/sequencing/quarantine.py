"""`for_each.quarantine`: what an item that failed was about is set aside, and the item counts as dealt with."""

from aetherflow.core.base.errors import (
    ConnectorError,
    LeaseLostError,
    LockBusyError,
    PluginError,
    ResolverError,
    StepTimeoutError,
)
from aetherflow.core.contracts.kinds.names import QUARANTINE_STEP
from aetherflow.core.kernel.sequencing.attempts import Done
from aetherflow.core.kernel.sequencing.execution import StepFailedError, Work
from aetherflow.core.kernel.sequencing.steps import StepRunner
from aetherflow.core.kernel.state.records import StepKey
from aetherflow.core.kernel.yaml.loader import RawString

NOT_OF_THE_ITEM = (
    ConnectorError,
    LockBusyError,
    LeaseLostError,
    StepTimeoutError,
    ResolverError,
    PluginError,
    OSError,
)
"""Failures that say nothing about the item: a peer, a lock, a disk or the flow is at fault, and others would fail."""


class Quarantine:
    """Runs the step that sets items aside: a part of the repeated step with a row of its own, like its `verify`."""

    def __init__(self, runner: StepRunner) -> None:
        self._runner = runner

    def before(self, key: StepKey) -> Done | None:
        """What was made of an item that was set aside; None if it was not."""
        return self._runner.done_before(_part(key))

    def take(self, work: Work, folder: str, error: StepFailedError) -> Done | None:
        """Set an item aside; None if its failure says nothing about it. StepFailedError if that fails."""
        if isinstance(error.cause, NOT_OF_THE_ITEM):
            return None
        runner, key, path = self._runner, _part(work.key), (*work.path, "for_each", "quarantine")
        why = RawString(runner.services.redactor.mask(str(error)))
        inputs = {"item": "{{item}}", "folder": folder, "error": why}
        try:
            return runner.run(runner.part(work, key, QUARANTINE_STEP, inputs, path, path))
        except PluginError as missing:
            raise StepFailedError(missing, work.step, path) from missing


def _part(key: StepKey) -> StepKey:
    return key._replace(step=f"{key.step}.quarantine")
