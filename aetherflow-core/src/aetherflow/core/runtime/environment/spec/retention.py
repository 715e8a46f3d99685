"""How long is kept what runs leave behind: `retention:` of the project file."""

from typing import Annotated

from pydantic import AfterValidator, Field

from aetherflow.core.kernel.yaml.spec import SpecModel
from aetherflow.core.runtime.environment.spec.span import Span, seconds_of

DAY = 86_400


def _a_day(value: str) -> str:
    if seconds_of(value) < DAY:
        raise ValueError(f"{value!r} is less than a day: what ran yesterday is still asked for")
    return value


class RetentionSpec(SpecModel):
    """What `runs prune` and the scheduler's `prune` delete; what is not named here is kept."""

    runs: Span | None = Field(None, description="Age, 90d, from which on runs go, with their logs and stored outputs")
    logs: Span | None = Field(None, description="Age, 30d, from which on the logs of a run go; its history stays")
    failed_workspaces: Span | None = Field(
        None, description="Age, 7d, from which on the job folders of a run that ended badly go"
    )
    slots: Annotated[Span, AfterValidator(_a_day)] | None = Field(
        None, description="Age, 400d, from which on the scheduler forgets slots; at least 1d"
    )
