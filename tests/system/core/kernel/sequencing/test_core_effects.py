"""`aetherflow plan --effects`: what steps say that they would do."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from core_project import Project

TELLING = '''
from pathlib import Path

from pydantic import Field

from aetherflow.core.api import Step, StepInputs, register_step


class Inputs(StepInputs):
    path: str = Field(description="What to delete.")
    wrong: str = Field("", description="How to misbehave.")


@register_step("wipe")
class Wipe(Step[Inputs]):
    """Deletes a file."""

    def plan(self):
        if self.args.wrong == "writes":
            with self.ctx.write_file("oops") as file:
                file.write(b"x")
        if self.args.wrong == "spawns":
            self.ctx.spawn(["touch", "oops"])
        if self.args.wrong == "raises":
            raise RuntimeError("no idea of " + self.ctx.env["API_TOKEN"])
        if self.args.wrong == "ledger":
            self.ctx.ledger("seen").put("a", 1)
        seen = sorted(self.ctx.ledger("seen").scan())
        return [f"delete {self.ctx.write_path(self.args.path)}, seen {seen}, attempt {self.ctx.attempt}"]

    def run(self):
        self.ctx.ledger("seen").put(self.args.path, 1)


@register_step("lists")
class Lists(Step):
    """Gives a list."""

    def run(self):
        return {"files": ["a", "b"]}


@register_step("fails")
class Fails(Step):
    """Fails."""

    def run(self):
        raise RuntimeError("on purpose")
'''


def flow(project: "Project", steps: str) -> Path:
    (project.folder / "telling.py").write_text(TELLING)
    project.env["AETHERFLOW_PLUGIN_PATHS"] = str(project.folder / "telling.py")
    return project.flow(f"jobs:\n  - id: main\n    steps:\n{steps}")


def effects(project: "Project", path: Path, *more: str) -> dict[str, list[str] | str]:
    """Step to its sentences, or to why there are none."""
    done = project.command("plan", str(path), "--effects", "--json", *more)
    assert done.code == 0, done.err
    steps = [step for job in json.loads(done.out)["jobs"] for step in job["steps"]]
    return {
        step["step_id"]: step["effects"]["lines"] or step["effects"]["why_none"] for step in steps if step["effects"]
    }


def test_each_step_is_asked_whose_inputs_are_known(project: "Project") -> None:
    path = flow(
        project,
        """
      - {id: list, type: lists}
      - {id: one, type: wipe, inputs: {path: "{{params.name}}.csv"}}
      - {id: later, type: wipe, inputs: {path: "{{steps.list.files}}"}}
      - {id: each, type: wipe, for_each: [x, y], inputs: {path: "{{item}}"}}
      - {id: all, type: wipe, for_each: "{{steps.list.files}}", inputs: {path: "{{item}}"}}
""",
    )
    path.write_text(path.read_text().replace("{id: f}", "{id: f, params: {name: {type: string}}}", 1))
    found = effects(project, path, "--param", "name=orders")
    assert found["list"] == "the step says nothing of its effects"
    assert found["one"][0].endswith("/artifacts/orders.csv, seen [], attempt 1")
    assert len(found["each"]) == 2
    assert str(found["later"]).startswith("not known before: ")
    assert "steps.list" in str(found["later"])
    assert str(found["all"]).startswith("not known before: ")


def test_nothing_is_written_and_no_folder_appears(project: "Project") -> None:
    path = flow(project, '      - {id: one, type: wipe, inputs: {path: "a.csv"}}\n')
    before = sorted(project.folder.rglob("*"))
    effects(project, path)
    assert sorted(each for each in project.folder.rglob("*") if "__pycache__" not in str(each)) == before


def test_a_plan_that_misbehaves_is_told_and_changes_nothing(project: "Project") -> None:
    project.env["API_TOKEN"] = "s3cr3t-t0ken"
    steps = "".join(
        f"      - {{id: {how}, type: wipe, inputs: {{path: a, wrong: {how}}}}}\n"
        for how in ("writes", "spawns", "ledger", "raises")
    )
    path = flow(project, f"{steps}      - {{id: outside, type: wipe, inputs: {{path: /etc/passwd}}}}\n")
    found = effects(project, path)
    for how, words in (("writes", "tried to write oops"), ("spawns", "tried to start touch"), ("ledger", "the ledger")):
        assert words in str(found[how])
        assert str(found[how]).startswith("unknown: plan() ")
    assert str(found["raises"]).startswith("unknown: RuntimeError: no idea of *** (")
    assert "telling.py:" in str(found["raises"])
    assert "/etc/passwd" in str(found["outside"])
    assert not list(project.folder.rglob("oops"))


def test_a_resumed_run_is_asked_only_for_what_is_left(project: "Project") -> None:
    """Results that are there count: inputs are known, the ledger is read, the attempt is the next one."""
    path = flow(
        project,
        """
      - {id: list, type: lists}
      - {id: first, type: wipe, inputs: {path: done.csv}}
      - {id: broken, type: fails}
      - {id: all, type: wipe, for_each: "{{steps.list.files}}", inputs: {path: "{{item}}"}}
""",
    )
    assert project.command("run", str(path), "--run-id", "r1").code == 1
    found = effects(project, path, "--run-id", "r1")
    assert found.keys() == {"broken", "all"}
    assert [line.rpartition("/")[2] for line in found["all"]] == [
        "a, seen ['done.csv'], attempt 1",
        "b, seen ['done.csv'], attempt 1",
    ]
    said = project.command("plan", str(path), "--effects", "--run-id", "r1").out
    assert "\nmain.all:\n  delete " in said
    assert "\nmain.broken:\n  (the step says nothing of its effects)\n" in said


def test_what_a_lock_guards_is_told_too(project: "Project") -> None:
    path = flow(
        project,
        """
      - {id: plain, type: with_lock, inputs: {lock_key: k, step: {type: wipe, inputs: {path: a.csv}}}}
      - {id: fenced, type: with_lock, inputs: {lock_key: k, step: {type: wipe, inputs: {path: "{{lock.token}}"}}}}
""",
    )
    found = effects(project, path)
    assert found["plain"][0] == "hold the lock k while wipe runs"
    assert found["plain"][1].startswith("wipe: delete ")
    assert found["fenced"][1] == "wipe: not known before: {{lock.token}}"
