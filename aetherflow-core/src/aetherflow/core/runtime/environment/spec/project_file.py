"""The project file `aetherflow.yaml` as a whole; apart, since defining its models costs the starts without them."""

from pydantic import Field

from aetherflow.core.runtime.environment.spec.notify import NotifySpec
from aetherflow.core.runtime.environment.spec.project import ProjectSpec
from aetherflow.core.runtime.environment.spec.retention import RetentionSpec


class ProjectFileSpec(ProjectSpec):
    """The whole document `aetherflow.yaml`, the project file."""

    notify: list[NotifySpec] = Field([], description="What is told of runs and slots, to whom, and when")
    retention: RetentionSpec | None = Field(None, description="How long is kept what runs leave behind")
