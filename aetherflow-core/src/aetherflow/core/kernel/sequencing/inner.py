"""A step inside a step (`ctx.call_step`): an attempt with a row, an identity and effects of its own."""

import hashlib
from collections.abc import Mapping
from typing import Any

from aetherflow.core.base.errors import StepCancelledError
from aetherflow.core.base.said import code_of, said
from aetherflow.core.contracts.events import StepInfo
from aetherflow.core.contracts.handles import StepResult
from aetherflow.core.kernel.sequencing.attempt import Attempt
from aetherflow.core.kernel.sequencing.execution import idempotency_key, undecided
from aetherflow.core.kernel.sequencing.failure import message_of
from aetherflow.core.kernel.sequencing.services import RunServices
from aetherflow.core.kernel.sequencing.values import StepValues
from aetherflow.core.kernel.sequencing.worker import call
from aetherflow.core.kernel.state.reasons import StateReason, step_reason
from aetherflow.core.kernel.state.records import StepEnd, StepRecord, StepStart
from aetherflow.core.kernel.state.transitions import DONE_STEP, Status
from aetherflow.core.kernel.state.values import json_safe, to_json


class InnerSteps:
    """Runs inner steps: one that is recorded as done with the same inputs is not executed again."""

    def __init__(self, services: RunServices, values: StepValues) -> None:
        self._services = services
        self._values = values

    def call(
        self, outer: Attempt, step_type: str, inputs: Mapping[str, Any], step_id: str, identity: Mapping[str, Any]
    ) -> StepResult:
        """As `Attempt.call_step`; a finished inner step of the same type and `identity` is not executed again."""
        services, state = self._services, self._services.state.steps
        mask = services.redactor.mask
        key = outer.inner_key(step_id)
        cls = services.classes.step(step_type)
        text = to_json([step_type, json_safe(identity, "inputs")])
        def_hash = hashlib.sha256(mask(text).encode()).hexdigest()[:32]
        record = state.latest.get(key)
        if record is not None and record.status in DONE_STEP:
            if record.def_hash == def_hash and not record.secret_keys:
                return StepResult(str(record.status), state.outputs(key), record.reason, code_of(record.reason))
            state.set_aside(key)
        if record is not None and _is_undecided(record):
            raise undecided(key, record.attempt, services.run_id)
        idem_key = idempotency_key(services.flow_id, services.run_id, key)
        number = state.start(StepStart(key, cls.effect_of(inputs), idem_key, step_type, def_hash))
        if number > 1:
            services.processes.end_orphans(idem_key)
        attempt = outer.inside(key, number, idem_key)
        ctx = services.open_context(attempt)
        info = StepInfo(key.job, key.step, step_type, number, key.item or None)
        try:
            result = services.wrapper.call(info, inputs, lambda: call(cls, step_id, inputs, ctx, key.job))
            outputs = services.classes.outputs_of(cls, json_safe(result.as_output()), result.status)
            reason = step_reason(result, services.redactor)
            stored, secret, _ = self._values.encoded(key, outputs, None)
            outer.control.check_open()  # the result of an abandoned thread is ignored
            state.finish(key, StepEnd(Status(result.status), stored, reason, attempt.effects, secret))
        except BaseException as error:
            # a cancelled step may fail with any error, such as one about its children that were ended
            ended = isinstance(error, StepCancelledError) or outer.control.cancelled
            status = Status.INTERRUPTED if ended else Status.FAILED
            attempt.log.feed("stderr", services.classes.frames_of(error, step_type, cls).encode())
            why = mask(message_of(error))
            if outer.control.ended_by == "signal":
                why = said(StateReason.STOPPED, number=services.stop.signal)
            if not outer.control.closed and state.latest[key].status is Status.RUNNING:
                state.fail(key, status, why, dict(attempt.effects.facts))
            raise
        return result


def _is_undecided(record: StepRecord) -> bool:
    return record.effect == "once" and record.status is Status.INTERRUPTED
