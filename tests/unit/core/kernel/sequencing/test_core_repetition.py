"""Steps that repeat: `retry` after failures, `for_each` over items, each item resumed by itself."""

import json
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from aetherflow.core.api import Step, StepResult, register_step

if TYPE_CHECKING:
    from core_project import Project


@register_step("repeat_note")
class Note(Step[Any]):
    """Writes down its inputs; fails as often as the file `fail` beside EFFECTS has characters."""

    def run(self) -> StepResult:
        effects = Path(self.ctx.env["EFFECTS"])
        with effects.open("a") as file:
            file.write(json.dumps([self.ctx.attempt, self.inputs.get("v"), self.ctx.idempotency_key]) + "\n")
        fail = effects.with_name("fail")
        if fail.exists() and (left := fail.read_text()) and self.inputs.get("v") == self.inputs.get("fail_at"):
            fail.write_text(left[1:])
            raise ValueError("told to fail")
        if self.inputs.get("skip"):
            return StepResult("SKIPPED", {}, "told to skip")
        return StepResult(output={"v": self.inputs.get("v"), "n": self.ctx.attempt})


@register_step("repeat_list")
class Listing(Step[Any]):
    """Reads a list from the file LIST, and leaves an artifact."""

    def run(self) -> StepResult:
        with self.ctx.write_file("listed.txt") as artifact:
            artifact.write(b"x")
        found = json.loads(Path(self.ctx.env["LIST"]).read_text())
        return StepResult(output={"found": found, "file": str(self.ctx.write_path("listed.txt"))})


@register_step("repeat_stop")
class Stop(Step[Any]):
    """Asks the run to stop, and waits for it."""

    def run(self) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            self.ctx.check_cancelled()
            time.sleep(0.01)


def calls(project: "Project") -> list[list[Any]]:
    return [json.loads(line) for line in project.lines()]


def run(project: "Project") -> int:
    return project.cli("run", "flow.yaml", "--run-id", "r").code


def failures(project: "Project", number: int) -> None:
    project.effects.with_name("fail").write_text("x" * number)


def step(text: str) -> str:
    return f"jobs:\n  - id: a\n    steps:\n      - {{id: s, type: repeat_note, {text}}}\n"


def test_retries_until_it_goes_well(project: "Project") -> None:
    project.flow(step("retry: {max_attempts: 3}"))
    failures(project, 2)
    done = project.cli("run", "flow.yaml", "--run-id", "r")
    assert done.code == 0
    assert [call[0] for call in calls(project)] == [1, 2, 3]
    assert len({call[2] for call in calls(project)}) == 1, "one key for all attempts"
    assert project.rows("SELECT attempt, status FROM step_runs ORDER BY 1") == [
        (1, "FAILED"), (2, "FAILED"), (3, "SUCCESS"),
    ]  # fmt: skip
    assert done.err.count("step_retry") == 2


def test_attempts_are_counted_in_all(project: "Project") -> None:
    project.flow(step("retry: {max_attempts: 2}"))
    failures(project, 9)
    assert run(project) == 1
    assert len(calls(project)) == 2
    assert run(project) == 1, "a resumed run has its own attempts"
    assert [call[0] for call in calls(project)] == [1, 2, 3, 4]


def test_the_wait_grows_up_to_its_limit(project: "Project") -> None:
    retry = "{max_attempts: 4, backoff_seconds: 0.1, backoff_multiplier: 10, max_backoff_seconds: 0.2}"
    project.flow(step(f"retry: {retry}"))
    failures(project, 9)
    started = time.monotonic()
    done = project.cli("run", "flow.yaml")
    assert time.monotonic() - started >= 0.5
    delays = [line.split("delay_seconds=")[1].split()[0] for line in done.err.splitlines() if "step_retry" in line]
    assert delays == ["0.1", "0.2", "0.2"]


def test_no_attempt_starts_after_the_elapsed_time(project: "Project") -> None:
    project.flow(step("retry: {max_attempts: 99, backoff_seconds: 0.2, max_elapsed_seconds: 0.5}"))
    failures(project, 99)
    assert run(project) == 1
    assert 2 <= len(calls(project)) <= 3


def test_a_step_for_every_item(project: "Project") -> None:
    project.flow(
        """\
        jobs:
          - id: a
            steps:
              - id: s
                type: repeat_note
                for_each: [x, {k: 1}, x]
                inputs: {v: "{{item}}"}
                outputs: {count: "{{result.count}}", items: "{{result.items}}"}
              - {id: t, type: repeat_note, inputs: {v: "{{steps.s.count}}"}}
          - {id: b, when: jobs.a.outputs.count == 3, steps: [{id: u, type: repeat_note}]}
        """
    )
    assert run(project) == 0
    assert [call[1] for call in calls(project)] == ["x", {"k": 1}, "x", 3, None]
    assert len({call[2] for call in calls(project)[:3]}) == 3, "a key per item, equal ones included"
    rows = project.rows("SELECT item_key, status FROM step_runs WHERE step_id='s' ORDER BY started_at, item_key")
    assert len(rows) == 4
    assert {row[1] for row in rows} == {"SUCCESS"}
    outputs = json.loads(project.rows("SELECT outputs FROM job_runs WHERE job_id='a'")[0][0])
    assert outputs["count"] == 3
    assert [item["v"] for item in outputs["items"]] == ["x", {"k": 1}, "x"]


def test_items_that_are_done_are_not_done_again(project: "Project") -> None:
    project.flow(step('for_each: [1, 2, 3], inputs: {v: "{{item}}", fail_at: 2}'))
    failures(project, 1)
    done = project.cli("run", "flow.yaml", "--run-id", "r")
    assert done.code == 1
    assert "AF5001 item 2 of 3 (2): ValueError: told to fail" in done.err
    assert [call[1] for call in calls(project)] == [1, 2]
    assert project.rows("SELECT status FROM step_runs WHERE item_key='' ORDER BY attempt") == [("FAILED",)]
    assert run(project) == 0
    assert [call[1] for call in calls(project)] == [1, 2, 2, 3]
    outputs = json.loads(project.rows("SELECT outputs FROM step_runs WHERE item_key='' AND status='SUCCESS'")[0][0])
    assert [item["v"] for item in outputs["items"]] == [1, 2, 3]


@pytest.mark.parametrize(
    "stops",
    [
        "type: repeat_stop, for_each: [1, 2]",
        "type: with_lock, inputs: {lock_key: k, step: {type: repeat_stop, id: i, inputs: {}}}",
    ],
    ids=["an item", "a step inside"],
)
def test_a_stop_is_recorded_alike_of_a_step_and_of_its_parts(project: "Project", stops: str) -> None:
    project.flow(f"jobs: [{{id: a, steps: [{{id: s, {stops}}}]}}]\n")
    assert run(project) == 143
    rows = project.rows("SELECT status, error, reason_code FROM step_runs")
    assert rows == [("INTERRUPTED", "signal 15", "stopped")] * 2


def test_retries_are_per_item(project: "Project") -> None:
    project.flow(step('for_each: [1, 2], retry: {max_attempts: 2}, inputs: {v: "{{item}}", fail_at: 2}'))
    failures(project, 1)
    assert run(project) == 0
    assert [call[:2] for call in calls(project)] == [[1, 1], [1, 2], [2, 2]]


def test_the_list_is_frozen_when_the_step_starts(project: "Project", monkeypatch: pytest.MonkeyPatch) -> None:
    project.flow(
        """\
        jobs:
          - id: a
            steps:
              - {id: list, type: repeat_list}
              - id: each
                type: repeat_note
                for_each: "{{steps.list.found}}"
                inputs: {v: "{{item}}", fail_at: b, file: "{{steps.list.file}}"}
        """
    )
    source = project.folder / "list"
    source.write_text('["a", "b"]')
    monkeypatch.setenv("LIST", str(source))
    failures(project, 1)
    assert run(project) == 1
    # the listing is made again, because its file is needed, and gives another list by now
    (project.artifacts("a", "r") / "listed.txt").unlink()
    source.write_text('["x"]')
    assert run(project) == 0
    lists = project.rows("SELECT json_extract(outputs, '$.found') FROM step_runs WHERE step_id='list' ORDER BY attempt")
    assert lists == [('["a","b"]',), ('["x"]',)]
    assert [call[1] for call in calls(project)] == ["a", "b", "b"]
    items = project.rows("SELECT items FROM step_runs WHERE step_id='each' AND item_key='' ORDER BY attempt")
    assert items == [('{"items":["a","b"]}',)] * 2


def test_an_empty_list_is_frozen_too(project: "Project", monkeypatch: pytest.MonkeyPatch) -> None:
    project.flow(
        """\
        jobs:
          - id: a
            steps:
              - {id: list, type: repeat_list}
              - id: each
                type: repeat_note
                for_each: "{{steps.list.found}}"
                inputs: {v: "{{item}}", file: "{{steps.list.file}}"}
                outputs: {more: "{{steps.list.more}}"}
        """
    )
    source = project.folder / "list"
    source.write_text("[]")
    monkeypatch.setenv("LIST", str(source))
    assert run(project) == 1, "the listing has no output `more`"
    (project.artifacts("a", "r") / "listed.txt").unlink()
    source.write_text('["x"]')
    assert run(project) == 1
    assert calls(project) == []
    lists = project.rows("SELECT json_extract(outputs, '$.found') FROM step_runs WHERE step_id='list' ORDER BY attempt")
    assert lists == [("[]",), ('["x"]',)], "the listing was made again"


@pytest.mark.parametrize(("items", "status", "outputs"), [("[]", "SUCCESS", '{"count":0,"items":[]}')])
def test_an_empty_list(project: "Project", items: str, status: str, outputs: str) -> None:
    project.flow(step(f"for_each: {items}"))
    assert run(project) == 0
    assert project.rows("SELECT status, outputs FROM step_runs") == [(status, outputs)]


def test_all_items_skipped(project: "Project") -> None:
    project.flow(step("for_each: [1, 2], on_no_data: skip_job, inputs: {skip: true}"))
    assert run(project) == 0
    assert project.rows("SELECT status, reason FROM step_runs WHERE item_key=''") == [
        ("SKIPPED", "all 2 items were skipped")
    ]
    assert project.rows("SELECT status, skip_reason FROM job_runs") == [("SKIPPED", "all 2 items were skipped")]


def test_a_value_that_is_no_list(project: "Project") -> None:
    project.flow(
        """\
        jobs:
          - id: a
            steps:
              - {id: one, type: repeat_note, inputs: {v: text}}
              - {id: s, type: repeat_note, for_each: "{{steps.one.v}}"}
        """
    )
    done = project.cli("run", "flow.yaml")
    assert done.code == 1
    assert "flow.yaml:7:46" in done.err
    assert "for_each gives text, not a list" in done.err


def test_a_finished_item_whose_step_changed_is_refused(project: "Project") -> None:
    project.flow(step('for_each: [1, 2], inputs: {v: "{{item}}", fail_at: 2}'))
    failures(project, 1)
    assert run(project) == 1
    project.flow(step('for_each: [1, 2], inputs: {v: "{{item}}", fail_at: 2, more: 1}'))
    done = project.cli("run", "flow.yaml", "--run-id", "r")
    assert done.code == 2
    assert "changed since they finished: a.s" in done.err
    assert project.cli("run", "flow.yaml", "--run-id", "r", "--from-step", "a.s").code == 0
    assert [call[1] for call in calls(project)] == [1, 2, 1, 2]


def test_stop_at_the_first_failed_job(project: "Project") -> None:
    project.flow(
        """\
        jobs:
          - {id: a, steps: [{id: s, type: repeat_note}]}
          - {id: b, steps: [{id: s, type: repeat_note}]}
        """
    )
    text = (project.folder / "flow.yaml").read_text()
    (project.folder / "flow.yaml").write_text(text.replace("{id: f}", "{id: f, on_failure: stop}"))
    failures(project, 1)
    assert run(project) == 1
    assert project.rows("SELECT job_id, status, blocked_by FROM job_runs ORDER BY 1") == [
        ("a", "FAILED", None), ("b", "BLOCKED", "a"),
    ]  # fmt: skip
    assert run(project) == 0
    assert len(calls(project)) == 3
