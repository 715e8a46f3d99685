"""The base class of all steps with remote files."""

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, TypeVar

from aetherflow.core.api import Lack, ResourceRef, Step, StepInputs
from aetherflow_builtins_transfer.local_places import check_places
from aetherflow_builtins_transfer.moving.files import Files
from aetherflow_builtins_transfer.moving.serving import Needs, files_of, is_file_connector, minimal_lacks

InputsT = TypeVar("InputsT", bound=StepInputs)


class RemoteStep(Step[InputsT]):
    """A step on the resource that its input `resource` names."""

    @property
    def resource(self) -> str:
        name: str = self.inputs["resource"]
        return name

    @cached_property
    def peer(self) -> Files:
        """The files of the resource; PathError if a policy forbids what it writes locally."""
        field = type(self.args).model_fields["resource"]
        (kind,) = (each.kind for each in field.metadata if isinstance(each, ResourceRef))
        connectors = self.ctx.connectors
        found = connectors[self.resource] if kind is None else connectors.get(kind=kind, name=self.resource)
        check_places(self.ctx, found)
        return files_of(found, self.ctx.check_cancelled, self.ctx.log.warning)

    @classmethod
    def needs(cls, inputs: Mapping[str, Any]) -> Needs:
        """The methods of the documented minimum that the step calls with these raw inputs, one of each group."""
        raise NotImplementedError

    @classmethod
    def lacks(cls, inputs: Mapping[str, Any], connector: type, of: str) -> Iterator[Lack]:
        if of == "resource" and not is_file_connector(connector):
            yield from minimal_lacks(connector, cls.needs(inputs))
