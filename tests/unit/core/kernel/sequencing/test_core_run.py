"""Running flows: statuses, outputs, gates, exit codes, what goes to which stream, cleanup."""

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import ANY

import pytest
from core_run import RECEIVED, VALUES

from aetherflow.core.api import RunFailedError
from aetherflow.core.runner import run_flow

if TYPE_CHECKING:
    from core_project import Project


JOBS = """\
jobs:
  - id: load
    steps:
      - {id: v, type: test_values, outputs: {n: "{{result.int}}", l: "{{result.list}}", t: "n={{result.int}}"}}
      - {id: r, type: test_receive, inputs: {all: "{{steps.v}}", n: "{{job.outputs.n}}", ids: "{{flow_id}}/{{run_id}}"}}
      - {id: again, type: test_receive, inputs: {list: "{{steps.v.list}}", nested: "{{steps.v.nested}}"}}
  - id: after
    depends_on: [load]
    when: jobs.load.outputs.n == 5 and jobs.load.status == "SUCCESS" and jobs.load.outputs.t == "n=5"
    steps:
      - {id: r, type: test_receive, inputs: {l: "{{jobs.load.outputs.l}}", status: "{{jobs.load.status}}"}}
"""


def test_outputs_keep_their_types_through_templates(project: "Project") -> None:
    RECEIVED.clear()
    project.flow(JOBS)
    result = project.cli("run", "flow.yaml", "--run-id", "r1")
    assert result.code == 0, result.err
    assert [
        {"all": VALUES, "n": 5, "ids": "f/r1"},
        {"list": VALUES["list"], "nested": VALUES["nested"]},
        {"l": VALUES["list"], "status": "SUCCESS"},
    ] == RECEIVED
    assert project.rows("SELECT job_id, status, when_result FROM job_runs ORDER BY started_at, job_id") == [
        ("load", "SUCCESS", 1),
        ("after", "SUCCESS", 1),
    ]
    assert project.rows("SELECT DISTINCT status, attempt FROM step_runs") == [("SUCCESS", 1)]
    assert json.loads(project.rows("SELECT outputs FROM job_runs WHERE job_id='load'")[0][0]) == {
        "n": 5,
        "l": VALUES["list"],
        "t": "n=5",
    }


def test_a_step_may_return_a_map_nothing_or_a_result(project: "Project") -> None:
    project.flow(
        """\
        jobs:
          - id: a
            steps:
              - {id: a, type: test_return, inputs: {value: "None"}}
              - {id: b, type: test_return, inputs: {value: "dict(x=1)"}}
              - {id: c, type: test_return, inputs: {value: "StepResult(output=dict(x=2))"}}
              - {id: d, type: test_return, inputs: {value: "StepResult('SKIPPED', dict(x=3), 'why')"}}
              - {id: e, type: test_receive, inputs: {a: "{{steps}}"}}
        """
    )
    RECEIVED.clear()
    assert project.cli("run", "flow.yaml").code == 0
    assert RECEIVED == [{"a": {"a": {}, "b": {"x": 1}, "c": {"x": 2}, "d": {"x": 3, "reason": "why"}}}]
    assert [row[0] for row in project.rows("SELECT status FROM step_runs ORDER BY step_id")] == [
        "SUCCESS", "SUCCESS", "SUCCESS", "SKIPPED", "SUCCESS",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("5", "returned int"),
        ("StepResult('FAILED')", "returned status 'FAILED'"),
        ("dict(x=b'bytes')", "output.x is of type bytes"),
        ("dict(x=[dict(y=float('nan'))])", "output.x[0].y is nan"),
        ("dict(x=float('inf'))", "output.x is inf"),
        ("dict(x='\\ud800')", "lone surrogate"),
        ("{1: 2}", "keys must be text"),
        ("dict(x=object())", "of type object"),
        ("dict(x='x' * (64 * 2**20))", "too large"),
    ],
)
def test_what_cannot_be_stored_fails_the_step_before_it_is_success(project: "Project", value: str, words: str) -> None:
    project.flow(
        f"""\
        jobs:
          - id: a
            steps:
              - {{id: s, type: test_return, inputs: {{value: {json.dumps(value)}}}}}
          - {{id: b, steps: [{{id: s, type: check_items, inputs: {{items: [1]}}}}]}}
        """
    )
    result = project.cli("run", "flow.yaml", "--run-id", "r")
    assert result.code == 1
    assert words in result.err
    assert "internal error" not in result.err
    assert project.rows("SELECT job_id, status FROM step_runs ORDER BY 1") == [("a", "FAILED"), ("b", "SUCCESS")]
    assert project.rows("SELECT status FROM runs") == [("FAILED",)]


def test_a_promotion_that_fails_leaves_the_step_failed(project: "Project") -> None:
    step = "{id: s, type: test_values, outputs: {a: '{{result.int}}', b: '{{result.gone}}'}}"
    project.flow(f"jobs: [{{id: a, steps: [{step}]}}]\n")
    result = project.cli("run", "flow.yaml", "--run-id", "r")
    assert result.code == 1
    assert "no value for {{result.gone}}" in result.err
    assert "flow.yaml:3:" in result.err
    assert project.rows("SELECT status, outputs FROM step_runs") == [("FAILED", None)]
    assert project.rows("SELECT status, outputs FROM job_runs") == [("FAILED", None)]
    project.flow(f"jobs: [{{id: a, steps: [{step.replace('.gone', '.text')}]}}]\n")
    assert project.cli("run", "flow.yaml", "--run-id", "r").code == 0
    assert project.rows("SELECT attempt, status FROM step_runs") == [(1, "FAILED"), (2, "SUCCESS")]


GATES = """\
jobs:
  - id: bad
    steps:
      - {id: s, type: test_fail, inputs: {message: oh no}}
      - {id: never, type: check_items, inputs: {items: [1]}}
  - {id: needs_bad, depends_on: [bad], steps: [{id: s, type: check_items, inputs: {items: [1]}}]}
  - {id: needs_that, depends_on: [needs_bad], when: "jobs.zz > 1", steps: []}
  - {id: independent, steps: [{id: s, type: check_items, inputs: {items: [1]}}]}
  - id: handler
    when: jobs.bad.status == "FAILED"
    steps: [{id: s, type: test_receive, inputs: {e: "{{jobs.bad.error}}"}}]
  - {id: not_wanted, when: 'jobs.bad.status == "SUCCESS"', steps: [{id: s, type: test_fail}]}
  - {id: needs_skipped, depends_on: [not_wanted], steps: []}
  - {id: wrong_when, when: 'jobs.bad.status > 5', steps: []}
  - id: short
    steps:
      - {id: s, type: check_items, inputs: {items: []}, on_no_data: skip_job, outputs: {n: "{{result.count}}"}}
      - {id: t, type: test_fail}
  - id: soft
    steps:
      - {id: s, type: check_items, inputs: {items: []}}
      - {id: t, type: check_items, inputs: {items: [1]}}
"""


def test_gates_failures_and_what_goes_on(project: "Project") -> None:
    project.flow(GATES.replace('when: "jobs.zz > 1", ', ""))
    RECEIVED.clear()
    result = project.cli("run", "flow.yaml", "--run-id", "r", "--json")
    assert result.code == 1
    summary = json.loads(result.out)
    jobs = {job["job_id"]: job for job in summary["jobs"]}
    assert {name: job["status"] for name, job in jobs.items()} == {
        "bad": "FAILED", "needs_bad": "BLOCKED", "needs_that": "BLOCKED", "independent": "SUCCESS",
        "handler": "SUCCESS", "not_wanted": "SKIPPED", "needs_skipped": "BLOCKED", "wrong_when": "FAILED",
        "short": "SKIPPED", "soft": "SUCCESS",
    }  # fmt: skip
    assert dict(project.rows("SELECT job_id, status FROM job_runs")) == {n: j["status"] for n, j in jobs.items()}
    assert jobs["needs_bad"]["blocked_by"] == "bad"
    assert jobs["not_wanted"]["skip_reason"] == "condition=false"
    assert jobs["short"]["skip_reason"] == "count(0) < min_count(1)"
    assert [step["status"] for step in jobs["short"]["steps"]] == ["SKIPPED", "SKIPPED"]
    assert [step["status"] for step in jobs["bad"]["steps"]] == ["FAILED"]
    assert RECEIVED == [{"e": {"step": "s", "code": "AF5001", "message": ANY, "log": ANY, "items": []}}]
    assert re.fullmatch(r"RuntimeError: oh no \(.*core_run\.py:\d+\)", RECEIVED[0]["e"]["message"])
    assert 'raise RuntimeError(self.inputs.get("message", "failed"))' in Path(RECEIVED[0]["e"]["log"]).read_text()
    assert "when: cannot order text and a number" in jobs["wrong_when"]["error"]["message"]
    assert jobs["wrong_when"]["error"]["location"].startswith("flow.yaml:16:")
    assert summary["status_counts"] == {"FAILED": 2, "BLOCKED": 3, "SUCCESS": 3, "SKIPPED": 2}
    assert (summary["exit_code"], summary["error"]["job"], summary["error"]["step"]) == (1, "bad", "s")
    stored = json.loads(project.rows("SELECT outputs FROM step_runs WHERE job_id='short' AND step_id='t'")[0][0])
    assert stored == {"skipped": True, "reason": "count(0) < min_count(1)"}


def test_skipped_and_blocked_by_skipped_is_success(project: "Project") -> None:
    project.flow("jobs:\n- {id: a, when: 'false', steps: []}\n- {id: b, depends_on: [a], steps: []}\n")
    result = project.cli("run", "flow.yaml")
    assert result.code == 0
    assert "blocked by a" in result.out
    assert project.cli("run", "flow.yaml", "-q").out == ""


def test_a_flow_without_jobs_and_a_job_without_steps_succeed(project: "Project") -> None:
    project.flow("jobs: []\n")
    assert project.cli("run", "flow.yaml").code == 0
    project.flow("jobs: [{id: a, steps: []}]\n")
    assert project.cli("run", "flow.yaml").code == 0


def test_when_of_an_entered_job_is_decided_once(project: "Project") -> None:
    # the job before it fails in the first process and succeeds in the second: what was begun is finished all the same
    jobs = """\
        jobs:
          - {id: a, steps: [{id: s, type: %s}]}
          - {id: h, when: 'jobs.a.status == "FAILED"', steps: [{id: s, type: %s}]}
        """
    project.flow(jobs % ("test_fail", "test_fail"))
    assert project.cli("run", "flow.yaml", "--run-id", "r").code == 1
    project.flow(jobs % ("test_values", "test_values"))
    assert project.cli("run", "flow.yaml", "--run-id", "r").code == 0
    assert project.rows("SELECT job_id, status FROM job_runs ORDER BY 1") == [("a", "SUCCESS"), ("h", "SUCCESS")]


def test_the_json_summary_has_the_contracts_fields(project: "Project") -> None:
    project.flow("jobs: [{id: a, steps: [{id: s, type: check_items, inputs: {items: [1]}}]}]\n")
    result = project.cli("run", "flow.yaml", "--run-id", "r", "--json", "-q")
    summary = json.loads(result.out)
    assert result.err == ""
    assert {
        "schema", "flow_id", "run_id", "status", "duration_ms", "status_counts", "jobs", "exit_code", "error",
        "artifacts", "state_path", "log_path", "work_root",
    } <= summary.keys()  # fmt: skip
    assert (summary["schema"], summary["exit_code"], summary["error"], summary["artifacts"]) == (1, 0, None, [])
    (job,) = summary["jobs"]
    assert {"job_id", "status", "duration_ms", "skip_reason", "steps"} <= job.keys()
    assert {"step_id", "step_type", "status", "duration_ms"} <= job["steps"][0].keys()


@pytest.mark.parametrize("error", [BrokenPipeError, KeyboardInterrupt, SystemExit, GeneratorExit])
def test_a_failing_observer_does_not_fail_the_run(project: "Project", error: type[BaseException]) -> None:
    seen: list[str] = []

    def broken(event: str, fields: dict[str, Any]) -> None:
        raise error(event)

    path = project.flow("jobs: [{id: a, steps: [{id: s, type: check_items, inputs: {items: [1]}}]}]\n")
    summary = run_flow(path, observers=[broken, lambda event, fields: seen.append(event)])
    assert summary.status == "SUCCESS"
    assert seen == ["run_start", "job_start", "step_start", "step_end", "job_end", "run_summary"]


def test_run_flow_returns_or_raises_with_the_summary(project: "Project") -> None:
    path = project.flow("jobs: [{id: a, steps: [{id: s, type: test_fail, inputs: {message: 'no {{env.X:luck}}'}}]}]\n")
    with pytest.raises(RunFailedError) as caught:
        run_flow(path, run_id="r")
    assert caught.value.summary.jobs[0].error is not None
    assert caught.value.summary.jobs[0].error.message.startswith("RuntimeError: no luck (")
    assert caught.value.exit_code == 1


@pytest.mark.parametrize("run_id", ["", "../x", "a/b", "-x", ".x", "a b", "x" * 129, "ä"])
def test_run_ids_that_are_none(project: "Project", run_id: str) -> None:
    project.flow("jobs: []\n")
    result = project.cli("run", "flow.yaml", f"--run-id={run_id}")
    assert result.code == 2
    assert result.err.startswith("AF0002 ")
    assert not project.state.exists()


def test_the_default_run_id_is_twelve_hex_characters(project: "Project") -> None:
    project.flow("jobs: []\n")
    assert re.match(r"run [0-9a-f]{12} of flow f", project.cli("run", "flow.yaml").out)


def test_a_folder_that_is_not_ours_is_neither_used_nor_deleted(project: "Project") -> None:
    foreign = project.work / "f/a/r"
    foreign.mkdir(parents=True)
    (foreign / "precious.txt").write_text("mine")
    project.flow("jobs: [{id: a, steps: [{id: s, type: external.process, inputs: {command: [echo, x]}}]}]\n")
    result = project.cli("run", "flow.yaml", "--run-id", "r")
    assert result.code == 1
    assert "is not a folder of this run" in result.err
    assert [path.name for path in foreign.iterdir()] == ["precious.txt"]


def test_a_folder_with_anothers_marker_is_not_deleted(project: "Project") -> None:
    foreign = project.work / "f/a/r"
    foreign.mkdir(parents=True)
    (foreign / ".aetherflow-run.json").write_text('{"flow_id": "f", "run_id": "other"}')
    (foreign / "precious.txt").write_text("theirs")
    project.flow("jobs: [{id: a, steps: [{id: s, type: check_items, inputs: {items: [1]}}]}]\n")
    assert project.cli("run", "flow.yaml", "--run-id", "r").code == 0
    assert (foreign / "precious.txt").read_text() == "theirs"


def test_a_path_out_of_the_roots_fails_the_step(project: "Project") -> None:
    for target in ("../../../../../x.txt", "/tmp/x.txt", str(project.folder / "x.txt")):
        project.flow(
            "jobs: [{id: a, steps: [{id: s, type: external.process, inputs: "
            f"{{command: [echo, x], log: {{stdout: file, file_path: {target}, append: false}}}}}}]}}]\n"
        )
        result = project.cli("run", "flow.yaml")
        assert result.code == 1
        assert "AF5003 path is outside the allowed folders" in result.err
    assert not (project.folder / "x.txt").exists()


def test_a_short_flow_cannot_ask_for_gigabytes(project: "Project", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEXT", "x" * 100_000)
    text = "{{lock.key}}{{env.TEXT}}" * 1_000
    inner = f'{{type: check_items, inputs: {{items: ["{text}"]}}}}'
    project.flow(f"jobs: [{{id: a, steps: [{{id: s, type: with_lock, inputs: {{lock_key: k, step: {inner}}}}}]}}]\n")
    ended = project.cli("run", "flow.yaml")
    assert ended.code == 1
    assert "AF1307 the templates make a value of more than 64 MiB" in ended.err
    assert "fix: write the data to a file in a step, and give its path to the next one" in ended.err


def test_a_step_cannot_ask_for_gigabytes_in_many_values(project: "Project", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEXT", "x" * 100_000)
    items = [f"{number}{'{{env.TEXT}}' * 500}" for number in range(6)]
    project.flow(f"jobs: [{{id: a, steps: [{{id: s, type: check_items, inputs: {{items: {json.dumps(items)}}}}}]}}]\n")
    ended = project.cli("run", "flow.yaml")
    assert ended.code == 1
    assert "AF1307 the templates make values of more than 256 MiB for one step" in ended.err


def test_a_secret_on_the_command_line_is_not_recorded(project: "Project", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_TOKEN", "t0k3n-v4lue")
    monkeypatch.setattr(sys, "argv", ["aetherflow", "t0k3n-v4lue"])
    project.flow("jobs: []\n")
    assert project.cli("run", "flow.yaml").code == 0
    assert project.rows("SELECT command FROM runs") == [("aetherflow '***'",)] or project.rows(
        "SELECT command FROM runs"
    ) == [("aetherflow ***",)]


def test_reasons_with_secrets_are_masked(project: "Project", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_TOKEN", "t0k3n-v4lue")
    value = "StepResult('SKIPPED', None, 't0k3n' + '-v4lue')"
    step = f'{{id: s, type: test_return, on_no_data: skip_job, inputs: {{value: "{value}"}}}}'
    project.flow(f"jobs: [{{id: a, steps: [{step}]}}]\n")
    for arguments in (("--json",), ()):
        result = project.cli("run", "flow.yaml", *arguments)
        assert result.code == 0
        assert "t0k3n-v4lue" not in result.out + result.err
    assert project.rows("SELECT DISTINCT reason FROM step_runs") == [("***",)]
    for log in project.states.rglob("*.jsonl"):
        assert "t0k3n-v4lue" not in log.read_text()


def test_flow_metadata_without_value_is_located(project: "Project") -> None:
    project.write('flow: {id: "{{env.NO_SUCH_KEY}}"}\njobs: []\n')
    result = project.cli("run", "flow.yaml")
    assert result.code == 2
    assert result.err.startswith("flow.yaml:1:12: AF1303 ")
    project.write('flow: {id: "{{env.AETHERFLOW_WORK_ROOT}}"}\njobs: []\n')
    result = project.cli("run", "flow.yaml")
    assert result.code == 2
    assert "AF1206" in result.err


def test_a_file_that_a_later_step_has_moved_is_not_kept(project: "Project") -> None:
    made = "{id: make, type: file_write, inputs: {path: here, content: x}}"
    moved = "{id: move, type: file_move, inputs: {src: here, dest: there}}"
    project.flow(f"jobs: [{{id: a, steps: [{made}, {moved}, {{id: s, type: test_fail}}]}}]\n")
    folder = project.artifacts("a", "r")
    for lines in (  # in the process that made it, and in one that reuses the steps
        project.cli("run", "flow.yaml", "--run-id", "r"),
        project.cli("run", "flow.yaml", "--run-id", "r"),
    ):
        assert f"  {folder}/here  1 bytes (removed: a.move)\n" in lines.out
        assert [line for line in lines.err.splitlines() if "kept:" in line] == [f"kept: {folder}/there  1 bytes"]
