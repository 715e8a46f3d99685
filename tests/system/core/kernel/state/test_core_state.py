"""State files: what is refused, and with which words; legal transitions."""

import subprocess
import sys
import textwrap
import time
from typing import TYPE_CHECKING

import warm

if TYPE_CHECKING:
    from core_project import Project

JOBS = "jobs: [{id: a, steps: [{id: s, type: check_items, inputs: {items: [1]}}]}]\n"


def test_an_unwritable_folder_and_an_unwritable_file(project: "Project", unprivileged: tuple[str, ...]) -> None:
    project.flow(JOBS)
    project.states.mkdir(mode=0o500)
    result = project.command("run", "flow.yaml", prefix=unprivileged)
    assert (result.code, result.out) == (4, "")
    assert "permission denied" in result.err.lower()
    assert "Traceback" not in result.err
    project.states.chmod(0o700)
    assert project.command("run", "flow.yaml", prefix=unprivileged).code == 0
    project.state.chmod(0o400)
    result = project.command("run", "flow.yaml", prefix=unprivileged)
    assert result.code == 4
    assert "readonly" in result.err
    project.state.chmod(0o600)
    side = project.states / "f.sqlite.d"
    side.joinpath("runs").rename(side / "old")
    side.chmod(0o500)
    result = project.command("run", "flow.yaml", prefix=unprivileged)
    side.chmod(0o700)
    assert result.code == 4, result.err
    assert "permission denied" in result.err.lower()


def test_a_file_in_the_place_of_the_work_root_is_refused_before_the_run(project: "Project") -> None:
    project.work.write_text("a file in the way")
    project.flow(
        "jobs: [{id: a, steps: [{id: s, type: external.process, inputs: {command: [true]}}]}]\n".replace(
            "[true]", "['true']"
        )
    )
    result = project.cli("run", "flow.yaml", "--run-id", "r")
    assert result.code == 2
    assert f"AF0004 workspace root {project.work} cannot be used: Not a directory" in result.err
    project.work.unlink()
    assert project.cli("run", "flow.yaml", "--run-id", "r").code == 0


def test_processes_that_open_a_new_file_at_once(project: "Project") -> None:
    code = """
        import sys, time
        from pathlib import Path
        from aetherflow.core.kernel.state.store import StateStore
        time.sleep(max(0, float(sys.argv[2]) - time.time()))
        StateStore(Path(sys.argv[1])).close()
    """
    script = project.folder / "open.py"
    script.write_text(textwrap.dedent(code))
    for number in range(6):
        at = time.time() + 0.5
        argv = [sys.executable, str(script), str(project.folder / f"{number}.sqlite"), str(at)]
        started = [warm.Popen(argv, stderr=subprocess.PIPE, text=True) for _ in range(3)]
        for process in started:
            _, err = process.communicate(timeout=60)
            assert process.returncode == 0, err
