"""`for_each: {quarantine: FOLDER}`: a bad file is set aside, with its reason, and its claim is settled."""

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from aetherflow.core.api import ConnectorError, Step, StepError, StepResult, register_step

if TYPE_CHECKING:
    from core_project import Project

FLOW = """\
version: 1
flow: {id: f}
jobs:
  - id: take
    steps:
      - id: find
        type: file_find
        inputs: {path: "{{env.INBOX}}", pattern: "**/*.txt", new_only: true, on_empty: skip}
        on_no_data: skip_job
        outputs: {files: "{{result.files}}"}
  - id: load
    depends_on: [take]
    on_dependency_skipped: skip
    steps:
      - id: rows
        type: quarantine_load
        for_each: {items: "{{jobs.take.outputs.files}}", key: "{{item.name}}", MORE}
        inputs: {path: "{{item.path}}", fail: "FAIL"}
        outputs: {bad: "{{result.quarantined_count}}", files: "{{result.quarantined}}"}
  - id: last
    depends_on: [load]
    on_dependency_skipped: skip
    steps: [{id: s, type: assert, inputs: {condition: "params.good"}}]
"""


@register_step("quarantine_load")
class Load(Step[Any]):
    """Appends the content of a file to EFFECTS; fails, as `fail` says, if it begins with bad."""

    def run(self) -> StepResult:
        """Fail for a text that begins with bad, in the way that `fail` names; else append it."""
        text = self.ctx.read_path(self.inputs["path"]).read_text()
        if text.startswith("bad"):
            raise (
                ConnectorError("no answer")
                if self.inputs["fail"] == "peer"
                else StepError(f"{text}: {{{{no}}}} ${{x}}")
            )
        with Path(self.ctx.env["EFFECTS"]).open("a") as file:
            file.write(f"{text}\n")
        return StepResult()


class Nights:
    """Runs of the flow over an inbox."""

    def __init__(self, project: "Project", inbox: Path) -> None:
        self.project, self.inbox = project, inbox
        self.write()

    def write(self, more: str = "on_error: continue, quarantine: bad", fail: str = "") -> None:
        text = FLOW.replace("MORE", more).replace("FAIL", fail)
        self.project.write(text.replace("{id: f}", "{id: f, params: {good: {type: boolean, default: true}}}"))

    def put(self, **files: str) -> None:
        for name, text in files.items():
            (self.inbox / f"{name}.txt").write_text(text)

    def run(self, run_id: str, *more: str) -> tuple[int, str, str]:
        done = self.project.cli("run", "flow.yaml", "--run-id", run_id, *more)
        return done.code, done.out, done.err

    def aside(self) -> dict[str, str]:
        folder = self.project.work / "f" / "bad"
        return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*.txt")}


@pytest.fixture
def nights(project: "Project", monkeypatch: pytest.MonkeyPatch) -> Nights:
    inbox = project.work / "inbox"
    inbox.mkdir(parents=True)
    monkeypatch.setenv("INBOX", str(inbox))
    return Nights(project, inbox)


def test_a_bad_file_is_set_aside_and_seen(nights: Nights) -> None:
    nights.put(a="good a", b="bad b")
    code, out, err = nights.run("one")
    assert code == 0, err
    assert nights.project.lines() == ["good a"]
    reason = "run one of flow f: item 2 of 2 (b.txt): bad b: {{no}} ${x}\n"
    assert nights.aside() == {"one/b.txt": "bad b", "one/b.txt.error.txt": reason}
    assert re.search(r"rows +SUCCESS +\S+ s  warning: 1 of 2 items in quarantine: b.txt\n", out)
    assert "level=WARNING" in err
    shown = nights.project.cli("runs", "show", "one").out
    assert "warning: 1 of 2 items in quarantine: b.txt" in shown
    assert "rows.quarantine[b.txt]" in shown
    outputs = nights.project.rows("SELECT outputs FROM job_runs WHERE job_id='load'")[0][0]
    assert outputs.startswith('{"bad":1,"files":[{"item":"b.txt","path":"')
    assert nights.run("two")[0] == 0
    assert nights.project.rows("SELECT status FROM job_runs WHERE run_id='two'") == [("SKIPPED",)] * 3


def test_the_claims_tell_what_was_set_aside_from_what_was_taken(nights: Nights) -> None:
    nights.put(a="good a", b="bad b")
    assert nights.run("one")[0] == 0
    listed = json.loads(nights.project.cli("claims", "list", "--state", "final", "--json").out)["claims"]
    copy = str(nights.project.work / "f" / "bad" / "one" / "b.txt")
    assert [(each["quarantine"], each["next"]) for each in sorted(listed, key=lambda each: str(each["key"]))] == [
        (None, "taken for good"),
        (copy, f"quarantined, not processed: {copy}; put back where it came from, it is taken again"),
    ]
    assert f"quarantined, not processed: {copy}; " in nights.project.cli("claims", "list", "--state", "final").out


@pytest.mark.parametrize("text", ["bad b", "good b"], ids=["the same", "mended"])
def test_put_back_it_is_offered_again(nights: Nights, text: str) -> None:
    nights.put(a="good a", b="bad b")
    assert nights.run("one")[0] == 0
    aside = nights.project.work / "f" / "bad" / "one" / "b.txt"
    if text == "good b":
        aside.write_text(text)
    aside.rename(nights.inbox / "b.txt")
    assert nights.run("two")[0] == 0
    assert nights.project.lines() == (["good a", "good b"] if text == "good b" else ["good a"])
    assert ("two/b.txt" in nights.aside()) == (text == "bad b")


def test_its_claim_is_settled_whatever_becomes_of_the_run(nights: Nights) -> None:
    nights.put(a="good a", b="bad b")
    assert nights.run("one", "--param", "good=false")[0] == 1
    states = "SELECT key LIKE '%/b.txt %', state, run_id FROM claims ORDER BY 1, 3"
    assert nights.project.rows(states) == [(0, "open", "one"), (1, "final", "one")]
    assert nights.run("two")[0] == 0
    assert nights.project.rows(states) == [(0, "lost", "one"), (0, "final", "two"), (1, "final", "one")]
    assert {name.partition("/")[0] for name in nights.aside()} == {"one"}
    assert nights.project.rows("SELECT count(*) FROM ledger") == [(2,)]


def test_a_resume_goes_on_with_the_others(nights: Nights) -> None:
    nights.put(a="good a", b="bad b")
    assert nights.run("one", "--param", "good=false")[0] == 1
    assert nights.project.cli("resume", "one").code == 1
    attempts = "SELECT max(attempt) FROM step_runs WHERE step_id LIKE 'rows%' AND item_key<>''"
    assert nights.project.rows(attempts) == [(1,)]
    assert nights.project.cli("resume", "one", "--from-step", "load").code == 1
    assert nights.project.rows(attempts) == [(2,)], "done again as asked"
    assert len(nights.aside()) == 2


def test_without_continue_it_goes_on_too(nights: Nights) -> None:
    nights.write("quarantine: bad")
    nights.put(a="bad a", b="good b")
    assert nights.run("one")[0] == 0
    assert nights.project.lines() == ["good b"]


def test_what_is_not_the_fault_of_the_item_sets_nothing_aside(nights: Nights) -> None:
    nights.write(fail="peer")
    nights.put(a="bad a", b="good b")
    code, _, err = nights.run("one")
    assert code == 1
    assert "1 of 2 items failed: a.txt" in err
    assert nights.aside() == {}
    assert nights.project.rows("SELECT DISTINCT state FROM claims") == [("open",)]


def test_two_files_of_one_name(nights: Nights) -> None:
    for folder in "xy":
        (nights.inbox / folder).mkdir()
        (nights.inbox / folder / "a.txt").write_text(f"bad {folder}")
    assert nights.run("one")[0] == 0
    found = nights.aside()
    assert sorted(text for name, text in found.items() if not name.endswith(".error.txt")) == ["bad x", "bad y"]
    assert len(found) == 4


def test_a_folder_that_cannot_be_written(nights: Nights, tmp_path: Path) -> None:
    nights.write(f"on_error: continue, quarantine: {tmp_path / 'out'}")
    nights.put(a="bad a", b="good b")
    code, _, err = nights.run("one")
    assert code == 1
    assert "1 of 2 items failed: a.txt" in err
    assert "rows.quarantine" in err
    told = nights.project.rows("SELECT error FROM job_runs WHERE job_id='load'")[0][0]
    assert "a.txt: AF5001 bad a: {{no}} ${x}; not set aside: AF5003 path is outside the allowed folders" in told
    assert nights.project.rows("SELECT DISTINCT state FROM claims") == [("open",)]


def test_secrets_are_masked(nights: Nights, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_PASSWORD", "bad-s3cret")
    nights.put(a="bad-s3cret")
    assert nights.run("one")[0] == 0
    assert nights.aside()["one/a.txt.error.txt"].startswith("run one of flow f: item 1 of 1 (a.txt): ***: ")


def test_a_claim_of_another_run_is_not_settled(nights: Nights) -> None:
    nights.project.flow(
        """\
        jobs:
          - id: a
            steps:
              - id: s
                type: quarantine_load
                for_each: {items: [{path: "{{env.INBOX}}/a.txt", claim: abc}], quarantine: bad}
                inputs: {path: "{{item.path}}", fail: ""}
        """
    )
    nights.put(a="bad a")
    code, _, err = nights.run("one")
    assert code == 1
    assert "; not set aside: AF5001 the claim on " in err
    assert "is not one of this run" in err
    assert nights.aside() == {}
    told = nights.project.cli("status").out
    assert "  a.s: item 1 of " in told, "the step, not the part of it that could not be done"


def test_outputs_of_quarantine_need_one(nights: Nights) -> None:
    nights.write("on_error: continue")
    found = nights.project.cli("validate", "flow.yaml").out
    assert "AF1208 jobs[1].steps[0].outputs.bad: 'quarantined_count' is not among this step's outputs" in found


@pytest.mark.parametrize(("item", "what"), [("{n: 1}", "item names no file"), ("none.txt", "there is no file")])
def test_the_step_alone(nights: Nights, item: str, what: str) -> None:
    nights.put(a="any")
    step = "jobs: [{id: a, steps: [{id: s, type: file_quarantine, inputs: {item: ITEM, folder: bad, error: why}}]}]\n"
    nights.project.flow(step.replace("ITEM", item))
    assert what in nights.run("one")[2]
    nights.project.flow(step.replace("ITEM", '"{{env.INBOX}}/a.txt"'))
    effects = nights.project.cli("plan", "flow.yaml", "--effects").out
    assert "copy " in effects
    assert nights.run("two")[0] == 0
    assert nights.aside() == {"two/a.txt": "any", "two/a.txt.error.txt": "run two of flow f: why\n"}


def test_the_folder_of_a_job_is_no_quarantine(nights: Nights) -> None:
    nights.write("quarantine: load/bad")
    assert "AF1103 jobs[1].steps[0].for_each.quarantine: 'load' is the folder of a job" in nights.run("one")[2]
