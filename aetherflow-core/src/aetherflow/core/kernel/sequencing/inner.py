"""A step inside a step (`ctx.call_step`): an attempt with a row, an identity and effects of its own."""

import hashlib
from collections.abc import Mapping
from typing import Any

from aetherflow.core.base.errors import StepCancelledError
from aetherflow.core.contracts.handles import StepResult
from aetherflow.core.kernel.sequencing.attempt import call
from aetherflow.core.kernel.sequencing.execution import undecided
from aetherflow.core.kernel.sequencing.failure import message_of
from aetherflow.core.kernel.sequencing.steps import StepRunner, idempotency_key
from aetherflow.core.kernel.state.records import StepEnd, StepRecord, StepStart
from aetherflow.core.kernel.state.transitions import DONE_STEP, Status
from aetherflow.core.kernel.state.values import json_safe, to_json
from aetherflow.core.runtime.context.context import StepContext


class InnerSteps:
    """Runs inner steps: one that is recorded as done with the same inputs is not executed again."""

    def __init__(self, runner: StepRunner) -> None:
        self._runner = runner

    def call(
        self, outer: StepContext, step_type: str, inputs: Mapping[str, Any], step_id: str, identity: Mapping[str, Any]
    ) -> StepResult:
        """Run a step with the outer one's context; its result is returned, its failure raised.

        It is the same step as before if its type and `identity` are.
        """
        state = self._runner.state
        key = outer.inner_key(step_id)
        cls = outer.catalog.step(step_type)
        text = to_json([step_type, json_safe(identity, "inputs")])
        def_hash = hashlib.sha256(self._runner.parts.redactor.mask(text).encode()).hexdigest()[:32]
        record = state.latest.get(key)
        if record is not None and record.status in DONE_STEP:
            if record.def_hash == def_hash and not record.secret_keys:
                return StepResult(str(record.status), state.outputs(key), record.reason)
            state.set_aside(key)
        if record is not None and _asks(record):
            raise undecided(key, record.attempt, self._runner.parts.run_id)
        idem_key = idempotency_key(self._runner.parts.flow_id, self._runner.parts.run_id, key)
        number = state.start(StepStart(key, cls.effect_of(inputs), idem_key, step_type, def_hash))
        if number > 1:
            self._runner.parts.processes.end_orphans(idem_key)
        ctx = outer.for_inner(key, number, idem_key)
        try:
            result = self._runner.wrapped(key, step_type, number, lambda: call(cls, step_id, inputs, ctx, key.job))()
            outputs = json_safe(result.as_output())
            reason = self._runner.parts.redactor.mask(result.reason) if result.reason is not None else None
            stored, secret, _ = self._runner.without_secrets(key, outputs, None)
            outer.control.check_open()  # what a thread that was left behind brings does not count
            state.finish(key, StepEnd(Status(result.status), stored, reason, ctx.effects, secret))
        except BaseException as error:
            # however it shows: children that were ended make a step fail with an error of its own
            ended = isinstance(error, StepCancelledError) or outer.control.cancelled
            status = Status.INTERRUPTED if ended else Status.FAILED
            if not outer.control.closed and state.latest[key].status is Status.RUNNING:
                told = self._runner.parts.redactor.mask(message_of(error))
                state.fail(key, status, told, dict(ctx.effects.facts))
            raise
        return result


def _asks(record: StepRecord) -> bool:
    return record.effect == "once" and record.status is Status.INTERRUPTED
