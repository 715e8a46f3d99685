"""A command that cannot find its script is told where that is, or that there is none."""

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from core_project import Project


def fix_of(project: "Project", command: str) -> str:
    project.flow(f"jobs: [{{id: a, steps: [{{id: s, type: external.process, inputs: {{command: {command}}}}}]}}]\n")
    found = project.cli("run", "flow.yaml", "--run-id", "r", "-q")
    assert found.code == 1
    (line,) = [line for line in found.err.splitlines() if line.startswith("  fix: ")]
    return line.removeprefix("  fix: ").replace(str(project.work), "WORK")


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("[sh, report.sh]", "write {{env.AETHERFLOW_LOCAL_ROOT_DIR}}/report.sh"),
        ("[sh, -e, report.sh, out.csv]", "write {{env.AETHERFLOW_LOCAL_ROOT_DIR}}/report.sh"),
        ("[./report.sh]", "write {{env.AETHERFLOW_LOCAL_ROOT_DIR}}/report.sh"),
        ("[sh, nowhere.sh]", "there is no nowhere.sh in WORK/f/a/r/artifacts, where the command runs"),
        ("[sh, -c, 'exit 3']", "run the command by hand, or look at its output if it gave any"),
        ("['false']", "run the command by hand, or look at its output if it gave any"),
        ("[nowhere]", "check the program's name and PATH, cwd, and the interpreter in the first line of a script"),
    ],
)
def test_the_fix_says_what_to_write(project: "Project", command: str, expected: str) -> None:
    project.write("echo here\n", "report.sh").chmod(0o755)
    assert fix_of(project, command).endswith(expected)


def test_what_the_fix_says_works(project: "Project") -> None:
    project.write("#!/bin/sh\necho here\n", "report.sh").chmod(0o755)
    told = fix_of(project, "[sh, report.sh]").rpartition("write ")[2]
    project.flow(
        f"jobs: [{{id: a, steps: [{{id: s, type: external.process, inputs: {{command: [sh, '{told}']}}}}]}}]\n"
    )
    assert project.cli("resume", "r", "-q").code == 0
