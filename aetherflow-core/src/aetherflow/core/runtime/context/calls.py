"""Inner steps and called flows of one attempt."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aetherflow.core.contracts.handles import FlowResult, StepResult
from aetherflow.core.kernel.resolver.deferred import complete_inputs
from aetherflow.core.kernel.sequencing.attempt import Attempt
from aetherflow.core.kernel.sequencing.worker import RunThreadCall
from aetherflow.core.runtime.context.services import ContextServices, FlowCall


class AttemptCalls:
    """Runs inner steps and flows for an attempt."""

    def __init__(self, services: ContextServices, attempt: Attempt) -> None:
        self._services = services
        self._attempt = attempt

    def step(
        self, step_type: str, inputs: Mapping[str, Any], step_id: str | None, roots: Mapping[str, Any] | None
    ) -> StepResult:
        """Run a step inside this one; a repeated call with equal inputs gives the recorded result."""
        inner_steps = self._services.flow.catalog.step(step_type).inner_steps
        given = complete_inputs(inputs, roots or {}, inner_steps)
        # the identity are the inputs before the roots are rendered: a new lock token does not make it another step
        return self._attempt.call_step(step_type, given, step_id or f"{self._attempt.key.step}_inner", inputs)

    def flow(self, flow: Path, params: Mapping[str, Any] | None, slot: str | None, data_date: str | None) -> FlowResult:
        """Run another flow to its end; a later attempt resumes the same run. StepError if it fails."""
        services, attempt = self._services, self._attempt
        key = attempt.key
        run_id = f"{services.run_id}.{key.job}.{key.step}"[:100] + f".{attempt.idem_key[:12]}"
        # flows of items run side by side, so their threads may not use the state's connection
        if times := RunThreadCall(attempt.control, lambda: services.state.steps.times_set_aside(key)).ask():
            run_id += f"-{times + 1}"  # after `--from-step` the flow starts again in a new run
        slot = slot or services.constants["run"]["slot"]
        return services.flows.call(attempt, FlowCall(flow, run_id, dict(params or {}), slot, data_date))
