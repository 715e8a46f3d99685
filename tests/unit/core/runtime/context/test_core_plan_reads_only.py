"""`plan --effects` asks steps what they would do: each name of the context that would change something refuses."""

from pathlib import Path
from typing import Any

import pytest

from aetherflow.core.api import RunContext, Step, StepResult, register_step
from aetherflow.core.testing import FlowProject

CHANGES: dict[str, tuple[list[Any], str]] = {
    "write_file": (["a"], "write a"),
    "append_file": (["a"], "write a"),
    "remove_scratch": ([Path("a")], "delete a"),
    "restore_dir": (["a"], "restore a"),
    "resume_file": (["a"], "write a"),
    "publish_file": ([Path("x/a"), "b"], "put a in the place of b"),
    "swap_dir": ([Path("a"), "b"], "replace b"),
    "empty_dir": (["a"], "empty a"),
    "artifact": (["a"], "record a"),
    "consume": (["a"], "record that a is gone"),
    "move_file": (["a", "b"], "move a"),
    "remove": (["a"], "delete a"),
    "remember": ([1], "remember something"),
    "holds": (["1 == 1"], "ask for results that are not there yet"),
    "call_flow": ([Path("b.yaml")], "run b.yaml"),
    "call_step": (["check_items", {}], "run check_items"),
    "spawn": ([["ls", "-l"]], "start ls"),
    "end_process": ([None, 1.0], "end a program"),
    "relay": (["stdout", b""], "write to the log"),
    "lease": (["k"], "take the lock k"),
    "acquire_lock": (["k"], "take the lock k"),
    "release_lock": (["k"], "release the lock k"),
}
READS: dict[str, tuple[list[Any], str]] = {
    "job_dir": (["main"], "<work>/flow/main/<run>"),
    "artifacts_dir": (["main"], "<work>/flow/main/<run>/artifacts"),
    "scratch_dir": (["main"], "<work>/flow/main/<run>/scratch"),
    "manifests_dir": (["main"], "<work>/flow/main/<run>/manifests"),
    "read_path": (["a"], "<work>/flow/main/<run>/artifacts/a"),
    "write_path": (["a"], "<work>/flow/main/<run>/artifacts/a"),
    "asset_path": (["flow.yaml"], "<folder>/flow.yaml"),
    "remembered": ([], "None"),
    "progress": ([1, 2], "None"),
    "check_cancelled": ([], "None"),
    "redact": (["plain"], "plain"),
}
OTHER = {"ledger", "cancelled", "add_secret", "call_limited", "stream_limited", "steady_file"}


@register_step("test_plans")
class Plans(Step[Any]):
    """Asks its context, in plan(), for what a test says."""

    ask: Any = None

    def plan(self) -> list[str]:
        return [str(type(self).ask(self.ctx)).replace(self.ctx.run_id, "<run>")]

    def run(self) -> StepResult:
        raise AssertionError("the step was run")


def plan(project: FlowProject, ask: Any) -> str:
    """What `plan --effects` tells of the step."""
    Plans.ask = staticmethod(ask)
    project.flow({"id": "s", "type": "test_plans"})
    (told,) = project.effects()["s"]
    return told.replace(str(project.work), "<work>").replace(str(project.folder), "<folder>")


def test_every_name_of_the_context_is_tried_here() -> None:
    documented = {name for name, value in vars(RunContext).items() if callable(value) or isinstance(value, property)}
    assert {name for name in documented if not name.startswith("_")} == {*CHANGES, *READS, *OTHER}


@pytest.mark.parametrize("name", sorted(CHANGES))
def test_what_would_change_something_is_refused(tmp_path: Path, name: str) -> None:
    arguments, what = CHANGES[name]
    told = plan(FlowProject(tmp_path / "project"), lambda ctx: getattr(ctx, name)(*arguments))
    assert f"plan() tried to {what}; it may only read" in told
    assert not (tmp_path / "project/work").exists()


@pytest.mark.parametrize("name", sorted(READS))
def test_what_only_reads_is_answered_and_makes_no_folder(tmp_path: Path, name: str) -> None:
    arguments, expected = READS[name]
    assert plan(FlowProject(tmp_path / "project"), lambda ctx: getattr(ctx, name)(*arguments)) == expected
    assert not (tmp_path / "project/work").exists()


def test_a_plan_is_not_cancelled_and_keeps_secrets(tmp_path: Path) -> None:
    project = FlowProject(tmp_path / "project")
    assert plan(project, lambda ctx: ctx.cancelled) == "False"

    def told(ctx: RunContext) -> str:
        ctx.add_secret("s3cr3tvalue")
        return ctx.redact("a s3cr3tvalue")

    assert "s3cr3tvalue" not in plan(project, told)


def test_a_ledger_is_read_and_not_written(tmp_path: Path) -> None:
    project = FlowProject(tmp_path / "project")
    assert plan(project, lambda ctx: ctx.ledger("marks").get("k", "nothing")) == "nothing"
    assert plan(project, lambda ctx: dict(ctx.ledger("marks").scan())) == "{}"
    for change in ("put", "put_fact", "put_if_absent"):
        told = plan(project, lambda ctx, change=change: getattr(ctx.ledger("marks"), change)("k", 1))
        assert "plan() tried to write marks.k into the ledger; it may only read" in told
