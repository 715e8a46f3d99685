"""The step `acme_fsspec_fetch`."""

from fnmatch import fnmatchcase
from typing import Annotated, Any

from pydantic import Field

from aetherflow.core.api import STEP_SKIPPED, ResourceRef, Step, StepInputs, StepOutputs, StepResult


class Inputs(StepInputs):
    """Inputs of `acme_fsspec_fetch`."""

    resource: Annotated[str, ResourceRef("acme_fsspec")] = Field(description="Name of the resource.")
    remote_dir: str = Field("", description="Folder at the peer; without it, the topmost one.")
    pattern: str = Field("*", description="Which files, by name: `*.csv`.")


class Outputs(StepOutputs):
    """Outputs of `acme_fsspec_fetch`."""

    files: list[str] = Field(description="Absolute paths of the files that were brought.")
    count: int = Field(description="Number of files.")


class Fetch(Step[Inputs]):
    """Brings files of a folder into the job; SKIPPED if no file matches.

    - id: fetch
      type: acme_fsspec_fetch
      inputs: {resource: inbox, pattern: "*.txt"}
    """

    Outputs = Outputs

    def run(self) -> StepResult:
        """Bring the files, one after the other."""
        peer: Any = self.ctx.connectors.get(kind="acme_fsspec", name=self.args.resource)
        wanted = [
            each
            for each in peer.list(self.args.remote_dir)
            if not each.is_dir and fnmatchcase(each.name, self.args.pattern)
        ]
        files = []
        for done, each in enumerate(wanted):
            self.ctx.check_cancelled()
            self.ctx.progress(done, len(wanted), "files")
            target = self.ctx.write_path(each.name)
            peer.download(each.path, target)
            self.ctx.artifact(target)  # recorded with its size and hash, so that a resumed run knows it
            files.append(str(target))
        if not files:
            return StepResult(STEP_SKIPPED, {"files": [], "count": 0}, f"no file matches {self.args.pattern}")
        return StepResult(output={"files": files, "count": len(files)})
