"""One state file, or one lock store, reached by two names: a link beside the file, used at once by real processes."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from core_project import Project

WaitFor = Callable[..., None]
SLOW = (
    "echo $$ > $EFFECTS.pid; echo begin >> $EFFECTS; "
    "while ! test -e $EFFECTS.go; do sleep 0.05; done; echo end >> $EFFECTS"
)


@pytest.fixture
def linked(project: "Project") -> "Project":
    """`real.yaml` names data/state.sqlite, `link.yaml` a link to it; the file is made by the first run."""
    (project.folder / "data").mkdir()
    (project.folder / "state.sqlite").symlink_to("data/state.sqlite")
    for name, path in (("real", "data/state.sqlite"), ("link", "state.sqlite")):
        inputs = json.dumps({"shell": True, "command": SLOW})
        project.write(
            f"version: 1\nflow: {{id: f, state: {{path: {path}}}}}\n"
            f"jobs: [{{id: j, steps: [{{id: s, type: external.process, inputs: {inputs}}}]}}]\n",
            f"{name}.yaml",
        )
    return project


def let_go(project: "Project") -> None:
    project.effects.with_name("effects.go").touch()


@pytest.mark.parametrize("first", ["real", "link"])
def test_a_run_is_executed_once_whatever_its_state_is_called(
    linked: "Project", wait_for: WaitFor, reap: list[int], first: str
) -> None:
    second = "link" if first == "real" else "real"
    process = linked.start("run", f"{first}.yaml", "--run-id", "r", "-q")
    reap.append(process.pid)
    wait_for(lambda: linked.lines() == ["begin"])
    other = linked.command("run", f"{second}.yaml", "--run-id", "r")
    assert other.code == 3, other
    assert f"run r is being executed by pid {process.pid}" in other.err
    for name in ("data/state.sqlite", "state.sqlite"):
        assert "live     f/r" in linked.command("state", "info", name).out
    listed = json.loads(linked.command("runs", "list", "--json").out)["runs"]
    assert [(run["run_id"], run["status"]) for run in listed] == [("r", "RUNNING")]
    let_go(linked)
    process.communicate(timeout=60)
    assert process.returncode == 0
    again = linked.command("run", f"{second}.yaml", "--run-id", "r")
    assert "nothing to do: run r of flow f ended SUCCESS" in again.err
    assert linked.lines() == ["begin", "end"]
    assert not (linked.folder / "state.sqlite.d").exists()


def test_what_is_shown_is_the_name_that_was_written(linked: "Project") -> None:
    let_go(linked)
    summary = json.loads(linked.command("run", "link.yaml", "--run-id", "r", "--json").out)
    assert summary["state_path"] == str(linked.folder / "state.sqlite")
    assert summary["log_path"] == str(linked.folder / "data/state.sqlite.d/logs/f/r.jsonl")
    assert Path(summary["log_path"]).exists()
    linked.command("run", "real.yaml", "--run-id", "r2", "-q")
    shown = linked.command("runs", "show", "r").out
    assert f"log    {summary['log_path']}" in shown
    listed = json.loads(linked.command("runs", "list", "--json").out)["runs"]
    assert sorted(run["run_id"] for run in listed) == ["r", "r2"], "each once, though the file has two names"
    assert linked.command("state", "check", "--flow", "f").code == 0


def test_a_run_is_resumed_after_the_file_has_moved_behind_a_link(
    linked: "Project", wait_for: WaitFor, lives: Callable[[int], bool]
) -> None:
    process = linked.start("run", "link.yaml", "--run-id", "r", "-q")
    wait_for(lambda: linked.lines() == ["begin"])
    process.kill()
    process.communicate(timeout=60)
    (pid,) = linked.lines("effects.pid")
    wait_for(lambda: not lives(int(pid)))  # its guard ends it; let go before that, it would end by itself and say so
    let_go(linked)
    text = (linked.folder / "real.yaml").read_text()
    (linked.folder / "link.yaml").write_text(text)
    assert linked.command("resume", "r", "-q").code == 0
    assert linked.lines() == ["begin", "begin", "end"]


def test_large_outputs_are_found_by_either_name_and_backed_up(project: "Project") -> None:
    (project.folder / "data").mkdir()
    (project.folder / "state.sqlite").symlink_to("data/state.sqlite")
    for name, path in (("real", "data/state.sqlite"), ("link", "state.sqlite")):
        project.write(
            f"version: 1\nflow: {{id: f, state: {{path: {path}}}}}\n"
            "jobs: [{id: j, steps: [{id: s, type: external.process, outputs: {all: '{{result.stdout}}'}, inputs: "
            "{shell: true, command: 'seq 99999', log: {stdout: capture}}}, "
            "{id: t, type: external.process, inputs: {shell: true, command: 'test -e $EFFECTS.go'}}]}]\n",
            f"{name}.yaml",
        )
    assert project.command("run", "link.yaml", "--run-id", "r", "-q").code == 1
    assert list((project.folder / "data/state.sqlite.d/blobs/f/r").iterdir())
    let_go(project)
    assert project.command("run", "real.yaml", "--run-id", "r", "-q").code == 0, "it reuses the outputs"
    for number, name in enumerate(("data/state.sqlite", "state.sqlite")):
        assert project.command("state", "check", name, "--read-data").code == 0
        made = project.command("state", "backup", name, "--to", f"{number}.tar")
        assert "1 run, 0 stored" not in made.out
        assert project.command("state", "restore", name, "--from", f"{number}.tar", "--yes").code == 0
    assert (project.folder / "state.sqlite").is_symlink()


def test_a_damaged_file_behind_a_link_is_moved_aside_and_the_link_stays(linked: "Project") -> None:
    let_go(linked)
    linked.command("run", "link.yaml", "--run-id", "r", "-q")
    assert linked.command("state", "backup", "state.sqlite", "--to", "b.tar").code == 0
    (linked.folder / "data/state.sqlite").write_bytes(b"no database" * 999)
    restored = linked.command("state", "restore", "state.sqlite", "--from", "b.tar", "--yes")
    assert restored.code == 0, restored
    assert os.readlink(linked.folder / "state.sqlite") == "data/state.sqlite"  # noqa: PTH115 as it was written
    assert len(list((linked.folder / "data").glob("state.sqlite.replaced-*"))) == 1
    assert "1 run" in linked.command("state", "info", "data/state.sqlite").out.replace("f (1 run)", "1 run")


def test_a_lock_is_held_by_one_whatever_its_store_is_called(linked: "Project", wait_for: WaitFor) -> None:
    (linked.folder / "locks.sqlite").symlink_to("data/locks.sqlite")
    names = [str(linked.folder / name) for name in ("data/locks.sqlite", "locks.sqlite")]
    step = {"type": "external.process", "inputs": {"shell": True, "command": SLOW}}
    held = {"id": "l", "type": "with_lock", "inputs": {"lock_key": "k", "wait_seconds": 60, "step": step}}
    linked.flow(f"jobs: {json.dumps([{'id': 'a', 'steps': [held]}])}")
    first = linked.start("run", "flow.yaml", "--run-id", "one", "-q", env={"AETHERFLOW_LOCK_STORE": names[0]})
    wait_for(lambda: linked.lines() == ["begin"])
    other = {"AETHERFLOW_LOCK_STORE": names[1]}
    second = linked.start("run", "flow.yaml", "--run-id", "two", "-q", env=other)
    try:
        wait_for(lambda: "f/two" in linked.command("locks", "list", env=other).out)
        shown = linked.command("locks", "list", "--json", env=other).out
        assert json.loads(shown)["lock_store"] == names[1]
        assert linked.lines() == ["begin"], "the second one takes the first for dead"
    finally:
        let_go(linked)
        for process in (first, second):
            process.communicate(timeout=60)
    assert [process.returncode for process in (first, second)] == [0, 0]
    assert linked.lines() == ["begin", "end"] * 2
    assert not (linked.folder / "locks.sqlite.d").exists()
