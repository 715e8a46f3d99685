"""The project file `aetherflow.yaml` as a whole; apart, since defining its models costs the starts without rules."""

from pydantic import Field

from aetherflow.core.runtime.environment.spec.notify import NotifySpec
from aetherflow.core.runtime.environment.spec.project import ProjectSpec


class ProjectFileSpec(ProjectSpec):
    """The whole document `aetherflow.yaml`, the project file."""

    notify: list[NotifySpec] = Field([], description="What is told of runs and slots, to whom, and when")
