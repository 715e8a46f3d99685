"""One attempt of a step."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from aetherflow.core.contracts.context import StreamName
from aetherflow.core.contracts.handles import StepResult
from aetherflow.core.contracts.running import AttemptLog
from aetherflow.core.kernel.sequencing.leases import AttemptLeases
from aetherflow.core.kernel.sequencing.stopping import Control
from aetherflow.core.kernel.state.records import Artifact, StepEffects, StepKey


class Attempt:
    """One attempt of a step or inner step: its identity, its cancellation and its effects."""

    def __init__(
        self,
        key: StepKey,
        number: int,
        idem_key: str,
        steps: Mapping[str, Any],
        log: AttemptLog,
        control: Control,
        leases: AttemptLeases,
        call_inner: "Callable[[Attempt, str, Mapping[str, Any], str, Mapping[str, Any]], StepResult]",
    ) -> None:
        self.key = key
        self.number = number
        self.idem_key = idem_key
        self.steps = steps
        """Outputs of the earlier steps of the job."""
        self.log = log
        self.control = control
        self.side_by_side = False
        """Whether other attempts of the run are under way, too: a flow that it calls gets a process of its own."""
        self.leases = leases
        self.effects = StepEffects()
        """Artifacts and ledger entries for the transaction that ends the attempt."""
        self._call_inner = call_inner
        self._inner: list[Attempt] = []
        self._inner_ids: dict[str, int] = {}

    def relay(self, stream: StreamName, data: bytes) -> None:
        """Pass output to the log; ignored once the attempt is over."""
        if not self.control.closed:  # then the log is closed, too
            self.log.feed(stream, data)

    def call_step(
        self, step_type: str, inputs: Mapping[str, Any], step_id: str, identity: Mapping[str, Any]
    ) -> StepResult:
        """Run a step inside this one; its result is returned, its failure raised.

        `identity` are the inputs that decide whether it is the same step as in an earlier attempt.
        """
        return self._call_inner(self, step_type, inputs, step_id, identity)

    def inner_key(self, step_id: str) -> StepKey:
        """Key of the next inner step of that id: `OUTER.ID`, with the number of the call from the second call on."""
        number = self._inner_ids[step_id] = self._inner_ids.get(step_id, 0) + 1
        item = self.key.item if number == 1 else f"{self.key.item}#{number}"
        return StepKey(self.key.job, f"{self.key.step}.{step_id}", item)

    def inside(self, key: StepKey, number: int, idem_key: str) -> "Attempt":
        """Create the attempt of an inner step: it shares this one's cancellation and has its own effects."""
        inner = Attempt(key, number, idem_key, self.steps, self.log, self.control, self.leases, self._call_inner)
        self._inner.append(inner)
        return inner

    def inner_keys(self) -> Iterator[StepKey]:
        """Keys of the inner steps that this attempt has called, at any depth."""
        for inner in self._inner:
            yield inner.key
            yield from inner.inner_keys()

    def artifacts(self) -> Iterator[Artifact]:
        """Artifacts of this attempt and of its inner steps, but for those of the latter that it has removed."""
        yield from self.effects.artifacts.values()
        for inner in self._inner:
            yield from (found for found in inner.artifacts() if found.path not in self.effects.consumed)
