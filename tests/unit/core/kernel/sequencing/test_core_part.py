"""A run that was asked for some of its jobs: what goes on with it goes on with these, and says which they are."""

import json
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from core_history import status

from aetherflow.core.api import Step, StepResult, register_step
from claiming import claims, ledger
from claiming import flow as pick_up
from claiming import run as run_claiming

if TYPE_CHECKING:
    from core_project import Project, Result

FLOW = """\
version: 1
flow: {id: f}
jobs:
  - {id: a, steps: [{id: first, type: part_note}, {id: second, type: part_note}]}
  - {id: b, steps: [{id: send, type: part_note}]}
  - {id: c, steps: [{id: pay, type: part_note}]}
"""


@register_step("part_note")
class Note(Step[Any]):
    """Writes down that it ran; fails while its file `fail-STEP` stands."""

    def run(self) -> StepResult:
        if Path(self.ctx.env["EFFECTS"]).with_name(f"fail-{self.id}").exists():
            raise ValueError(f"{self.id} is told to fail")
        with Path(self.ctx.env["EFFECTS"]).open("a") as file:
            file.write(f"{self.id}\n")
        return StepResult()


def block(project: "Project", step: str) -> Path:
    path = project.effects.with_name(f"fail-{step}")
    path.touch()
    return path


def typed(project: "Project", command: str) -> "Result":
    """Type a command that was printed."""
    return project.cli(*shlex.split(command)[1:])


def part(project: "Project", run_id: str = "r") -> Any:
    return json.loads(project.cli("runs", "show", run_id, "--json").out)["part"]


@pytest.fixture
def failed(project: "Project") -> "Result":
    """A run `r` of job `a` that has failed, and would not fail again."""
    project.write(FLOW)
    blocked = block(project, "second")
    done = project.cli("run", "flow.yaml", "--run-id", "r", "--flow-job", "a")
    blocked.unlink()
    assert (done.code, project.lines()) == (1, ["first"])
    return done


def test_a_resume_leaves_the_other_jobs_alone(project: "Project", failed: "Result") -> None:
    assert project.cli("resume", "r").code == 0
    assert project.lines() == ["first", "second"]
    assert project.rows("SELECT status, reason_code, part FROM runs") == [("SUCCESS", "partial", '["a"]')]


def test_so_does_the_resume_of_a_flow_file(project: "Project", failed: "Result") -> None:
    assert project.cli("resume", "flow.yaml").code == 0
    assert project.lines() == ["first", "second"]


def test_each_printed_command_keeps_the_part(project: "Project", failed: "Result") -> None:
    (need,) = status(project)["needs_person"]
    (ended,) = re.findall(r"^next: (.*)$", failed.err, re.MULTILINE)
    shown = project.cli("runs", "show", "r").out
    (following,) = re.findall(r"^next: (.*)$", shown, re.MULTILINE)
    assert [*need["commands"], ended, following] == ["aetherflow resume r"] * 3
    assert "part     a\n" in shown
    assert typed(project, ended).code == 0
    assert project.lines() == ["first", "second"]
    assert status(project)["needs_person"] == []


def test_a_part_that_has_ended_well_is_not_gone_on_with(project: "Project", failed: "Result") -> None:
    """Whoever types the command of `status` a second time must not start what nobody has asked for."""
    assert project.cli("resume", "r").code == 0
    again = project.cli("resume", "r")
    assert again.code == 0
    assert "nothing to do: run r of flow f ended SUCCESS" in again.err
    assert "for a only; how the other jobs are run: aetherflow runs show r" in again.err
    assert project.lines() == ["first", "second"]
    assert project.rows("SELECT generation FROM runs") == [(2,)]


def test_the_rest_is_run_on_request(project: "Project", failed: "Result") -> None:
    assert project.cli("resume", "r").code == 0
    (command,) = re.findall(r"^for the other jobs: (.*)$", project.cli("runs", "show", "r").out, re.MULTILINE)
    done = typed(project, command)
    assert done.code == 0
    assert "run r was asked for a only; from now on it is one of all jobs" in done.err
    assert project.lines() == ["first", "second", "send", "pay"]
    assert project.rows("SELECT status, reason_code, part FROM runs") == [("SUCCESS", None, None)]
    assert "for the other jobs" not in project.cli("runs", "show", "r").out


def test_another_part_is_added_and_nothing_is_forgotten(project: "Project", failed: "Result") -> None:
    blocked = block(project, "send")
    done = project.cli("run", "flow.yaml", "--run-id", "r", "--flow-job", "b")
    blocked.unlink()
    assert done.code == 1
    assert "run r was asked for a only, and is now for b too: a resume goes on with all of these" in done.err
    assert part(project) == ["a", "b"]
    assert project.cli("resume", "r").code == 0
    assert project.lines() == ["first", "second", "send"]


def test_a_run_of_all_jobs_stays_one(project: "Project") -> None:
    project.write(FLOW)
    blocked = block(project, "send")
    assert project.cli("run", "flow.yaml", "--run-id", "r").code == 1
    project.effects.unlink()
    assert project.cli("run", "flow.yaml", "--run-id", "r", "--flow-job", "b").code == 1
    blocked.unlink()
    assert part(project) == []
    assert project.cli("resume", "r").code == 0
    assert project.lines() == ["send"], "a and c had ended well"


def test_what_is_outside_of_the_part_is_refused(project: "Project", failed: "Result") -> None:
    refused = project.cli("resume", "r", "--from-step", "b")
    assert refused.code == 2
    assert "run r was asked for a only, and --from-step b is outside of that" in refused.err
    command = "aetherflow run flow.yaml --run-id r --flow-job b --from-step b"
    assert f"fix: ask for that job too: {command}" in refused.err
    assert typed(project, command).code == 0
    assert project.lines() == ["first", "send"]


def test_a_job_that_is_gone_is_named(project: "Project", failed: "Result") -> None:
    project.write(FLOW.replace("id: a,", "id: aa,"))
    refused = project.cli("resume", "r")
    assert refused.code == 2
    assert "run r was asked for job 'a', which is not in this flow any more" in refused.err
    assert "bring it back, or run all jobs: aetherflow run flow.yaml --run-id r" in refused.err
    assert project.lines() == ["first"]


def test_the_summary_says_the_part(project: "Project") -> None:
    project.write(FLOW)
    given = ("run", "flow.yaml", "--run-id", "r", "--json", "-q")
    assert json.loads(project.cli(*given, "--flow-job", "c").out)["part"] == ["c"]
    assert json.loads(project.cli(*given).out)["part"] == []


def test_a_resumed_part_that_ends_well_makes_no_claim_final(project: "Project", inbox: Path) -> None:
    """Neither at its first start nor through a resume: only the run of all jobs does."""
    project.write(pick_up())
    run_claiming(project, "one", "--flow-job", "take", fail="moved", code=1)
    said = project.cli("resume", "one")
    assert said.code == 0
    assert "they become final when the other jobs have ended well too: aetherflow runs show one" in said.err
    assert ({row[2] for row in claims(project)}, ledger(project)) == ({"open"}, {})
    listed = project.cli("claims", "list").out
    assert "or: aetherflow runs show one" in listed
    assert project.cli("resume", "one").code == 0
    assert ({row[2] for row in claims(project)}, ledger(project)) == ({"open"}, {})
    (rest,) = re.findall(r"^for the other jobs: (.*)$", project.cli("runs", "show", "one").out, re.MULTILINE)
    assert typed(project, rest).code == 0
    assert {row[2] for row in claims(project)} == {"final"}
