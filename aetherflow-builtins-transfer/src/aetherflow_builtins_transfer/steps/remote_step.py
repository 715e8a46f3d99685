"""What all steps with files at a peer have in common."""

from pathlib import Path
from typing import Any, TypeVar

from aetherflow.core.api import ResourceRef, Step, StepInputs
from aetherflow_builtins_transfer.connectors.files import FileConnector
from aetherflow_builtins_transfer.connectors.local import LocalFiles

InputsT = TypeVar("InputsT", bound=StepInputs)


class RemoteStep(Step[InputsT]):
    """A step on a resource, of the kind that its input `resource` refers to."""

    @property
    def resource(self) -> str:
        """Name of the resource."""
        name: str = self.inputs["resource"]
        return name

    @property
    def peer(self) -> FileConnector[Any, Any]:
        """The connector of the resource."""
        field = type(self.args).model_fields["resource"]
        (kind,) = (each.kind for each in field.metadata if isinstance(each, ResourceRef))
        found: FileConnector[Any, Any] = self.ctx.connectors.get(kind=kind, name=self.resource)
        if isinstance(found, LocalFiles) and self.ctx.settings.mode == "enterprise":
            self._check_root(found.root)
        return found

    def _check_root(self, root: Path) -> None:
        """A folder in the place of a server is a folder of this machine: under a policy, no way out of the sandbox."""
        if not root.is_relative_to((self.ctx.work_root / self.ctx.flow_id).resolve()):
            self.ctx.write_path(str(root))
