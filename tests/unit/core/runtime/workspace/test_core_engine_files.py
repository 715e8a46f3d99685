"""The engine's own files under state root and work root: no flow, step or connector may write there."""

import os
from typing import TYPE_CHECKING

import pytest
from core_bundle_store import MANIFEST, TREE, publish

if TYPE_CHECKING:
    from pathlib import Path

    from core_project import Project

FLOW = """\
version: 1
flow: {{id: {id}{head}}}
resources: {resources}
jobs: [{{id: j, steps: [{{id: s, type: {step}, inputs: {inputs}}}]}}]
"""


@pytest.fixture(autouse=True)
def _here(project: "Project", monkeypatch: pytest.MonkeyPatch) -> None:
    project.enter(monkeypatch)


def write(
    project: "Project",
    flow_id: str = "f",
    head: str = "",
    step: str = "file_write",
    inputs: str = "{path: x, content: mine}",
    resources: str = "{}",
) -> None:
    project.write(FLOW.format(id=flow_id, head=head, step=step, inputs=inputs, resources=resources))


def contents(folder: "Path") -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("flow_id", ["registry", "locks", "notify", "scheduler", "bundles", "engine", "servers"])
def test_every_id_is_free(project: "Project", flow_id: str) -> None:
    write(project, flow_id, ", locks: {scope: flow}")
    for command in ("validate", "run", "plan", "doctor"):
        done = project.cli(command, "flow.yaml")
        assert done.code == 0, done
    (state,) = project.states.glob("*.sqlite")
    assert state.name == f"{flow_id}.sqlite"
    assert (project.states / "engine").stat().st_mode & 0o777 == 0o700
    assert project.cli("status").code == 0
    (project.states / "engine/registry.sqlite").unlink()
    assert flow_id in project.cli("runs", "list").out


@pytest.mark.parametrize(
    "head",
    [
        ", state: {path: STATE/engine/registry.sqlite}",
        ", state: {path: STATE/engine/locks.sqlite-wal}",
        ", state: {path: STATE/engine/notify.sqlite.d/locks.sqlite}",
        ", state: {path: STATE/engine/scheduler/mine.sqlite}",
        ", state: {path: STATE/engine/mine.sqlite}",
        ", state: {path: STATE/servers/db/x.sqlite}",
        ", state: {path: STATE/../state/engine/x.sqlite}",
        ", workspace: {root: STATE/engine}",
        ", workspace: {root: STATE/engine/bundles/nightly/versions}",
        ", workspace: {root: link}",
    ],
)
def test_places_that_are_the_engines(project: "Project", head: str) -> None:
    (project.folder / "link").symlink_to(project.states / "engine")
    write(project, head=head.replace("STATE", str(project.states)))
    for command in ("validate", "run"):
        done = project.cli(command, "flow.yaml")
        assert (done.code, "AF1222 flow." in done.out + done.err) == (2, True), done


def test_a_workspace_that_is_the_engines_folder(project: "Project", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AETHERFLOW_WORK_ROOT", str(project.states))
    write(project, "engine")
    done = project.cli("validate", "flow.yaml")
    assert (done.code, "AF1222 flow.id leads to" in done.out) == (2, True), done


def test_a_place_that_only_a_run_knows(project: "Project") -> None:
    root = "{root: '{{params.root}}'}, params: {root: {type: string}}"
    write(project, head=f", workspace: {root}")
    assert project.cli("validate", "flow.yaml").code == 0
    done = project.cli("run", "flow.yaml", "--param", f"root={project.states}/engine")
    assert (done.code, "AF1222 flow.workspace.root leads to" in done.err) == (2, True), done


def test_another_name_of_a_store(project: "Project") -> None:
    write(project)
    assert project.cli("run", "flow.yaml", "-q").code == 0
    os.link(project.states / "engine/registry.sqlite", project.folder / "mine.sqlite")
    write(project, "g", f", state: {{path: {project.folder}/mine.sqlite}}")
    done = project.cli("run", "flow.yaml")
    assert (done.code, "AF1222" in done.err) == (2, True), done


def test_the_lock_store_of_the_settings(project: "Project", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AETHERFLOW_LOCK_STORE", str(project.folder / "shared.sqlite"))
    write(project, head=f", state: {{path: {project.folder}/shared.sqlite}}")
    done = project.cli("validate", "flow.yaml")
    assert (done.code, "AF1222 flow.state.path" in done.out) == (2, True), done


@pytest.mark.parametrize("strict", ["true", "false"])
@pytest.mark.parametrize(
    "path",
    ["STATE/engine/bundles/w/nightly/history.jsonl", "STATE/engine/registry.sqlite", "STATE/engine/scheduler/x.sqlite"],
)
def test_steps_write_to_none(project: "Project", monkeypatch: pytest.MonkeyPatch, path: str, strict: str) -> None:
    monkeypatch.setenv("AETHERFLOW_STRICT_SANDBOX", strict)
    project.write("paths: {write: [state]}\n", "aetherflow.yaml")
    write(project)
    assert project.cli("run", "flow.yaml", "-q").code == 0
    store = project.states / "engine/bundles/w/nightly"
    store.mkdir(parents=True)
    (store / "history.jsonl").write_text("{}\n")
    before = contents(store)
    path = path.replace("STATE", str(project.states))
    write(project, inputs=f"{{path: '{path}', content: mine}}")
    done = project.cli("run", "flow.yaml")
    assert (done.code, "the engine's own" in done.out + done.err) == (1, True), done
    assert contents(store) == before
    assert project.cli("runs", "list").code == 0
    assert not (project.states / "engine/scheduler").exists()


@pytest.mark.parametrize(
    ("resource", "step", "inputs"),
    [
        (
            "{kind: db, driver: sqlite3, config: {path: STATE/engine/registry.sqlite}}",
            "db_execute",
            "{resource: r, sql: DELETE FROM runs}",
        ),
        (
            "{kind: sftp, driver: local, config: {root: STATE}}",
            "sftp_list_files",
            "{resource: r, remote_dir: .}",
        ),
        (
            "{kind: sftp, driver: local, config: {root: STATE/engine/bundles}}",
            "sftp_list_files",
            "{resource: r, remote_dir: .}",
        ),
    ],
)
def test_connectors_write_to_none(project: "Project", resource: str, step: str, inputs: str) -> None:
    write(project, "other")
    assert project.cli("run", "flow.yaml", "-q").code == 0
    resource = resource.replace("STATE", str(project.states))
    write(project, step=step, inputs=inputs, resources=f"{{r: {resource}}}")
    for command in ("validate", "doctor"):
        checked = project.cli(command, "flow.yaml")
        assert (checked.code, "AF1222 resources.r.config." in checked.out + checked.err) == (2, True), checked
    done = project.cli("run", "flow.yaml")
    assert (done.code, "the engine's own" in done.out + done.err) == (1, True), done
    assert "other" in project.cli("runs", "list").out


def test_bundle_stores_that_hosts_share(project: "Project") -> None:
    publish(project, TREE)
    project.write(MANIFEST, "bundle.yaml")
    shared = project.folder / "shared"
    shared.mkdir()
    (project.states / "engine").mkdir(parents=True, mode=0o700)
    (project.states / "engine/bundles").symlink_to(shared)
    assert project.cli("run", "--bundle-manifest", "bundle.yaml", "-q").code == 0
    assert len(list(shared.glob("*/nightly/active"))) == 1
    write(project, head=f", workspace: {{root: {shared}}}")
    done = project.cli("validate", "flow.yaml")
    assert (done.code, "AF1222 flow.workspace.root leads to" in done.out) == (2, True), done
