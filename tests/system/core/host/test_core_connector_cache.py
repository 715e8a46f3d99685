"""How long connectors live: the cache scopes run, process and none, and who decides."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from core_connector_cache import EVENTS, SEEN, Counted, Uses

from aetherflow.core import api
from aetherflow.core.host import catalog
from aetherflow.core.runtime.connectors.shared_connectors import SHARED

if TYPE_CHECKING:
    from core_project import Project


@pytest.fixture(autouse=True)
def plugins(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(catalog, "_registered", {group: dict(known) for group, known in catalog._registered.items()})
    api.register_connector("test", "counted")(Counted)
    api.register_step("uses")(Uses)
    EVENTS.clear()
    SEEN.clear()
    yield
    SHARED.close()


def test_process_connectors_are_closed_when_the_process_ends(project: "Project") -> None:
    folder = project.folder / "lib"
    folder.mkdir()
    (folder / "own.py").write_text(
        "from aetherflow.core.api import ConnectorBase, Step, register_connector, register_step\n\n\n"
        "@register_connector('test', 'own')\nclass Own(ConnectorBase):\n"
        "    def close(self):\n        print('closed', self.name, flush=True)\n\n\n"
        "@register_step('own')\nclass Uses(Step):\n"
        "    def run(self):\n        self.ctx.connectors['r']\n"
    )
    project.flow(
        "resources: {r: {kind: test, driver: own, options: {cache: process}}}\n"
        "jobs: [{id: a, steps: [{id: s, type: own}]}]\n"
    )
    done = project.command("run", "flow.yaml", env={"AETHERFLOW_PLUGIN_PATHS": str(folder)})
    assert done.code == 0, done.err
    assert done.out.endswith("closed r\n")
