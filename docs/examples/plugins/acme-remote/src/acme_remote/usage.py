"""The step `acme_remote_usage`: one that reaches a resource of this distribution's kind."""

from typing import Annotated

from pydantic import Field

from acme_remote.base import FsspecFiles
from aetherflow.core.api import ConnectorConfig, ConnectorOptions, PlainText, ResourceRef, Step, StepInputs, StepOutputs

AnyFiles = FsspecFiles[ConnectorConfig, ConnectorOptions]


class Inputs(StepInputs):
    """Inputs of `acme_remote_usage`."""

    resource: Annotated[str, ResourceRef("acme_remote")] = Field(description="Name of the resource.")
    remote_dir: PlainText = Field("", description="Folder at the peer; without it, the topmost one.")


class Outputs(StepOutputs):
    """Outputs of `acme_remote_usage`."""

    files: int = Field(description="Number of files in the folder and below it.")
    size: int = Field(description="Their size in bytes.")


class Usage(Step[Inputs]):
    """Counts the files below a folder and adds up their sizes.

    - id: usage
      type: acme_remote_usage
      inputs: {resource: lake, remote_dir: orders}
    """

    Outputs = Outputs

    def run(self) -> dict[str, int]:
        """Look into one folder after the other."""
        peer: AnyFiles = self.ctx.connectors.get(kind="acme_remote", name=self.args.resource)
        pending, files, size = [self.args.remote_dir], 0, 0
        while pending:
            self.ctx.check_cancelled()
            folder = pending.pop()
            for entry in peer.entries(folder):
                if entry.is_dir:
                    pending.append(peer.join(folder, entry.name))
                else:
                    files, size = files + 1, size + (entry.size or 0)
            self.ctx.progress(files, unit="files")
        return {"files": files, "size": size}
