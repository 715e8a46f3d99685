"""The base class of all steps with remote files."""

from typing import Any, TypeVar

from aetherflow.core.api import ResourceRef, Step, StepInputs
from aetherflow_builtins_transfer.connectors.files.connector import FileConnector
from aetherflow_builtins_transfer.connectors.local import LocalFileConnector
from aetherflow_builtins_transfer.connectors.sftp.connector import SftpConnector
from aetherflow_builtins_transfer.local_folder import check_place

InputsT = TypeVar("InputsT", bound=StepInputs)


class RemoteStep(Step[InputsT]):
    """A step on the resource that its input `resource` names."""

    @property
    def resource(self) -> str:
        name: str = self.inputs["resource"]
        return name

    @property
    def peer(self) -> FileConnector[Any, Any]:
        """The connector of the resource; PathError if a policy forbids what it writes locally."""
        field = type(self.args).model_fields["resource"]
        (kind,) = (each.kind for each in field.metadata if isinstance(each, ResourceRef))
        found: FileConnector[Any, Any] = self.ctx.connectors.get(kind=kind, name=self.resource)
        if isinstance(found, LocalFileConnector):
            check_place(self.ctx, found.root)
        elif isinstance(found, SftpConnector) and found.remembers is not None:
            check_place(self.ctx, found.remembers)
        return found
