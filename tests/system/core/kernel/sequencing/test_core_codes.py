"""What becomes of runs is decided on codes: it is the same whatever the words of the reasons are."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from core_project import Project

JOBS = """
jobs:
  - id: empty
    steps:
      - {id: gate, type: check_items, inputs: {items: []}, on_no_data: skip_job}
      - {id: after, type: check_items, inputs: {items: [1]}}
  - id: follows
    when: jobs.empty.status == "SKIPPED"
    steps: [{id: s, type: check_items, inputs: {items: [1]}}]
  - id: never
    when: jobs.empty.status == "SUCCESS"
    steps: [{id: s, type: check_items, inputs: {items: [1]}}]
  - id: items
    steps: [{id: each, type: check_items, for_each: [1, 2], inputs: {items: []}}]
  - id: sends
    steps:
      - id: mail
        type: external.process
        effect: once
        timeout_seconds: 0.1
        inputs: {command: [sleep, "60"]}
"""


def decided(project: "Project", run_id: str) -> dict[str, Any]:
    """All that was decided about a run; the words are not in it."""
    of = f"FROM {{}} WHERE run_id='{run_id}' ORDER BY 1, 2, 3"
    return {
        "runs": project.rows("SELECT status, reason_code, generation " + of.format("runs")),
        "jobs": project.rows("SELECT job_id, status, reason_code, when_result " + of.format("job_runs")),
        "steps": project.rows(
            "SELECT job_id, step_id, attempt, item_key, status, reason_code, effect " + of.format("step_runs")
        ),
    }


def a_night(project: "Project", run_id: str) -> list[Any]:
    """A part of a run, the rest of it, a question, its answer, and the same run once more."""
    found: list[Any] = []

    def run(*arguments: str) -> None:
        plan = project.cli("plan", "flow.yaml", "--run-id", run_id, "--json", *arguments)
        verdicts = [(job["job_id"], job["verdict"]) for job in json.loads(plan.out)["jobs"]] if plan.out else plan.code
        done = project.cli("run", "flow.yaml", "--run-id", run_id, "--json", *arguments)
        summary = json.loads(done.out)
        jobs = [(job["job_id"], job["status"], job["reason_code"], len(job["steps"])) for job in summary["jobs"]]
        found.extend([verdicts, done.code, summary["nothing_to_do"], jobs, decided(project, run_id)])

    run("--flow-job", "empty")
    run("--flow-job", "empty")
    run()
    run()
    answered = project.cli("resume", run_id, "--decide", "sends.mail=done", "-q")
    found += [answered.code, decided(project, run_id)]
    run()
    return found


def test_the_words_decide_nothing(project: "Project", scramble: Callable[[], None]) -> None:
    project.flow(JOBS)
    plain = a_night(project, "plain")
    scramble()
    assert a_night(project, "other") == plain
    reasons = "SELECT reason FROM {0} WHERE run_id='other' AND reason IS NOT NULL"
    texts = {text for table in ("runs", "step_runs") for (text,) in project.rows(reasons.format(table))}
    assert texts
    assert all(text.startswith("~") for text in texts)


def test_each_reason_has_its_code(project: "Project") -> None:
    project.flow(JOBS)
    a_night(project, "r")
    found = decided(project, "r")
    assert found["runs"] == [("SUCCESS", None, 5)]
    assert [job[:3] for job in found["jobs"]] == [
        ("empty", "SKIPPED", "step"),
        ("follows", "SUCCESS", None),
        ("items", "SUCCESS", None),
        ("never", "SKIPPED", "condition"),
        ("sends", "SUCCESS", None),
    ]
    codes = {(job, step, code) for job, step, _, item, _, code, _ in found["steps"] if not item}
    assert codes == {
        ("empty", "gate", "step"),
        ("empty", "after", "no_data"),
        ("follows", "s", None),
        ("items", "each", "items_skipped"),
        ("sends", "mail", "decided"),
    }


def test_a_run_without_some_jobs_is_shown_with_its_code(project: "Project") -> None:
    project.flow(JOBS)
    assert project.cli("run", "flow.yaml", "--run-id", "r", "--flow-job", "empty", "-q").code == 0
    shown = json.loads(project.cli("runs", "show", "r", "--json").out)
    assert (shown["reason"], shown["reason_code"]) == ("without follows, never, items, sends", "partial")
    assert [(job["skip_reason"], job["reason_code"]) for job in shown["jobs"]] == [("count(0) < min_count(1)", "step")]
    (flow,) = json.loads(project.cli("status", "--json").out)["flows"]
    assert flow["reason_code"] == "partial"


def test_where_a_run_was_started_is_written_down(project: "Project") -> None:
    project.flow(JOBS)
    project.write("{}", "aetherflow.yaml")
    assert project.cli("run", "flow.yaml", "--run-id", "r", "--flow-job", "empty", "-q").code == 0
    shown = json.loads(project.cli("runs", "show", "r", "--json").out)
    assert shown["config"] == str(project.folder / "aetherflow.yaml")
    assert shown["working_dir"] == str(project.folder)
    assert shown["manifest"] is None
