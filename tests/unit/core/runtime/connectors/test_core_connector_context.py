"""What a connector knows of the run: `init.ctx` in a run, a dry run, a probe, and for the source of a bundle."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from aetherflow.core import api, runner
from aetherflow.core.contracts.connector import ConnectorContext
from aetherflow.core.host import catalog
from aetherflow.core.runtime.connectors.shared_connectors import SHARED

if TYPE_CHECKING:
    from core_project import Project

SEEN: list[ConnectorContext] = []


class Legacy:
    """A connector whose constructor takes config and options alone."""

    ctx: ConnectorContext

    def __init__(self, config: Any, options: Any) -> None:
        self.given = config, options


class Knows(api.ConnectorBase[Any, Any]):
    """A connector that keeps what it is built with, and logs when it is asked."""

    def __init__(self, init: api.ConnectorInit) -> None:
        super().__init__(init)
        assert init.ctx is not None
        SEEN.append(init.ctx)

    def say(self) -> None:
        """Log a line, as a driver does."""
        assert self.ctx is not None
        self.ctx.log.warning("asked for %s", self.ctx.run_id)

    def probe(self) -> None:
        """Answer `doctor --connect`."""


class Asks(api.Step[Any]):
    """A step that asks the connector, in a run and in a dry run."""

    def run(self) -> None:
        self.ctx.connectors["r"].say()

    def plan(self) -> list[str]:
        self.run()
        return ["asks"]


class AsksLegacy(api.Step[Any]):
    """A step that asks the connector of the legacy form."""

    def run(self) -> dict[str, Any]:
        ctx = self.ctx.connectors["r"].ctx
        return {"is": [ctx.flow_id, ctx.run_id, ctx.settings.mode]}


class Source(api.BundleSource[api.BundleSourceConfig]):
    """A bundle source that has nothing."""

    resource_kind = "test"

    def list(self) -> Iterator[api.RemoteFileMeta]:
        self.connector.say()
        return iter(())

    def fetch(self, rel_path: str, target: Any) -> None:
        raise NotImplementedError


@pytest.fixture(autouse=True)
def plugins(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(catalog, "_registered", {group: dict(known) for group, known in catalog._registered.items()})
    api.register_connector("test", "knows")(Knows)
    api.register_connector("test", "legacy")(Legacy)
    api.register_step("asks")(Asks)
    api.register_step("asks.legacy")(AsksLegacy)
    catalog._registered["aetherflow.bundle_sources"]["nothing"] = Source
    SEEN.clear()
    yield
    SHARED.close()


def write(project: "Project", step: str = "asks", driver: str = "knows") -> None:
    project.flow(
        f"resources: {{r: {{kind: test, driver: {driver}}}}}\njobs: [{{id: a, steps: [{{id: s, type: {step}}}]}}]\n"
    )


@pytest.mark.parametrize(("scope", "run_id"), [("run", "one"), ("none", "one"), ("process", None)])
def test_a_run(project: "Project", scope: str, run_id: str | None) -> None:
    write(project)
    env = {**project.env, "AETHERFLOW_CONNECTOR_CACHE_DEFAULT": scope, "AETHERFLOW_STEP_LOG_BYTES": "50000"}
    summary = runner.run_flow(project.folder / "flow.yaml", run_id="one", env=env)
    (ctx,) = SEEN
    assert (ctx.flow_id, ctx.run_id) == ("f", run_id)
    assert (ctx.settings.step_log_bytes, ctx.settings.work_root) == (50000, str(project.work))
    assert ctx.database_path("x") == str(project.work / "f/x")
    assert ctx.asset_path("key.pem") == str(project.folder / "key.pem")
    events = map(json.loads, Path(summary.log_path).read_text().splitlines())
    (told,) = (event for event in events if event["event"] == "log")
    assert (told["message"], told["step_id"], told["logger"]) == (f"asked for {run_id}", "s", "aetherflow.flow.f")


def test_the_legacy_form_has_it_too(project: "Project") -> None:
    write(project, "asks.legacy", "legacy")
    runner.run_flow(project.folder / "flow.yaml", run_id="one", env=project.env)
    assert json.loads(project.rows("select outputs from step_runs")[0][0]) == {"is": ["f", "one", "internal_fast"]}


def test_a_dry_run_makes_no_folder(project: "Project") -> None:
    write(project)
    runner.plan_flow(project.folder / "flow.yaml", run_id="one", env=project.env, effects=True)
    (ctx,) = SEEN
    assert (ctx.flow_id, ctx.run_id) == ("f", "one")
    assert ctx.database_path("x") == str(project.work / "f/x")
    assert not project.work.exists()


def test_a_probe(project: "Project") -> None:
    write(project)
    done = project.cli("doctor", "flow.yaml", "--connect")
    (ctx,) = SEEN
    assert (ctx.flow_id, ctx.run_id, ctx.settings.mode) == ("f", None, "internal_fast"), done.out
    ctx.log.info("nothing fails")


def test_the_source_of_a_bundle(project: "Project") -> None:
    project.write(
        "version: 1\nbundle: {id: b, entry_flow: flow.yaml, layout: {profiles_file: p.yaml},\n"
        "  source: {type: nothing, resource: r}}\n"
        "resources: {r: {kind: test, driver: knows}}\n",
        "manifest.yaml",
    )
    done = project.cli("bundle", "sync", "--bundle-manifest", "manifest.yaml")
    assert SEEN, done.err
    (ctx,) = SEEN
    assert (ctx.flow_id, ctx.run_id, ctx.log.name) == (None, None, "aetherflow")
    assert ctx.database_path("x") == str(project.folder / "x")
