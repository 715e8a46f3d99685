"""Files that another user could have written: refused if they decide about code, secrets or rules; flows warned of."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from aetherflow.core.base.errors import AetherflowError, SpecError
from aetherflow.core.runtime.environment.snapshot import build_snapshot
from aetherflow.core.runtime.environment.trust import require_tree

if TYPE_CHECKING:
    from core_project import Project

STRANGER = 54321
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")


def put(project: "Project", text: str, name: str) -> Path:
    (project.folder / name).parent.mkdir(parents=True, exist_ok=True)
    return project.write(text, name)


def ran(name: str) -> str:
    """Code that leaves a file behind when it runs."""
    return f"open('ran-{name}', 'w').close()\n"


def prepared(project: "Project") -> dict[str, Path]:
    """A project that uses every kind of file; returns them by kind."""
    files = {
        "hook": put(project, ran("hook") + "def decode(v): return v\n", "outside/hook.py"),
        "plugin": put(project, "from .inner import _help\n" + ran("plugin"), "outside/plugins/steps.py"),
        "helper": put(project, ran("helper"), "outside/plugins/inner/_help.py"),
        "env": put(project, "A=1\n", "outside/site.env"),
        "secret": put(project, "x", "outside/secrets/TOKEN"),
        "profiles": put(project, "p: {config: {}}\n", "outside/profiles.yaml"),
    }
    files["project"] = put(
        project,
        "plugins: {paths: [outside/plugins]}\nsecrets: {path: outside/hook.py}\n"
        "env_files: [outside/site.env, outside/secrets/]\nprofiles_file: outside/profiles.yaml\n",
        "aetherflow.yaml",
    )
    files["flow"] = put(
        project,
        "version: 1\nflow: {id: one}\njobs: [{id: a, steps: [{id: b, type: file_write, inputs: "
        "{path: x, content: hi}}]}]\n",
        "flows/flow.yaml",
    )
    return files


def open_to_all(path: Path) -> None:
    path.chmod(0o666)


@pytest.mark.parametrize("kind", ["hook", "plugin", "helper", "env", "secret", "project"])
@pytest.mark.parametrize("command", ["validate", "plan", "run"])
def test_files_of_code_and_secrets_are_refused(project: "Project", kind: str, command: str) -> None:
    files = prepared(project)
    assert project.cli("validate", "flows/flow.yaml").code == 0
    for name in ("hook", "plugin", "helper"):
        (project.folder / f"ran-{name}").unlink()  # it has run, since nobody else may write it
    open_to_all(files[kind])
    result = project.cli(command, "flows/flow.yaml")
    assert result.code == 2
    assert "AF1601" in result.out + result.err
    assert f"chmod go-w {files[kind]}" in result.out + result.err
    assert not (project.folder / f"ran-{kind}").exists(), "its code ran"


@pytest.mark.parametrize("kind", ["flow", "profiles"])
def test_flows_and_profiles_are_warned_of_and_refused_in_enterprise_mode(
    project: "Project", kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = prepared(project)
    open_to_all(files[kind])
    result = project.cli("validate", "flows/flow.yaml")
    assert (result.code, result.out.count("AF1601 warning: ")) == (0, 1)
    monkeypatch.setenv("AETHERFLOW_MODE", "enterprise")
    result = project.cli("run", "flows/flow.yaml")
    assert (result.code, result.err.count("AF1601")) == (2, 1)


@as_root
def test_a_link_to_ones_own_project_file_in_a_strangers_folder(project: "Project", tmp_path: Path) -> None:
    """S1: the plugins that stand beside the link are the stranger's."""
    prepared(project)
    shared = tmp_path / "shared"
    (shared / "outside/plugins").mkdir(parents=True)
    (shared / "outside/plugins/evil.py").write_text(ran("evil"))
    (shared / "aetherflow.yaml").symlink_to(project.folder / "aetherflow.yaml")
    mine = shared / "mine"
    mine.mkdir()
    os.chown(shared, STRANGER, -1)
    with pytest.raises(SpecError, match=f"belongs to user {STRANGER}"):
        build_snapshot(mine, ambient={})
    os.chown(shared, 0, -1)
    shared.chmod(0o1777)
    os.chown(shared / "aetherflow.yaml", STRANGER, -1, follow_symlinks=False)
    with pytest.raises(SpecError, match=r"the link .* belongs to user"):
        build_snapshot(mine, ambient={})


def test_names_in_a_project_file_count_from_where_it_stands(project: "Project", tmp_path: Path) -> None:
    prepared(project)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "aetherflow.yaml").symlink_to(project.folder / "aetherflow.yaml")
    found = build_snapshot(elsewhere, ambient={})
    assert found.plugin_paths == (str(project.folder / "outside/plugins"),)
    assert found.env["A"] == "1"


def test_a_map_of_kubernetes(project: "Project", tmp_path: Path) -> None:
    """A ConfigMap is a folder of links through `..data`."""
    mounted = tmp_path / "map"
    data = mounted / "..2026_11_28"
    data.mkdir(parents=True)
    (data / "aetherflow.yaml").write_text("env_files: [secrets/]\n")
    (data / "secrets").mkdir()
    (data / "secrets" / "A").write_text("1")
    (mounted / "..data").symlink_to("..2026_11_28")
    for name in ("aetherflow.yaml", "secrets"):
        (mounted / name).symlink_to(f"..data/{name}")
    assert build_snapshot(mounted, ambient={}).env["A"] == "1"
    require_tree(mounted, "what is run")
    open_to_all(data / "aetherflow.yaml")
    with pytest.raises(SpecError):
        require_tree(mounted, "what is run")


def test_a_module_of_the_hook_that_others_may_write(project: "Project", monkeypatch: pytest.MonkeyPatch) -> None:
    put(project, "def decode(v): return v\n", "modules/acme_hook.py").chmod(0o666)
    monkeypatch.syspath_prepend(project.folder / "modules")
    with pytest.raises(SpecError, match="it decides which code runs"):
        build_snapshot(project.folder / "other", ambient={"AETHERFLOW_SECRETS_MODULE": "acme_hook"})
    with pytest.raises(SpecError, match="it decides which code runs"):
        build_snapshot(project.folder / "other", ambient={"AETHERFLOW_SETTINGS_MODULE": "acme_hook"})


def test_doctor_lists_all_of_them(project: "Project", monkeypatch: pytest.MonkeyPatch) -> None:
    files = prepared(project)
    for path in files.values():
        open_to_all(path)
    open_work = project.folder / "work"
    open_work.mkdir(exist_ok=True)
    open_work.chmod(0o777)
    monkeypatch.setenv("AETHERFLOW_WORK_ROOT", str(open_work))
    found = json.loads(project.cli("doctor", "flows/flow.yaml", "--json").out)
    told = {each["file"] for each in (*found["errors"], *found["warnings"]) if each["af"] == "AF1601"}
    missing = {kind for kind, path in files.items() if not any(name.endswith(path.name) for name in told)}
    assert missing == {"profiles"}, "where they are is not known while the project file cannot be trusted"
    for path in files.values():
        path.chmod(0o644)
    found = json.loads(project.cli("doctor", "flows/flow.yaml", "--json").out)
    assert [(each["af"], each["fix"]) for each in found["errors"]] == [("AF4004", f"chmod go-w {open_work}")]


def test_a_work_folder_that_others_may_write(project: "Project", monkeypatch: pytest.MonkeyPatch) -> None:
    prepared(project)
    work = project.folder / "shared-work"
    work.mkdir()
    monkeypatch.setenv("AETHERFLOW_WORK_ROOT", str(work))
    for folder, mode in ((work, 0o777), (work / "one", 0o1777)):
        folder.mkdir(exist_ok=True)
        folder.chmod(mode)
        result = project.cli("run", "flows/flow.yaml")
        assert result.code != 0
        assert "AF4004" in result.err
        folder.chmod(0o700)
    work.chmod(0o1777)
    assert project.cli("run", "flows/flow.yaml").code == 0, "with the sticky bit what is ours there is safe"


def test_a_manifest_that_others_may_write(project: "Project") -> None:
    from aetherflow.core.bundle.manifest import load_manifest

    path = put(project, "version: 1\n", "bundle.yaml")
    open_to_all(path)
    with pytest.raises(AetherflowError, match="where flows and plugins come from"):
        load_manifest(path)
