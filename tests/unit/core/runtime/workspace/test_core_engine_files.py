"""The engine's own files under state root and work root: no flow, step or connector may write there."""

import os
from typing import TYPE_CHECKING

import pytest

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


@pytest.mark.parametrize("flow_id", ["registry", "locks", "notify", "bundles"])
def test_ids_whose_files_would_be_the_engines(project: "Project", flow_id: str) -> None:
    write(project, flow_id)
    for command in ("validate", "run", "plan", "doctor"):
        done = project.cli(command, "flow.yaml")
        assert (done.code, "AF1222" in done.out + done.err) == (2, True), done
        assert f"flow.id leads to {project.folder}" in done.out + done.err
    assert not project.work.exists()
    assert project.cli("runs", "list").code == 0


@pytest.mark.parametrize(
    "head",
    [
        ", state: {path: STATE/registry.sqlite}",
        ", state: {path: STATE/locks.sqlite-wal}",
        ", state: {path: STATE/notify.sqlite.d/locks.sqlite}",
        ", state: {path: STATE/scheduler/mine.sqlite}",
        ", state: {path: STATE/servers/db/x.sqlite}",
        ", state: {path: STATE/../state/locks.sqlite}",
        ", state: {path: WORK/bundles/b/state.sqlite}",
        ", workspace: {root: WORK/bundles}",
        ", workspace: {root: WORK/bundles/nightly/versions}",
        ", workspace: {root: STATE/scheduler}",
        ", workspace: {root: link}",
    ],
)
def test_places_that_are_the_engines(project: "Project", head: str) -> None:
    (project.folder / "link").symlink_to(project.work / "bundles")
    head = head.replace("STATE", str(project.states)).replace("WORK", str(project.work))
    write(project, head=head)
    for command in ("validate", "run"):
        done = project.cli(command, "flow.yaml")
        assert (done.code, "AF1222 flow." in done.out + done.err) == (2, True), done


def test_a_place_that_only_a_run_knows(project: "Project") -> None:
    root = "{root: '{{params.root}}'}, params: {root: {type: string}}"
    write(project, head=f", workspace: {root}")
    assert project.cli("validate", "flow.yaml").code == 0
    done = project.cli("run", "flow.yaml", "--param", f"root={project.work}/bundles")
    assert (done.code, "AF1222 flow.workspace.root leads to" in done.err) == (2, True), done


def test_another_name_of_a_store(project: "Project") -> None:
    write(project)
    assert project.cli("run", "flow.yaml", "-q").code == 0
    os.link(project.states / "registry.sqlite", project.folder / "mine.sqlite")
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
    "path", ["WORK/bundles/nightly/history.jsonl", "STATE/registry.sqlite", "STATE/scheduler/x.sqlite"]
)
def test_steps_write_to_none(project: "Project", monkeypatch: pytest.MonkeyPatch, path: str, strict: str) -> None:
    monkeypatch.setenv("AETHERFLOW_STRICT_SANDBOX", strict)
    project.write("paths: {write: [state]}\n", "aetherflow.yaml")
    write(project)
    assert project.cli("run", "flow.yaml", "-q").code == 0
    store = project.work / "bundles/nightly"
    store.mkdir(parents=True)
    (store / "history.jsonl").write_text("{}\n")
    before = contents(store)
    path = path.replace("WORK", str(project.work)).replace("STATE", str(project.states))
    write(project, inputs=f"{{path: '{path}', content: mine}}")
    done = project.cli("run", "flow.yaml")
    assert (done.code, "the engine's own" in done.out + done.err) == (1, True), done
    assert contents(store) == before
    assert project.cli("runs", "list").code == 0
    assert not (project.states / "scheduler").exists()


@pytest.mark.parametrize(
    ("resource", "step", "inputs"),
    [
        (
            "{kind: db, driver: sqlite3, config: {path: STATE/registry.sqlite}}",
            "db_execute",
            "{resource: r, sql: DELETE FROM runs}",
        ),
        (
            "{kind: sftp, driver: local, config: {root: STATE}}",
            "sftp_list_files",
            "{resource: r, remote_dir: .}",
        ),
        (
            "{kind: sftp, driver: local, config: {root: WORK}}",
            "sftp_list_files",
            "{resource: r, remote_dir: .}",
        ),
    ],
)
def test_connectors_write_to_none(project: "Project", resource: str, step: str, inputs: str) -> None:
    write(project, "other")
    assert project.cli("run", "flow.yaml", "-q").code == 0
    resource = resource.replace("STATE", str(project.states)).replace("WORK", str(project.work))
    write(project, step=step, inputs=inputs, resources=f"{{r: {resource}}}")
    for command in ("validate", "doctor"):
        checked = project.cli(command, "flow.yaml")
        assert (checked.code, "AF1222 resources.r.config." in checked.out + checked.err) == (2, True), checked
    done = project.cli("run", "flow.yaml")
    assert (done.code, "the engine's own" in done.out + done.err) == (1, True), done
    assert "other" in project.cli("runs", "list").out


def test_files_of_ones_own_may_stand_beside_them(project: "Project") -> None:
    for flow_id in ("registry2", "lock", "scheduler", "servers", "notify_all", "bundle"):
        write(project, flow_id)
        assert project.cli("run", "flow.yaml", "-q").code == 0, flow_id
