"""Folder plugins, written as the documented Python API says, run unchanged; and what a plugin path may hold."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from core_folder_plugins import STEP, one_step, said

from aetherflow.core import runner, validation
from aetherflow.core.api import get_step, list_steps
from aetherflow.core.base.errors import PluginFileError, PluginNotFoundError, PluginPathError
from aetherflow.core.host import catalog

if TYPE_CHECKING:
    from core_project import Project

DOCUMENTED = '''\
"""Steps and a connector, written after the documented API."""
from __future__ import annotations

from dataclasses import dataclass

from aetherflow.core.api import (
    STEP_SKIPPED,
    STEP_SUCCESS,
    ConnectorBase,
    ConnectorInit,
    RemoteFileMeta,
    RunContext,
    Settings,
    Step,
    StepResult,
    get_connector,
    get_step,
    list_connectors,
    list_steps,
    new_run_id,
    register_connector,
    register_step,
    require,
    require_attr,
)


@dataclass
class Note:
    text: str | None = None


@register_step("acme_dict")
class AcmeDict(Step):
    required_inputs = {"name"}

    def run(self):
        self.validate()
        assert isinstance(self.ctx, RunContext)
        assert isinstance(self.ctx.settings, Settings)
        return {"greeting": f"hello {self.inputs['name']}", "note": Note("kept").text}


@register_step("acme_none")
class AcmeNone(Step):
    def run(self):
        return None


@register_step("acme_result")
class AcmeResult(Step):
    def run(self):
        return StepResult(status=STEP_SKIPPED, output={"n": 0}, reason="nothing new")


@register_connector("sftp", "acme")
class AcmeSftp(ConnectorBase):
    def __init__(self, init: ConnectorInit):
        super().__init__(init)
        self.closed = 0

    def list(self, path):
        return [RemoteFileMeta(rel_path="a.csv", path=path + "/a.csv", name="a.csv", size=3)]

    def close(self):
        self.closed += 1


@register_connector(kind="rest", driver="acme")
class AcmeRest:
    """As the first connectors were written: no base class, config and options."""

    def __init__(self, config, options):
        self.config = config
        self.options = options


@register_connector("mail", "acme")
class AcmeBare(ConnectorBase):
    pass


@register_step("acme_uses")
class AcmeUses(Step):
    def run(self):
        ctx = self.ctx
        with ctx.connectors.sftp("files") as sftp:
            names = [entry.name for entry in sftp.list("/in")]
        rest = ctx.connectors.get(kind="rest", name="web")
        assert ctx.connectors["web"] is rest
        assert ctx.connectors.rest("web", cache="none") is not rest
        mail = ctx.connectors.mail("post")
        assert ctx.resources["web"]["driver"] == "acme"
        assert ctx.env["AETHERFLOW_LOCAL_ROOT_DIR"]
        for folder in (ctx.job_dir, ctx.artifacts_dir, ctx.scratch_dir, ctx.manifests_dir):
            assert folder(self.job_id).is_dir()
        assert ctx.acquire_lock("key", 60) and ctx.acquire_lock("key", ttl_seconds=60)
        ctx.release_lock("key")
        ctx.release_lock("key")
        state = ctx.state
        assert state.get_step_status(self.job_id, ctx.run_id, self.id) == "RUNNING"
        assert state.get_step_status(self.job_id, ctx.run_id, "gone") is None
        assert state.acquire_lock("other", ctx.run_id, ttl_seconds=600)
        assert not state.acquire_lock("other", "somebody")
        state.release_lock("other", ctx.run_id)
        assert "acme_uses" in list_steps() and get_step("acme_uses") is type(self)
        assert "rest:acme" in list_connectors() and get_connector("rest", "acme") is AcmeRest
        assert require("json").dumps and require("json:dumps") and require_attr("json", "dumps")
        assert len(new_run_id()) == 12
        refused = []
        for call in (
            lambda: state.set_job_status(self.job_id, ctx.run_id, "SUCCESS"),
            lambda: state.set_step_status(self.job_id, ctx.run_id, self.id, "SUCCESS"),
            lambda: state.get_step_status(self.job_id, "another", self.id),
        ):
            try:
                call()
            except RuntimeError:
                raise
            except Exception as error:
                refused.append(str(error))
        ctx.log.info("done")
        return StepResult(STEP_SUCCESS, {
            "names": names, "url": rest.config["url"], "timeout": rest.options["timeout"],
            "kinds": [rest.kind, mail.kind, mail.name], "refused": refused,
        })
'''
FLOW = """\
resources:
  files: {kind: sftp, driver: acme, config: {host: h}}
  web: {kind: rest, driver: acme, config: {url: "http://x"}, options: {timeout: 3}}
  post: {kind: mail, driver: acme}
jobs:
  - id: main
    steps:
      - {id: hello, type: acme_dict, inputs: {name: you}, outputs: {said: "{{result.greeting}}"}}
      - {id: nothing, type: acme_none}
      - {id: skipped, type: acme_result}
      - {id: uses, type: acme_uses, inputs: {}}
"""


@pytest.fixture
def plugins(project: "Project", monkeypatch: pytest.MonkeyPatch) -> Path:
    """A plugin folder apart from the flow, and the flow in a folder of its own."""
    folder = project.folder / "plugins"
    folder.mkdir()
    (project.folder / "flows").mkdir()
    monkeypatch.setenv("AETHERFLOW_PLUGIN_PATHS", str(folder))
    monkeypatch.chdir(project.folder / "flows")
    monkeypatch.setattr(project, "folder", project.folder / "flows")
    return folder


def test_plugins_of_the_documented_api_run_unchanged(project: "Project", plugins: Path) -> None:
    (plugins / "acme.py").write_text(DOCUMENTED)
    project.flow(FLOW)
    before = list(sys.path)
    assert project.cli("validate", "flow.yaml").out == "OK: flow.yaml\n"
    done = project.cli("run", "flow.yaml", "--run-id", "one")
    assert done.code == 0, done.err + done.out
    assert sys.path == before
    outputs = {step: json.loads(text or "{}") for step, text in project.rows("SELECT step_id, outputs FROM step_runs")}
    assert outputs["hello"] == {"greeting": "hello you", "note": "kept"}
    assert outputs["nothing"] == {}
    assert outputs["skipped"] == {"n": 0, "reason": "nothing new"}
    uses = outputs["uses"]
    assert (uses["names"], uses["url"], uses["timeout"]) == (["a.csv"], "http://x", 3)
    assert uses["kinds"] == ["rest", "mail", "post"]
    assert [text.split(":")[0] for text in uses["refused"]] == [
        "a step cannot set the status of job main of run one to SUCCESS",
        "a step cannot set the status of step main.uses of run one to SUCCESS",
        "the state of run another is not open to a step of run one",
    ]
    assert "acme_dict" not in list_steps(), "what a folder registers counts for the runs that use it"
    with pytest.raises(PluginNotFoundError, match="Unknown step type: acme_dict"):
        get_step("acme_dict")
    assert '"acme_uses"' in project.cli("schema", "flow").out
    explained = json.loads(project.cli("explain", "flow.yaml", "--json").out)
    assert explained["resources"]["files"]["driver"] == "acme"
    project.flow("jobs: [{id: a, steps: [{id: s, type: acme_dict, inputs: {}}]}]\n")
    assert "lacks the key 'name'" in project.cli("validate", "flow.yaml").out


def test_files_packages_and_what_is_no_plugin(project: "Project", plugins: Path) -> None:
    own = STEP.format
    (plugins / "plain.py").write_text(
        "from ._helper import TEXT\n" + own(name="plain", said="x").replace("'x'", "TEXT")
    )
    (plugins / "_helper.py").write_text("TEXT = 'helped'\n")
    (plugins / ".hidden.py").write_text("raise RuntimeError('hidden')\n")
    for name in ("tests", ".git", "_private"):
        (plugins / name).mkdir()
        (plugins / name / "x.py").write_text("raise RuntimeError('no plugin')\n")
    package = plugins / "pkg"
    (package / "deep").mkdir(parents=True)
    (package / "__init__.py").write_text("from . import steps\nfrom .deep import more\n")
    (package / "steps.py").write_text("from __future__ import annotations\n" + own(name="packed", said="packed"))
    (package / "deep/more.py").write_text("from ..steps import Own as Other\n" + own(name="deep", said="deep"))
    (plugins / "group").mkdir()
    (plugins / "group/my-steps.v2.py").write_text(own(name="grouped", said="grouped"))
    for name, text in (("plain", "helped"), ("packed", "packed"), ("deep", "deep"), ("grouped", "grouped")):
        path = one_step(project, name)
        assert runner.run_flow(path, env=dict(project.env, AETHERFLOW_PLUGIN_PATHS=str(plugins))).status == "SUCCESS"
        assert said(project) == text
    assert not list(plugins.rglob("__pycache__"))


@pytest.mark.parametrize("kind", ["file", "package"])
def test_a_path_may_be_a_file_or_a_package(
    project: "Project", plugins: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (plugins / "broken.py").write_text("raise RuntimeError('not named')\n")
    path = plugins / ("own.py" if kind == "file" else "own")
    if kind == "package":
        path.mkdir()
        (path / "__init__.py").write_text("from .inner import VALUE\n")
        (path / "inner.py").write_text("VALUE = 1\n" + STEP.format(name="alone", said="alone"))
    else:
        path.write_text(STEP.format(name="alone", said="alone"))
    monkeypatch.setenv("AETHERFLOW_PLUGIN_PATHS", f" {path} ,")
    assert project.cli("run", str(one_step(project, "alone"))).code == 0
    assert said(project) == "alone"


def test_each_content_is_loaded_once(project: "Project", plugins: Path) -> None:
    count = f"from pathlib import Path\nwith Path({str(project.effects)!r}).open('a') as f: f.write('loaded\\n')\n"
    (plugins / "own.py").write_text(count + STEP.format(name="own", said="first"))
    path = one_step(project, "own")
    for _ in range(2):
        assert project.cli("validate", str(path)).code == 0
        assert project.cli("run", str(path)).code == 0
    assert project.lines() == ["loaded"]
    (plugins / "own.py").write_text(count + STEP.format(name="own", said="again"))
    assert project.cli("run", str(path)).code == 0
    assert (project.lines(), said(project)) == (["loaded"] * 2, "again")


def test_paths_of_one_run_do_not_leak_into_another(project: "Project", plugins: Path) -> None:
    other = plugins.with_name("other")
    other.mkdir()
    (plugins / "own.py").write_text(STEP.format(name="own", said="mine"))
    (other / "own.py").write_text(STEP.format(name="own", said="theirs"))
    path = one_step(project, "own")
    for folder, text in ((plugins, "mine"), (other, "theirs"), (plugins, "mine")):
        runner.run_flow(path, env={**project.env, "AETHERFLOW_PLUGIN_PATHS": str(folder)})
        assert said(project) == text
    with pytest.raises(ValueError, match="no installed distribution provides step 'own'"):
        runner.run_flow(path, env=project.env)


def test_strict_and_lenient(project: "Project", plugins: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (plugins / "broken.py").write_text("import not_there_at_all\n")
    (plugins / "half.py").write_text(STEP.format(name="half", said="half") + "\nraise SystemExit('enough')\n")
    (plugins / "own.py").write_text(STEP.format(name="own", said="mine"))
    gone = plugins / "gone"
    path = one_step(project, "own")
    with pytest.raises(RuntimeError, match=f"^Failed loading plugin file: {plugins}/broken.py: .*No module") as failed:
        runner.run_flow(path)
    assert isinstance(failed.value, PluginFileError)
    assert failed.value.fix == "install what provides 'not_there_at_all' into this Python's environment"
    report = project.cli("validate", str(path))
    assert report.code == 2
    assert (
        f"AETHERFLOW_PLUGIN_PATHS:1:1: AF2120 Failed loading plugin file: {plugins}/half.py: SystemExit" in report.out
    )
    assert project.cli("run", str(path)).code == 2
    monkeypatch.setenv("AETHERFLOW_PLUGIN_STRICT", "no")
    report = project.cli("validate", str(path))
    assert report.code == 0
    assert "AF2120 warning: Failed loading plugin file" in report.out
    done = project.cli("run", str(path))
    assert done.code == 0
    assert "Failed loading plugin file" in done.err
    assert (
        "no installed distribution provides step 'half'" in project.cli("validate", str(one_step(project, "half"))).out
    )
    monkeypatch.setenv("AETHERFLOW_PLUGIN_STRICT", "1")
    monkeypatch.setenv("AETHERFLOW_PLUGIN_PATHS", str(gone))
    with pytest.raises(FileNotFoundError, match=f"^Plugin path not found: {gone}$") as missing:
        runner.run_flow(path)
    assert isinstance(missing.value, PluginPathError)
    assert f"AF2121 Plugin path not found: {gone}" in project.cli("run", str(path)).err


def test_a_sibling_is_imported_relatively(project: "Project", plugins: Path) -> None:
    (plugins / "own.py").write_text("import helper\n")
    (plugins / "helper.py").write_text("")
    said = project.cli("validate", str(one_step(project, "own"))).out
    assert "write `from . import helper`: the folder of a plugin is not on sys.path" in said


def test_beside_the_flow_only_run_loads_them(project: "Project", monkeypatch: pytest.MonkeyPatch) -> None:
    folder = project.folder / "plugins"
    folder.mkdir()
    mark = project.folder / "mark"
    (folder / "own.py").write_text(
        f"open({str(mark)!r}, 'w').close()\n" + STEP.format(name="own", said="mine") + CONNECTOR
    )
    project.write("plugins: {paths: [plugins]}\n", "aetherflow.yaml")
    path = project.flow(
        "resources: {r: {kind: db, driver: own}}\n"
        "jobs: [{id: a, steps: [{id: s, type: own}, {id: t, type: zip, inputs: {}}]}]\n"
    )
    report = project.cli("validate", "flow.yaml")
    assert report.code == 2, "our own names are known without it"
    assert report.out.count("AF1703") == 3
    assert f"plugin path {folder} is not evaluated" in report.out
    assert "step 'own' is not known: it may be one of the folder plugins beside the flow" in report.out
    assert "connector db:own is not known" in report.out
    path = project.flow("resources: {r: {kind: db, driver: own}}\njobs: [{id: a, steps: [{id: s, type: own}]}]\n")
    assert project.cli("validate", "flow.yaml").code == 0
    for command in (("explain",), ("doctor",), ("doctor", "--connect")):
        done = project.cli(*command, "flow.yaml")
        assert f"plugin path {folder}" in done.out, command
    for name in ("list", "check"):
        assert f"Not evaluated: plugin path {folder}" in project.cli("plugins", name).out
    assert validation.validate_flow_yaml(path)["ok"]
    monkeypatch.setenv("AETHERFLOW_PLUGIN_PATHS", str(project.folder.parent))  # it is searched, and the flow is in it
    assert "is not evaluated" in project.cli("validate", "flow.yaml").out
    monkeypatch.delenv("AETHERFLOW_PLUGIN_PATHS")
    assert not mark.exists()
    assert project.cli("validate", "--run-hooks", "flow.yaml").out == "OK: flow.yaml\n"
    assert mark.exists()
    assert project.cli("run", "flow.yaml").code == 0
    assert "own.py:Own" in project.cli("plugins", "list", "--run-hooks", "--wide").out


CONNECTOR = """
from aetherflow.core.api import register_connector


@register_connector("db", "own")
class Db:
    def __init__(self, *, config, options):
        pass
"""


def test_over_an_installed_one(project: "Project", plugins: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (plugins / "own.py").write_text(STEP.format(name="check_items", said="mine"))
    path = one_step(project, "check_items")
    report = project.cli("validate", str(path))
    assert report.code == 0
    assert "AF2122 warning: step 'check_items' of the folder plugin" in report.out
    assert "takes the place of that of aetherflow-core 1.1.0" in report.out
    assert project.cli("run", str(path)).code == 0
    assert said(project) == "mine"
    rows = json.loads(project.cli("plugins", "list", "--json").out)["plugins"]
    statuses = {row["distribution"]: row["status"] for row in rows if row["name"] == "check_items"}
    assert statuses == {"aetherflow-core": "shadowed", "(folder)": "ok"}
    monkeypatch.setenv("AETHERFLOW_MODE", "enterprise")  # ambient paths are dropped
    report = project.cli("validate", str(path))
    assert "AF2122" not in report.out


def test_enterprise_refuses_to_override(plugins: Path) -> None:
    from aetherflow.core.base.errors import PluginOverrideError
    from aetherflow.core.host.catalog import Catalog
    from aetherflow.core.host.folder import load_folder_plugins
    from aetherflow.core.host.metadata import installed_plugins
    from aetherflow.core.host.rules import Rules

    (plugins / "own.py").write_text(STEP.format(name="check_items", said="mine") + STEP.format(name="fine", said="x"))
    found = Catalog(installed_plugins(), rules=Rules(allow=()), folder=load_folder_plugins([str(plugins)]))
    assert found.step("fine").__name__ == "Own"
    with pytest.raises(PluginOverrideError):
        found.step("check_items")
    with pytest.raises(PluginOverrideError):
        found.raise_if_broken()
    assert [found.status(entry) for entry in found.folder_entries] == ["refused", "ok"]


def test_two_folder_plugins_with_one_name(project: "Project", plugins: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (plugins / "a.py").write_text(STEP.format(name="own", said="before") + STEP.format(name="own", said="a"))
    (plugins / "b.py").write_text(STEP.format(name="own", said="b"))
    path = one_step(project, "own")
    report = project.cli("validate", str(path))
    assert f"AF2103 two folder plugins register step 'own': {plugins}/a.py and {plugins}/b.py" in report.out
    assert report.code == 2
    monkeypatch.setenv("AETHERFLOW_PLUGIN_STRICT", "false")
    assert project.cli("run", str(path)).code == 0
    assert said(project) == "b"


def test_the_class_has_to_be_one(project: "Project", plugins: Path) -> None:
    (plugins / "own.py").write_text(
        "from aetherflow.core.api import register_step\nregister_step('own')(print)\n"
        "@register_step('other')\nclass Other: pass\n"
    )
    for name in ("own", "other"):
        assert "is not a subclass of Step" in project.cli("validate", str(one_step(project, name))).out


def test_an_installed_module_that_registers_when_it_is_imported(
    project: "Project", plugins: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # it is imported once in the process, by whichever path comes first
    monkeypatch.setattr(catalog, "_registered", {group: dict(known) for group, known in catalog._registered.items()})
    project.module("acme_registers", STEP.format(name="imported", said="imported"))
    monkeypatch.syspath_prepend(str(project.site))
    path = one_step(project, "imported")
    for name in ("first", "second"):
        (plugins / f"{name}.py").write_text(f"# {name}\nimport acme_registers\n")
        runner.run_flow(path, env={**project.env, "AETHERFLOW_PLUGIN_PATHS": str(plugins / f"{name}.py")})
        assert said(project) == "imported"
