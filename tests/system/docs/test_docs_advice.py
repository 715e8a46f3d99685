"""The advice of a `fix:` is followed: what was refused is taken then."""

import contextlib
import io
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from advice import COMMANDS, FILES, Advice
from advised_steps import DOCUMENTS, STEPS, TEMPLATE, Advised, flow_of
from aetherflow.core.cli.app import main as core
from aetherflow.core.runtime.workspace.places import bundle_stores
from aetherflow.scheduler.cli.app import main as scheduler
from core_project import Result

if TYPE_CHECKING:
    from core_project import Project

MAIN = {"aetherflow": core, "aetherflow-scheduler": scheduler}


def typed(command: str) -> Result:
    """Run a command line in this process."""
    program, *words = shlex.split(command)
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        patch.setattr(sys, "argv", [program, *words])
        code = MAIN[program](words)
    return Result(code, out.getvalue(), err.getvalue())


def fixes(found: Result) -> list[str]:
    return [line.strip().removeprefix("fix: ") for line in f"{found.out}\n{found.err}".splitlines() if "fix: " in line]


def laid(project: "Project") -> None:
    for name, text in FILES.items():
        (project.folder / name).parent.mkdir(exist_ok=True)
        project.write(text, name)


@pytest.mark.parametrize("advice", COMMANDS, ids=lambda advice: str(advice.refused))
def test_who_follows_the_advice_comes_through(project: "Project", advice: Advice) -> None:
    laid(project)
    for command in advice.before:
        typed(command)
    with advice.meanwhile(project):
        refused = typed(advice.refused)
        assert refused.code != 0
        assert advice.fix in fixes(refused), refused
        for command in advice.then:
            done = typed(command)
            assert done.code == advice.code, (command, done)
            assert advice.fix not in fixes(done)


def writable_by_others(project: "Project") -> str:
    project.write("version: 1\n", "my project.yaml").chmod(0o666)
    return "aetherflow validate flow.yaml --config 'my project.yaml'"


def of_somebody_else(project: "Project") -> str:
    os.chown(project.write("version: 1\n", "my project.yaml"), 12345, -1)
    return "aetherflow validate flow.yaml --config 'my project.yaml'"


def a_database_where_0_x_had_it(project: "Project") -> str:
    (project.folder / "my db.sqlite").touch()
    resources = "resources: {db: {kind: db, driver: sqlite3, config: {path: my db.sqlite}}}\njobs:"
    project.write(FILES["flow.yaml"].replace("jobs:", resources), "flow.yaml")
    return "aetherflow validate flow.yaml"


def a_copied_store(project: "Project") -> str:
    assert typed("aetherflow bundle sync -m bundle.yaml").code == 0
    active = bundle_stores(project.states, project.work) / "b/active"
    active.unlink()
    active.mkdir()
    return "aetherflow bundle sync -m bundle.yaml"


@pytest.mark.parametrize(
    ("provoke", "program"),
    [
        (writable_by_others, "chmod"),
        *([(of_somebody_else, "chown")] if os.geteuid() == 0 else []),
        (a_database_where_0_x_had_it, "mkdir"),
        (a_copied_store, "mv"),
    ],
)
def test_a_command_of_the_system_mends_it(
    project: "Project", provoke: Callable[["Project"], str], program: str
) -> None:
    laid(project)
    command = provoke(project)
    (fix,) = {each for each in fixes(typed(command)) if f"{program} " in each}
    shell = fix[fix.rindex(f"{program} ") :].partition(";")[0]
    subprocess.run(["bash", "-ec", shell], check=True, cwd=project.folder)
    done = typed(command)
    assert (done.code, fixes(done)) == (0, []), (shell, done)


def test_steps_that_follow_the_advice_end_well(project: "Project") -> None:
    project.write(TEMPLATE, "mail.txt")
    project.write(flow_of([each.wrong for each in STEPS]))
    jobs = json.loads(typed("aetherflow run flow.yaml --json -q").out)["jobs"]
    told = [(each.wrong, each.fix, job["error"]) for each, job in zip(STEPS, jobs, strict=True)]
    assert [(step, error) for step, fix, error in told if error is None or fix not in (error["fix"] or "")] == []
    project.write(flow_of([each.right for each in STEPS]))
    done = typed("aetherflow run flow.yaml --json -q")
    assert done.code == 0, done.err


@pytest.mark.parametrize("advised", DOCUMENTS, ids=lambda advised: str(advised.fix))
def test_a_document_that_follows_the_advice_is_valid(project: "Project", advised: Advised) -> None:
    project.write(advised.wrong)
    found = typed("aetherflow validate flow.yaml")
    assert found.code == 2
    assert any(advised.fix in fix for fix in fixes(found)), found.out
    project.write(advised.right)
    assert typed("aetherflow validate flow.yaml") == Result(0, "OK: flow.yaml\n", "")
