"""Helpers shared by the unit and the system tests of test_core_connector_cache.py."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from aetherflow.core import api

if TYPE_CHECKING:
    from core_project import Project

from typing import TYPE_CHECKING

EVENTS: list[str] = []


SEEN: list[Any] = []


class Counted(api.ConnectorBase[Any, Any]):
    """A connector that records in `EVENTS` when it is opened, interrupted and closed."""

    def __init__(self, init: api.ConnectorInit) -> None:
        super().__init__(init)
        EVENTS.append(f"open {init.name}")

    def close(self) -> None:
        EVENTS.append(f"close {self.name}")

    def interrupt(self) -> None:
        EVENTS.append(f"interrupt {self.name}")


class Uses(api.Step[Any]):
    """A step that gets every resource twice."""

    def run(self) -> None:
        for name in self.ctx.connectors:
            SEEN.append(self.ctx.connectors[name])
            assert self.ctx.connectors.get(kind="test", name=name, cache=self.inputs.get("cache")) is not None
        EVENTS.append("end of step")


def flow(project: "Project", options: str = "{}", inputs: str = "{}", host: str = "h") -> Path:
    return project.flow(
        f"resources: {{r: {{kind: test, driver: counted, config: {{host: {host}}}, options: {options}}}}}\n"
        f"jobs: [{{id: a, steps: [{{id: s, type: uses, inputs: {inputs}}}]}}]\n"
    )
