"""The contract of a step: one class, its inputs, its result."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, TypeVar, get_args, get_origin

from pydantic import ValidationError

from aetherflow.core.base.errors import StepInputError
from aetherflow.core.contracts.context import RunContext
from aetherflow.core.contracts.fields import StepInputs, StepOutputs
from aetherflow.core.contracts.handles import StepResult
from aetherflow.core.contracts.listing import as_inputs
from aetherflow.core.contracts.written import validated

if TYPE_CHECKING:
    from aetherflow.core.contracts.lacks import Lack
    from aetherflow.core.contracts.upgrade import Difference


InputsT = TypeVar("InputsT", bound=StepInputs)


class Step(ABC, Generic[InputsT]):
    """Base class of all steps.

    A typed step names its inputs model once, `class Load(Step[Inputs])`, and reads `self.args`. An untyped step lists
    `required_inputs` and reads the rendered map `self.inputs`. One object lives for one attempt.
    """

    Inputs: ClassVar[type[StepInputs] | None] = None
    """Model of the inputs; taken from `Step[Inputs]`."""
    Outputs: ClassVar[type[StepOutputs] | None] = None
    """Model of the outputs, if the step declares one."""
    required_inputs: ClassVar[set[str]] = set()
    """Names of the inputs that an untyped step requires."""
    inner_steps: ClassVar[Mapping[str, frozenset[str]]] = {}
    """Inputs that hold an inner step, `{type, id?, inputs?}`, which `ctx.call_step` runs; each with the template roots
    that only the inner step's inputs may read, as given to `call_step`. `validate` checks it like any other step."""
    conditions: ClassVar[frozenset[str]] = frozenset()
    """Inputs that hold an expression in the grammar of `when`, which `ctx.holds` evaluates; `validate` checks them."""
    flow_input: ClassVar[str | None] = None
    """Input that names the flow file which `ctx.call_flow` runs, beside this flow; its parameters are in `params`.
    `validate` checks that flow too. With `for_each.max_parallel` several such steps run at a time: they run no other
    step (`ctx.call_step`) and commit no claims meanwhile."""
    problem_codes: ClassVar[Mapping[str, str]] = {}
    """Codes of `validate --json` for problems of an input, by its dotted name; `NAME:missing` where it is not given."""
    effect: ClassVar[Literal["repeatable", "once"]] = "repeatable"
    """`once`: an interrupted attempt is never silently repeated."""
    result_version: ClassVar[int | None] = None
    """Raise it when the same inputs give another result than before: a finished step recorded with another version
    counts as changed."""

    args: InputsT
    """The validated inputs of a typed step."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for base in cls.__dict__.get("__orig_bases__", ()):
            origin = get_origin(base)
            model = next(iter(get_args(base)), None)
            typed = isinstance(model, type) and issubclass(model, StepInputs)  # `Any` is a class, too
            if isinstance(origin, type) and issubclass(origin, Step) and typed:
                cls.Inputs = model

    def __init__(self, step_id: str, inputs: Mapping[str, Any], ctx: RunContext, job_id: str) -> None:
        self.id = step_id
        # inner steps and called flows validate their inputs themselves: their numbers keep the written form until then
        inside = {*self.inner_steps, *(("params",) if self.flow_input is not None else ())}
        self.inputs = {name: value if name in inside else as_inputs(value) for name, value in inputs.items()}
        self.ctx = ctx
        self.job_id = job_id
        if self.Inputs is not None:
            try:
                self.args = validated(self.Inputs, self.inputs, inputs)  # type: ignore[assignment]  # the model named in Step[…]
            except ValidationError as error:
                raise StepInputError(_describe(error)) from error

    def validate(self) -> None:
        """Raise ValueError if one of `required_inputs` is missing; the engine calls it before `run()`."""
        if missing := self.required_inputs - self.inputs.keys():
            raise StepInputError(f"Step {self.id} missing inputs: {sorted(missing)}")

    @classmethod
    def output_names(cls, inputs: Mapping[str, Any]) -> set[str] | None:
        """Names of the outputs for these raw inputs, as far as they are known before the run; None: unknown.

        `*` among them means that there may be others; `validate` then reports only names that look misspelt.
        """
        del inputs
        return set(cls.Outputs.model_fields) if cls.Outputs is not None else None

    @classmethod
    def check(cls, inputs: Mapping[str, Any]) -> list[str]:
        """Check raw inputs beyond the model; returns error messages. Called by `validate`; has no side effects."""
        del inputs
        return []

    @classmethod
    def remarks(cls, inputs: Mapping[str, Any]) -> list[str]:
        """Warnings of `validate` about raw inputs that are allowed but hardly intended. Has no side effects."""
        del inputs
        return []

    @classmethod
    def lacks(cls, inputs: Mapping[str, Any], connector: type, of: str) -> "Iterable[Lack]":
        """What the connector class of the resource that input `of` names lacks for these raw inputs.

        For `validate`: what is refused there is an error, a weaker promise a warning. Has no side effects.
        """
        del inputs, connector, of
        return ()

    @classmethod
    def libraries(cls, inputs: Mapping[str, Any]) -> Mapping[str, str]:
        """Optional libraries that these raw inputs need: a module of each, with the command that installs it.

        `validate` and `run` report those that are not installed, without importing any. Has no side effects.
        """
        del inputs
        return {}

    @classmethod
    def effect_of(cls, inputs: Mapping[str, Any]) -> Literal["repeatable", "once"]:
        """The effect with these raw inputs, where it depends on them; `once` if a value that decides is not known."""
        del inputs
        return cls.effect

    @classmethod
    def differences(cls, inputs: Mapping[str, Any], version: str) -> "Iterable[Difference]":
        """What these raw inputs meant otherwise in AetherFlow `version`, for `doctor --upgrade-from`.

        Only what neither `validate` nor the run reports. Has no side effects.
        """
        del inputs, version
        return ()

    def plan(self) -> list[str]:
        """Dry run: sentences that describe what `run()` would do with these inputs; an empty list says nothing.

        It may read, also from a peer, but must change nothing: `ctx` refuses changes. A ConnectorError or PathError is
        shown in place of the sentences. `aetherflow plan --effects` calls it.
        """
        return []

    @abstractmethod
    def run(self) -> StepResult | Mapping[str, Any] | None:
        """Do the work; a map or None means SUCCESS. Any exception is a failure of the attempt."""


def _describe(error: ValidationError) -> str:
    lines = [
        f"{'.'.join(map(str, item['loc'])) or 'inputs'}: {item['msg']}" for item in error.errors(include_input=False)
    ]
    return "; ".join(lines)
