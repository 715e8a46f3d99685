"""What a step may do to files by way of its context: moved, deleted, remembered; and what it may ask."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from aetherflow.core.api import Step, StepCancelledError, StepError, StepResult, register_step
from aetherflow.core.base.errors import WhenError

if TYPE_CHECKING:
    from core_project import Project


@register_step("test_file_effects")
class Effects(Step[Any]):
    """Calls methods of the context, in order, and returns what they return."""

    conditions = frozenset({"condition"})
    kept: Any = None

    def run(self) -> StepResult:
        found = []
        for name, *arguments in self.inputs.get("calls", []):
            value = getattr(self.ctx, name)(*arguments)
            found.append(str(value) if isinstance(value, Path) else value)
        Effects.kept = self.ctx
        if message := self.inputs.get("fail"):
            raise StepError(f"{message}: {json.dumps(found)}")
        return StepResult(output={"found": found})


def run(project: "Project", *calls: list[Any], code: int = 0, **more: Any) -> list[Any]:
    step = {"id": "s", "type": "test_file_effects", "inputs": {"calls": list(calls), **more}}
    make = {"id": "make", "type": "file_write", "inputs": {"path": "d/a.txt", "content": "x"}}
    flow = {"id": "f", "workspace": {"cleanup_policy": "never"}}
    project.write(json.dumps({"version": 1, "flow": flow, "jobs": [{"id": "a", "steps": [make, step]}]}))
    done = project.cli("run", "flow.yaml", "--run-id", "r")
    assert done.code == code, done.err
    if code:
        return [done.err]
    found: list[Any] = json.loads(
        project.rows("SELECT outputs FROM step_runs WHERE step_id='s' ORDER BY attempt DESC")[0][0]
    )["found"]
    return found


def gone(project: "Project") -> dict[str, str | None]:
    return {Path(path).name: by for path, by in project.rows("SELECT path, gone_by FROM artifacts")}


def test_a_moved_file_is_an_artifact_and_its_old_place_is_consumed(project: "Project") -> None:
    found = run(project, ["move_file", "d/a.txt", "new/b.txt"])
    assert found == [str(project.artifacts("a", "r") / "new/b.txt")]
    assert gone(project) == {"a.txt": "a.s", "b.txt": None}


def test_a_deleted_folder_takes_its_artifacts_along(project: "Project") -> None:
    assert run(project, ["remove", "d"], ["remove", "d"]) == [True, False]
    assert gone(project) == {"a.txt": "a.s"}
    assert not (project.artifacts("a", "r") / "d").exists()


def test_what_is_remembered_survives_a_failure_and_not_a_decision(project: "Project") -> None:
    (told,) = run(project, ["remembered"], ["remember", {"n": [1, None]}], fail="stop", code=1)
    assert "stop: [null, null]" in told
    assert run(project, ["remembered"]) == [{"n": [1, None]}]
    project.cli("run", "flow.yaml", "--run-id", "r", "--from-step", "a.s")
    text = project.rows("SELECT outputs FROM step_runs WHERE step_id='s' ORDER BY attempt DESC")[0][0]
    # the run had ended SUCCESS; done again on purpose, the step looks anew
    assert json.loads(text) == {"found": [None]}


@pytest.mark.parametrize(
    "call", [["move_file", "/etc/hostname", "x"], ["move_file", "d/a.txt", "/etc/x"], ["remove", "/etc/hostname"]]
)
def test_nothing_outside_is_touched(project: "Project", call: list[str]) -> None:
    assert "AF5003" in run(project, call, code=1)[0]


def test_what_is_over_can_do_nothing_more(project: "Project") -> None:
    run(project)
    ctx = Effects.kept
    with pytest.raises(StepCancelledError):
        ctx.move_file("d/a.txt", "b")
    with pytest.raises(StepCancelledError):
        ctx.remove("d/a.txt")
    with pytest.raises(StepCancelledError):
        ctx.remember(1)


def test_holds_reads_what_templates_read(project: "Project") -> None:
    assert run(project, ["holds", "steps.make.size == 1"], ["holds", "run.id == 'x'"], ["holds", "params.n"]) == [
        True,
        False,
        False,
    ]
    with pytest.raises(WhenError):
        Effects.kept.holds("1 <")
