"""The classes of a run's steps, the types of their outputs, and the lines at which third-party ones failed."""

from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, TypeAdapter, ValidationError

from aetherflow.core.base.errors import AetherflowError, OutputError
from aetherflow.core.contracts.handles import STEP_SUCCESS
from aetherflow.core.contracts.step import Step
from aetherflow.core.host.catalog import Catalog
from aetherflow.core.host.first_party import first_party
from aetherflow.core.host.metadata import FOLDER
from aetherflow.core.host.names import STEPS
from aetherflow.core.kernel.state.values import json_safe


class CatalogClasses:
    """The step classes of a catalogue, for one run."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def step(self, name: str) -> Any:
        """The class of a step type; raises what `Catalog.step` raises."""
        return self._catalog.step(name)

    def outputs_of(self, cls: type[Step[Any]], outputs: dict[str, Any], status: str) -> dict[str, Any]:
        """JSON-safe outputs with the types that the step declares; OutputError where they cannot have these."""
        if cls.Outputs is None or cls.output_names.__func__ is not Step.output_names.__func__:  # type: ignore[attr-defined]
            return outputs  # a step whose inputs name outputs, such as a program's, lets these replace its own
        return as_declared(outputs, cls.Outputs, cls.__qualname__, complete=status == STEP_SUCCESS)

    def frames_of(self, error: BaseException, name: str, cls: type[Step[Any]]) -> str:
        """The traceback of an error from the first frame of the third-party step, or of the third-party connector or
        hook that it called; empty if there is none. The place is noted on the error, for its message.
        """
        from aetherflow.core.host.faults import note_place  # for what fails; every run imports this module

        source = self._source_of(name)
        return note_place(error) if source is None else note_place(error, cls.__module__, source)

    def _source_of(self, name: str) -> str | None:
        """The third-party package and version of a step type, empty if it has none; None for one of ours."""
        if name not in self._catalog.names(STEPS):
            return ""
        try:
            entry = self._catalog.find(STEPS, name)
        except AetherflowError:  # registered in this process only
            return ""
        if entry.distribution in first_party():
            return None
        return "" if entry.distribution == FOLDER else entry.source


def as_declared(outputs: dict[str, Any], model: type[BaseModel], step: str, *, complete: bool) -> dict[str, Any]:
    """JSON-safe outputs of a step with the types that their model declares: `"5"` becomes 5 for an int.

    Outputs that the model does not declare stay as they are. `step` names the class in messages; `complete` says that
    none of the required ones may be missing. Raises OutputError.
    """
    fields = model.model_fields
    if complete and (missing := [name for name, info in fields.items() if info.is_required() and name not in outputs]):
        raise OutputError(f"{step}.run() did not return {', '.join(missing)}", fix=_DECLARED.format(step=step))
    found = dict(outputs)
    for name in fields.keys() & outputs.keys():
        info, value = fields[name], outputs[name]
        if not info.metadata and _has_type(value, info.annotation):
            continue
        # for this one field: the model cannot be built without the others, and most outputs need none
        wanted: Any = Annotated[info.annotation, *info.metadata] if info.metadata else info.annotation
        adapter = TypeAdapter(wanted)
        try:
            found[name] = json_safe(adapter.dump_python(adapter.validate_python(value)), name)
        except ValidationError as error:
            at = ".".join(map(str, (name, *error.errors(include_input=False, include_url=False)[0]["loc"])))
            kind = getattr(info.annotation, "__name__", None) if isinstance(info.annotation, type) else None
            message = f"output {at} of {step} is {_shown_type(value)}, and is declared as {kind or info.annotation}"
            raise OutputError(message, fix=_DECLARED.format(step=step)) from None
    return found


_DECLARED = "return the types that `Outputs` of {step} declares, or change the declaration"
_JSON_TYPES = {str: "text", bool: "a boolean", int: "an integer", float: "a number", list: "a list", dict: "a map"}


def _shown_type(value: Any) -> str:
    return _JSON_TYPES.get(type(value), "null")


def _has_type(value: Any, declared: Any) -> bool:
    """True for a JSON value that has a declared type for certain. Most outputs have it, and pydantic would compile."""
    origin, arguments = get_origin(declared), get_args(declared)
    if origin in (Union, UnionType):
        return any(_has_type(value, each) for each in arguments)
    if origin is Literal:
        return value in arguments
    if origin is list and type(value) is list:
        return arguments[0] is Any or all(_has_type(item, arguments[0]) for item in value)
    if origin is dict and type(value) is dict:
        return arguments[1] is Any or all(_has_type(item, arguments[1]) for item in value.values())
    return declared is Any or declared is type(value)
