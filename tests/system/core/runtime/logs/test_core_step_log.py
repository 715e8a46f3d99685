"""The log of a step has a limit: its beginning and its end stay, also after a kill."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from core_project import Project

LIMIT = {"AETHERFLOW_STEP_LOG_BYTES": "65536"}
LINES = 40_000


def log_of(project: "Project") -> Path:
    return project.states / "f.sqlite.d/logs/f/r/a/s.1.log"


def flow(project: "Project", more: str = "", then: str = "true") -> None:
    command = f"seq -w {LINES}; {then}"
    inputs = f"{{command: [sh, -c, '{command}']{more}}}"
    project.flow(f"jobs: [{{id: a, steps: [{{id: s, type: external.process, inputs: {inputs}}}]}}]\n")


def test_a_step_that_prints_much(project: "Project") -> None:
    flow(project, ", log: {stdout: capture}")
    done = project.command("run", "flow.yaml", "--run-id", "r", env=LIMIT)
    assert done.code == 0
    assert done.err.count("\n") > LINES, "on stderr nothing is left out"
    assert log_of(project).stat().st_size <= 65_536 + (1 << 16)
    shown = project.command("runs", "logs", "r", "--step", "a.s").out.splitlines()
    (note,) = [line for line in shown if "left out" in line]
    left_out = int(note.split()[1].replace(",", ""))
    assert note == f"[... {left_out:,} lines, {left_out * 6:,} bytes left out ...]"
    assert shown[1:4] == ["00001", "00002", "00003"]
    assert shown[-3:] == [str(LINES - 2), str(LINES - 1), str(LINES)]
    assert len(shown) - 2 + left_out == LINES


def test_the_project_file_sets_the_limit(project: "Project") -> None:
    flow(project)
    project.write("version: 1\nlimits: {step_log_bytes: 65536}\n", "aetherflow.yaml")
    assert project.command("run", "flow.yaml", "--run-id", "r", "-q").code == 0
    assert log_of(project).stat().st_size <= 65_536 + (1 << 16)


def test_the_last_lines_are_there_after_a_kill(project: "Project", wait_for: Callable[..., None]) -> None:
    flow(project, then=f"echo last; touch {project.folder}/printed; sleep 300")
    process = project.start("run", "flow.yaml", "--run-id", "r", "-q", env=LIMIT)
    wait_for(lambda: (project.folder / "printed").exists() and log_of(project).read_bytes().endswith(b"last\n"))
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    text = log_of(project).read_text()
    assert text.startswith("00001\n00002\n00003\n")
    assert "left out" in text
    assert text.endswith(f"{LINES}\nlast\n")
