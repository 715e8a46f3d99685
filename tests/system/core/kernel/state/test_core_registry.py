"""The registry of runs: an index that may be lost, and that no run depends on."""

import subprocess
from typing import TYPE_CHECKING

from core_registry import flow, known, rows

if TYPE_CHECKING:
    from core_project import Project


def test_a_flow_that_moved_is_found_where_it_is_now(project: "Project") -> None:
    flow(project, "f")
    project.write("version: 1\nflow: {id: f}\njobs: [{id: a, steps: [{id: s, type: external.process, "
                  "inputs: {command: ['false']}}]}]\n", "f.yaml")  # fmt: skip
    assert project.cli("run", "f.yaml", "--run-id", "r").code == 1
    (project.folder / "f.yaml").rename(project.folder / "moved.yaml")
    assert project.cli("run", "moved.yaml", "--run-id", "r").code == 1
    assert rows(project, "SELECT flow_path FROM runs") == [(str(project.folder / "moved.yaml"),)]


def test_many_processes_register_at_once(project: "Project") -> None:
    for number in range(6):
        flow(project, f"f{number}")
    processes = [project.start("run", f"f{number}.yaml", "-q") for number in range(6)]
    for process in processes:
        assert process.wait(60) == 0
        for stream in (process.stdout, process.stderr):
            assert stream is not None
            stream.close()
    assert len(known(project)) == 6


def test_one_of_many_processes_moves_a_damaged_registry_aside(project: "Project") -> None:
    for number in range(6):
        flow(project, f"f{number}")
        assert project.cli("run", f"f{number}.yaml", "-q").code == 0
    (project.states / "engine/registry.sqlite").write_text("no database " * 500)
    processes = [project.start("run", f"f{number}.yaml", "--run-id", "again") for number in range(6)]
    warned = [process.communicate(timeout=60)[1].count("was damaged") for process in processes]
    assert (sum(warned), [process.returncode for process in processes]) == (1, [0] * 6)
    assert len(list(project.states.glob("engine/registry.sqlite.damaged-*"))) == 1
    assert len(known(project)) == 6
    assert rows(project, "SELECT count(*) FROM runs WHERE run_id='again' AND status='SUCCESS'") == [(6,)]


def test_reading_leaves_no_trace_beside_a_closed_state(project: "Project", unprivileged: tuple[str, ...]) -> None:
    flow(project, "f")
    assert project.cli("run", "f.yaml", "--run-id", "r").code == 0
    before = {path: path.stat().st_mtime_ns for path in project.states.rglob("*")}
    for path in (project.states, *(each for each in before if each.is_dir())):
        path.chmod(0o500)  # who may only read can read
    try:
        for command in (["status"], ["runs", "list"], ["runs", "show", "r"], ["state", "info", "--flow", "f"],
                        ["state", "check", "--flow", "f"], ["runs", "logs", "r"]):  # fmt: skip
            result = project.command(*command, prefix=unprivileged)
            assert result.code == 0, (command, result)
        assert {path: path.stat().st_mtime_ns for path in project.states.rglob("*")} == before
    finally:
        subprocess.run(["chmod", "-R", "u+rwX", str(project.states)], check=True)
