"""`external.process`: logs and results, outputs from a file, what a try took, tries, plans, folders in one step."""

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from core_process_results import content, fill, flow, run

from aetherflow.core.base import durable
from aetherflow.core.base.durable import folders
from aetherflow.core.base.durable.places import Folder

if TYPE_CHECKING:
    from core_project import Project


def test_slips_in_names_of_outputs_are_found_although_any_may_come(project: "Project") -> None:
    for name, good in (("rows", True), ("stdout", True), ("stdot", False), ("exitcode", False), ("file2", True)):
        flow(project, {"command": ["true"], "outputs": {"file1": 1}}, outputs={"x": f"{{{{result.{name}}}}}"})
        assert (project.cli("validate", "flow.yaml").code == 0) is good, name


def test_tries_without_a_condition_are_warned_about(project: "Project") -> None:
    flow(project, {"command": ["false"], "retry": {"max_attempts": 3}})
    result = project.cli("validate", "flow.yaml")
    assert result.code == 0
    assert "AF1216 warning: jobs[0].steps[0].inputs: retry.max_attempts has no effect" in result.out
    for more in ({"retry_on": "any"}, {"retry_on_timeout": True}, {"retry_on_exit_codes": [3]}):
        flow(project, {"command": ["false"], "retry": {"max_attempts": 3, **more}})
        assert "AF1216" not in project.cli("validate", "flow.yaml").out


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"command": ["a"], "env": {"A": "x\0y"}}, "the variable A holds a null byte"),
        ({"command": ["a"], "env": {"A=B": "x"}}, "no variable can have the name 'A=B'"),
        ({"command": ["a"], "env": {"": "x"}}, "no variable can have the name ''"),
        ({"command": "a b\0c", "shell": True}, "null byte"),
        ({"command": ["a"], "args": ["\0"]}, "null byte"),
        ({"command": "python report.py"}, "write a list, such as [python, report.py], or set `shell: true`"),
        ({"command": ["a"], "inherit_env": "PATH"}, "inherit_env: must be true, false, or a list of names"),
        ({"command": ["a"], "retry": {"retry_on": "sometimes"}}, "must be 'any'"),
    ],
)
def test_what_no_child_can_be_given_is_refused_before_the_run(
    project: "Project", inputs: dict[str, Any], words: str
) -> None:
    assert words in run(project, inputs, 2).err


@pytest.mark.parametrize(
    ("inputs", "code"),
    [
        ({}, "missing_command"),
        ({"command": {"a": 1}}, "command_type"),
        ({"command": ["a", [1]]}, "command_type"),
        ({"command": ["a"], "log": {"stdout": "x"}}, "log_mode"),
        ({"command": ["a"], "log": {"stderr": "x"}}, "log_mode"),
        ({"command": ["a"], "log": {"stdout": "file"}}, "log_file"),
        ({"command": ["a"], "idempotency": {"strategy": "atomic_dir"}}, "atomic_dir"),
    ],
)
def test_codes_of_problems_with_inputs(project: "Project", inputs: dict[str, Any], code: str) -> None:
    flow(project, inputs)
    (error,) = json.loads(project.cli("validate", "flow.yaml", "--json").out)["errors"]
    assert error["code"] == f"semantic:external_process_{code}"


# What would be done


def plan(project: "Project", inputs: dict[str, Any]) -> list[str]:
    flow(project, inputs)
    result = project.cli("plan", "flow.yaml", "--effects", "--json", "--run-id", "r")
    assert result.code == 0, result.err
    assert not project.work.exists() or not list(project.work.rglob("*.txt"))
    ((step,),) = (job["steps"] for job in json.loads(result.out)["jobs"])
    return list(step["effects"]["lines"])


def test_a_dry_run_says_what_is_started_and_what_happens_to_files(
    project: "Project", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DB_PASSWORD", "hunter2hunter2")
    assert plan(project, {"command": ["touch", "a b.txt", "{{env.DB_PASSWORD}}"]}) == ["start touch 'a b.txt' ***"]
    inputs: dict[str, Any] = {"command": "touch a.txt | cat", "shell": True, "cwd": str(project.folder)}
    assert plan(project, inputs) == [f"start touch a.txt | cat by /bin/sh in {project.folder}"]
    folders_ = {"temp_output_dir": "new", "final_output_dir": "site"}
    inputs = {
        "command": ["true"], "log": {"stdout": "file", "file_path": "o.log"},
        "idempotency": {"strategy": "atomic_dir", **folders_},
    }  # fmt: skip
    assert plan(project, inputs) == [
        "start true", "append its output to o.log", "empty new, and if all is well put it in the place of site",
    ]  # fmt: skip
    inputs["log"]["append"] = False
    inputs["idempotency"]["atomic_rename"] = False
    assert plan(project, inputs)[1:] == [
        "write its output to o.log", "empty new, and if all is well move its files into site",
    ]  # fmt: skip
    marker = project.work / "shared/done"
    marker.parent.mkdir(parents=True)
    marker.touch()
    known = {"command": ["true"], "idempotency": {"strategy": "marker", "marker_path": str(marker)}}
    assert plan(project, known) == [f"start nothing: the marker {marker} is there, and the rules of `success` hold"]


@pytest.fixture(params=["swap", "aside", "other device", "other device, aside"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How one folder takes the place of another."""
    name = str(request.param)
    if "aside" in name:
        monkeypatch.setattr(folders, "exchange", _same_device)
    return name


def _same_device(one: Folder, _: str, other: Folder, __: str) -> bool:
    if one.path.stat().st_dev != other.path.stat().st_dev:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
    return False


def test_a_folder_takes_the_place_of_another(way: str, tmp_path: Path, other_device: Callable[[Path], Path]) -> None:
    staged, final = tmp_path / "staged", tmp_path / "new/parents/final"
    if "other device" in way:
        staged = other_device(tmp_path) / "staged"
    try:
        for word in ("one", "two"):
            fill(staged, word)
            durable.swap_dir(staged, final, "owner")
            assert content(final) == {word}
            assert not staged.exists()
            assert [path.name for path in final.parent.iterdir()] == ["final"]
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def test_a_swap_that_fails_leaves_the_old_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    final = tmp_path / "final"
    fill(tmp_path / "staged", "old")
    durable.swap_dir(tmp_path / "staged", final, "owner")
    fill(tmp_path / "staged", "new")
    real = Folder.rename

    def rename(self: Folder, name: str, target: str, to: Folder | None = None) -> None:
        if name == "staged":
            raise OSError(errno.EIO, "no luck")
        real(self, name, target, to)

    monkeypatch.setattr(folders, "exchange", lambda *_: False)
    monkeypatch.setattr(Folder, "rename", rename)
    with pytest.raises(OSError, match="no luck"):
        durable.swap_dir(tmp_path / "staged", final, "owner")
    assert content(final) == {"old"}


def test_no_folder_takes_the_place_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "final").write_text("a file")
    fill(tmp_path / "staged", "new")
    with pytest.raises(NotADirectoryError):
        durable.swap_dir(tmp_path / "staged", tmp_path / "final", "owner")
    assert (tmp_path / "final").read_text() == "a file"
