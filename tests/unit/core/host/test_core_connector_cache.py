"""How long connectors live: the cache scopes run, process and none, and who decides."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from core_connector_cache import EVENTS, SEEN, Counted, Uses, flow

from aetherflow.core import api, runner
from aetherflow.core.base.redact import Redactor
from aetherflow.core.contracts.connector import ConnectorInit
from aetherflow.core.host import catalog
from aetherflow.core.host.connecting import create_connector
from aetherflow.core.runtime.connectors.connections import RunConnectors
from aetherflow.core.runtime.connectors.context import ConnectorsRun
from aetherflow.core.runtime.connectors.shared_connectors import SHARED
from aetherflow.core.runtime.workspace.assets import Assets
from aetherflow.core.runtime.workspace.engine_files import EngineFiles
from aetherflow.core.runtime.workspace.workspace import DatabaseFolder

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


RUN = ["open r", "end of step", "close r"]
NONE = ["open r", "open r", "end of step", "close r", "close r"]
PROCESS = ["open r", "end of step"]


@pytest.mark.parametrize(
    ("call", "disabled", "options", "default", "expected"),
    [
        ("{}", "", "{}", "", RUN),
        ("{}", "", "{}", "none", NONE),
        ("{}", "", "{}", "process", PROCESS),
        ("{}", "", "{cache: none}", "process", NONE),
        ("{}", "", "{cache: process}", "none", PROCESS),
        ("{}", "", "{cache: run}", "none", RUN),
        ("{}", "", "{cache: forever}", "none", RUN),
        ("{}", "true", "{cache: process}", "process", NONE),
        ("{cache: run}", "true", "{}", "", ["open r", "open r", "end of step", "close r", "close r"]),
        ("{cache: nonsense}", "", "{}", "", RUN),
    ],
)
def test_who_decides(
    project: "Project", call: str, disabled: str, options: str, default: str, expected: list[str]
) -> None:
    env = dict(project.env)
    if disabled:
        env["AETHERFLOW_CONNECTOR_CACHE_DISABLED"] = disabled
    if default:
        env["AETHERFLOW_CONNECTOR_CACHE_DEFAULT"] = default
    runner.run_flow(flow(project, options, call), env=env)
    assert expected == EVENTS


def test_a_call_wins_over_all(project: "Project") -> None:
    env = {**project.env, "AETHERFLOW_CONNECTOR_CACHE_DISABLED": "1"}
    path = flow(project, "{cache: none}", "{cache: process}")
    runner.run_flow(path, env=env)
    assert EVENTS == ["open r", "open r", "end of step", "close r"], "one for `[…]`, which stays none; one shared"


def test_process_shares_what_is_configured_the_same(project: "Project") -> None:
    env = {**project.env, "AETHERFLOW_CONNECTOR_CACHE_DEFAULT": "process"}
    runner.run_flow(flow(project), env=env)
    runner.run_flow(flow(project), env=env)
    runner.run_flow(flow(project, host="other"), env=env)
    runner.run_flow(flow(project), env={**env, "AETHERFLOW_WORK_ROOT": str(project.work) + "2"})
    assert EVENTS.count("open r") == 3
    first, same, other, elsewhere = SEEN
    assert first is same
    assert len({id(each) for each in (first, other, elsewhere)}) == 3
    assert first.ctx.database_path("x") == str(project.work / "f/x")
    assert not hasattr(first.ctx, "job_dir"), "it outlives the run and knows none"
    SHARED.close()
    assert EVENTS.count("close r") == 3


def test_interrupt_reaches_every_scope(tmp_path: Path) -> None:
    resources = {
        name: {"kind": "test", "driver": "counted", "config": {}, "options": {"cache": name}}
        for name in ("run", "process", "none")
    }
    folder = DatabaseFolder(tmp_path, Assets(tmp_path, tmp_path), EngineFiles((), ()))
    context = ConnectorsRun(folder, api.Settings(), Redactor())
    connectors = RunConnectors(resources, context, catalog.installed_catalog())
    assert list(connectors.keys()) == ["run", "process", "none"]
    for name in resources:
        _ = connectors[name]
    EVENTS.clear()
    connectors.interrupt()
    connectors.close()
    assert sorted(EVENTS) == ["close none", "close run", "interrupt none", "interrupt process", "interrupt run"]


class Positional:
    def __init__(self, settings: Any, extra: Any) -> None:
        self.given = settings, extra


class Keyword:
    def __init__(self, *, config: Any, options: Any = None) -> None:
        self.given = config, options


class Slots:
    __slots__ = ("given",)

    def __init__(self, config: Any, options: Any) -> None:
        self.given = config, options


class OnInit:
    def __init__(self, init: ConnectorInit, retries: int = 3) -> None:
        self.given = dict(init.config), dict(init.options)


class OldChild(api.ConnectorBase[Any, Any]):
    def __init__(self, config: Any, options: Any) -> None:
        self.given = config, options


class Fails:
    def __init__(self, init: ConnectorInit) -> None:
        raise TypeError("a mistake of its own")


@pytest.mark.parametrize("cls", [Positional, Keyword, Slots, OnInit, OldChild])
def test_constructors_are_told_by_their_signature(cls: Any) -> None:
    init = ConnectorInit("n", "k", "d", {"a": 1}, {"b": 2})
    found = create_connector(cls, init)
    assert found.given == ({"a": 1}, {"b": 2})
    if cls is not Slots:
        assert (found.name, found.kind, found.driver, found.config, found.options) == (
            "n",
            "k",
            "d",
            {"a": 1},
            {"b": 2},
        )


def test_an_error_of_a_constructor_is_no_hint() -> None:
    with pytest.raises(TypeError, match="a mistake of its own"):
        create_connector(Fails, ConnectorInit("n", "k", "d", {}, {}))
