"""The project file `aetherflow.yaml` as a whole; apart, since defining its models costs the starts without them."""

from pydantic import Field

from aetherflow.core.kernel.yaml.spec import SpecModel
from aetherflow.core.runtime.environment.spec.notify import NotifySpec
from aetherflow.core.runtime.environment.spec.project import ProjectSpec
from aetherflow.core.runtime.environment.spec.retention import RetentionSpec


class ArtifactsSpec(SpecModel):
    """Where the artifacts of runs are copied to, so that a run can go on at a host with another work root."""

    resource: str = Field(min_length=1, description="Resource of this file that reaches files, such as kind sftp")
    path: str = Field("", description="Folder there; in it each run has one of its own")


class ProjectFileSpec(ProjectSpec):
    """The whole document `aetherflow.yaml`, the project file."""

    notify: list[NotifySpec] = Field([], description="Rules for notifications of runs and slots")
    artifacts: ArtifactsSpec | None = Field(None, description="Copies of artifacts for other hosts")
    retention: RetentionSpec | None = Field(None, description="How long is kept what runs leave behind")
