"""What a resumed run does with results that exist: reuse, refuse, repeat on request, repeat where needed."""

import contextlib
import json
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from aetherflow.core.api import Step, StepResult, register_step

if TYPE_CHECKING:
    from core_project import Project


@register_step("plan_note")
class Note(Step[Any]):
    """Writes down that it ran; fails while its file `fail-STEP` stands; returns what it was given."""

    def run(self) -> StepResult:
        with Path(self.ctx.env["EFFECTS"]).open("a") as file:
            file.write(f"{self.id}\n")
        if Path(self.ctx.env["EFFECTS"]).with_name(f"fail-{self.id}").exists():
            raise ValueError(f"{self.id} is told to fail")
        output = {key: value for key, value in self.inputs.items() if key != "write"}
        if name := self.inputs.get("write"):
            with self.ctx.write_file(name) as file:
                file.write(b"x")
            output["file"] = str(self.ctx.write_path(name))
        return StepResult(output=output)


FLOW = """\
flow: {{id: f, workspace: {{cleanup_policy: never}}}}
jobs:
  - id: extract
    steps:
      - id: one
        type: plan_note
        inputs: {{n: {one}, write: one.txt}}
        outputs: {{n: "{{{{result.n}}}}", file: "{{{{result.file}}}}"}}
      - {{id: two, type: plan_note, inputs: {{n: {two}}}}}
  - id: load
    depends_on: [extract]
    steps:
      - {{id: three, type: plan_note, inputs: {{n: "{{{{jobs.extract.outputs.n}}}}", m: {three}}}}}
  - id: aside
    steps: [{{id: four, type: plan_note, inputs: {{}}}}]
"""


def write(project: "Project", **values: object) -> None:
    project.write(FLOW.format(**{"one": 1, "two": 2, "three": 3, **values}))


def fail(project: "Project", step: str) -> Path:
    path = project.effects.with_name(f"fail-{step}")
    path.touch()
    return path


def run(project: "Project", *options: str) -> tuple[int, str, list[str]]:
    """Exit code, stderr, and the steps that ran."""
    before = len(project.lines())
    done = project.cli("run", "flow.yaml", "--run-id", "r", *options)
    return done.code, done.err, project.lines()[before:]


def verdicts(project: "Project", *options: str) -> dict[str, str]:
    done = project.cli("plan", "flow.yaml", "--run-id", "r", "--json", *options)
    assert done.code == 0, done.err
    return {step["step_id"]: step["verdict"] for job in json.loads(done.out)["jobs"] for step in job["steps"]}


def test_a_new_run(project: "Project") -> None:
    write(project)
    assert set(verdicts(project).values()) == {"run"}
    assert not project.state.exists(), "a plan writes nothing"
    text = project.cli("plan", "flow.yaml").out
    assert text.splitlines()[0].split() == ["job", "step", "verdict", "why"]


def test_a_change_in_an_unfinished_step_goes_on_and_is_shown(project: "Project") -> None:
    write(project)
    block = fail(project, "three")
    assert run(project)[0] == 1
    block.unlink()
    write(project, three=33)
    assert verdicts(project) == {"one": "reuse", "two": "reuse", "three": "run again", "four": "reuse"}
    code, err, ran = run(project)
    assert (code, ran) == (0, ["three"])
    assert "definition_changed job_id=load step_id=three" in err
    assert '"m\\": 33' in err


def test_a_change_in_a_finished_step_is_refused_with_a_diff(project: "Project") -> None:
    write(project)
    block = fail(project, "three")
    run(project)
    block.unlink()
    write(project, two=22)
    code, err, ran = run(project)
    assert (code, ran) == (2, [])
    assert "AF3003 changed since they finished: extract.two" in err
    assert '-   "n": 2' in err
    assert '+   "n": 22' in err
    assert "--accept-changes keeps their results, --from-step extract.two does it again" in err
    assert project.rows("SELECT generation FROM runs") == [(1,)], "nothing was entered"


def test_accepted_changes_keep_the_result_and_are_written_down(project: "Project") -> None:
    write(project)
    block = fail(project, "three")
    run(project)
    block.unlink()
    write(project, two=22)
    code, _, ran = run(project, "--accept-changes", "--reason", "only a comment changed")
    assert (code, ran) == (0, ["three"])
    detail = project.rows("SELECT detail FROM journal WHERE event='change_accepted'")
    assert [json.loads(row[0])["reason"] for row in detail] == ["only a comment changed"]
    assert project.cli("run", "flow.yaml", "--run-id", "r").code == 0


def test_from_a_step_repeats_it_and_what_follows(project: "Project") -> None:
    write(project)
    assert run(project)[2] == ["one", "two", "three", "four"]
    write(project, two=22)
    assert verdicts(project, "--from-step", "extract.two") == {
        "one": "reuse", "two": "run again", "three": "run again", "four": "reuse",
    }  # fmt: skip
    code, _, ran = run(project, "--from-step", "extract.two")
    assert (code, ran) == (0, ["two", "three"])
    rows = project.rows("SELECT step_id, attempt, status FROM step_runs ORDER BY step_id, attempt")
    assert ("two", 1, "DISCARDED") in rows
    assert ("two", 2, "SUCCESS") in rows
    assert project.cli("run", "flow.yaml", "--run-id", "r").err.startswith("nothing to do")


def test_from_is_remembered_when_the_run_fails(project: "Project") -> None:
    write(project)
    run(project)
    block = fail(project, "two")
    assert run(project, "--from-step", "extract")[0] == 1
    block.unlink()
    code, _, ran = run(project)
    assert (code, ran) == (0, ["two", "three"])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--from-step", "extrct"], "--from-step: no job 'extrct' in this flow"),
        (["--from-step", "extract.tow"], "job 'extract' has no step 'tow'"),
        (["--flow-job", "laod"], "--flow-job: no job 'laod' in this flow"),
        (["--if-busy", "often"], "--if-busy 'often' is not known"),
    ],
)
def test_wishes_that_name_nothing(project: "Project", options: list[str], words: str) -> None:
    write(project)
    run(project)
    code, err, _ = run(project, *options)
    assert code == 2
    assert words in err
    assert "fix: " in err


def test_from_of_an_unknown_run(project: "Project") -> None:
    write(project)
    code, err, _ = run(project, "--from-step", "extract")
    assert code == 2
    assert "run r of flow f is not known" in err


def test_an_artifact_that_is_gone_is_made_again_only_if_it_is_needed(project: "Project") -> None:
    flow = FLOW.replace("m: {three}", 'm: {three}, path: "{{{{jobs.extract.outputs.file}}}}"')
    project.write(flow.format(one=1, two=2, three=3))
    block = fail(project, "three")
    run(project)
    block.unlink()
    (project.artifacts("extract", "r") / "one.txt").unlink()
    assert verdicts(project)["one"] == "run again"
    code, _, ran = run(project)
    assert (code, ran) == (0, ["one", "three"])
    assert (project.artifacts("extract", "r") / "one.txt").exists()


def test_an_artifact_that_nobody_needs_may_go(project: "Project") -> None:
    write(project)
    block = fail(project, "three")
    run(project)
    block.unlink()
    (project.artifacts("extract", "r") / "one.txt").unlink()
    assert run(project)[2] == ["three"]


def test_a_new_step_in_a_finished_job_is_a_change(project: "Project") -> None:
    write(project)
    block = fail(project, "three")
    run(project)
    block.unlink()
    text = (project.folder / "flow.yaml").read_text()
    (project.folder / "flow.yaml").write_text(
        text.replace("  - id: load", "      - {id: more, type: plan_note}\n  - id: load")
    )
    code, err, ran = run(project)
    assert (code, ran) == (2, [])
    assert "changed since they finished: extract" in err
    assert '+  "more"' in err
    assert run(project, "--from-step", "extract")[2] == ["one", "two", "more", "three"]


def test_only_one_job(project: "Project") -> None:
    write(project)
    code, _, ran = run(project, "--flow-job", "aside")
    assert (code, ran) == (0, ["four"])
    assert project.rows("SELECT status, reason FROM runs") == [("SUCCESS", "without extract, load")]
    assert run(project)[2] == ["one", "two", "three"]
    assert project.rows("SELECT status, reason FROM runs") == [("SUCCESS", None)]


def test_a_job_that_is_left_out_still_says_why_it_was_skipped(project: "Project") -> None:
    project.flow(
        """\
        jobs:
          - {id: a, steps: [{id: gate, type: check_items, inputs: {items: []}, on_no_data: skip_job}]}
          - {id: b, when: 'jobs.a.skip_reason == "count(0) < min_count(1)"', steps: [{id: s, type: plan_note}]}
        """
    )
    assert run(project, "--flow-job", "a")[0] == 0
    code, err, ran = run(project, "--flow-job", "b")
    assert (code, ran) == (0, ["s"]), err


def test_a_condition_over_a_failed_job_is_asked_again(project: "Project") -> None:
    project.flow(
        """\
        jobs:
          - {id: a, steps: [{id: s, type: plan_note}]}
          - {id: alarm, when: 'jobs.a.status == "FAILED"', steps: [{id: ring, type: plan_note}]}
          - {id: report, when: 'jobs.a.status == "SUCCESS"', steps: [{id: tell, type: plan_note}]}
        """
    )
    block = fail(project, "s")
    assert run(project)[2] == ["s", "ring"]
    block.unlink()
    assert run(project)[2] == ["s", "tell"], "the alarm is not rung twice"


def test_environment_and_parameters_are_part_of_a_step(project: "Project", monkeypatch: pytest.MonkeyPatch) -> None:
    project.flow(
        """\
        jobs:
          - id: a
            steps:
              - {id: s, type: plan_note, inputs: {table: "{{env.TABLE}}", key: "{{env.MY_TOKEN}}"}}
              - {id: t, type: plan_note}
        """
    )
    monkeypatch.setenv("TABLE", "orders")
    monkeypatch.setenv("MY_TOKEN", "first-secret")
    block = fail(project, "t")
    run(project)
    block.unlink()
    monkeypatch.setenv("MY_TOKEN", "second-secret")
    assert verdicts(project)["s"] == "reuse", "secrets are information only"
    monkeypatch.setenv("TABLE", "clients")
    code, err, _ = run(project)
    assert code == 2
    assert '-  "TABLE": "orders"' in err
    assert "first-secret" not in project.state.read_bytes().decode(errors="replace")


def test_a_secret_output_is_not_stored_and_made_again(project: "Project", monkeypatch: pytest.MonkeyPatch) -> None:
    project.flow(
        """\
        jobs:
          - id: a
            steps:
              - {id: login, type: plan_note, inputs: {session: "{{env.API_TOKEN}}", n: 7}}
              - {id: use, type: plan_note, inputs: {session: "{{steps.login.session}}"}}
              - {id: other, type: plan_note, inputs: {n: "{{steps.login.n}}"}}
        """
    )
    monkeypatch.setenv("API_TOKEN", "very-secret-token")
    block = fail(project, "use")
    code, err, _ = run(project)
    assert code == 1
    assert "a.login: output session holds a secret: not stored" in err
    assert project.rows("SELECT outputs, secret_keys FROM step_runs WHERE step_id='login'") == [
        ('{"n":7}', '["session"]')
    ]
    for path in project.states.rglob("*"):
        assert path.is_dir() or b"very-secret-token" not in path.read_bytes(), path
    block.unlink()
    block = fail(project, "other")
    assert run(project)[2] == ["login", "use", "other"]
    block.unlink()
    assert run(project)[2] == ["other"], "what it needs is there"


def test_the_same_definition_has_the_same_hash(project: "Project") -> None:
    write(project)
    run(project)
    hashes = project.rows("SELECT step_id, def_hash FROM step_runs ORDER BY 1")
    project.cli("run", "flow.yaml", "--run-id", "other")
    again = project.rows("SELECT step_id, def_hash FROM step_runs WHERE run_id='other' ORDER BY 1")
    assert hashes == again
    assert len({row[1] for row in hashes}) == 4


def test_literals_under_secret_names_are_not_stored(project: "Project") -> None:
    project.flow("jobs: [{id: a, steps: [{id: s, type: plan_note, inputs: {env: {DB_PASSWORD: hunter2-literal}}}]}]")
    assert run(project)[0] == 0
    for path in project.states.rglob("*"):
        assert path.is_dir() or b"hunter2-literal" not in path.read_bytes(), path


def test_a_plan_does_not_touch_the_state(project: "Project") -> None:
    write(project)
    fail(project, "three")
    run(project)
    before = {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in project.states.rglob("*")}
    assert verdicts(project)["three"] == "run again"
    assert {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in project.states.rglob("*")} == before


def test_a_plan_of_an_older_state_says_what_to_do(project: "Project") -> None:
    write(project)
    run(project)
    with contextlib.closing(sqlite3.connect(project.state)) as connection:
        connection.execute("PRAGMA user_version=1")
    done = project.cli("plan", "flow.yaml", "--run-id", "r")
    assert done.code == 4
    assert "has the older schema 1" in done.err
    assert "fix: aetherflow state migrate" in done.err


def test_a_once_step_is_not_repeated_because_its_file_is_gone(project: "Project") -> None:
    flow = FLOW.replace("m: {three}", 'm: {three}, path: "{{{{jobs.extract.outputs.file}}}}"')
    project.write(
        flow.format(one=1, two=2, three=3).replace("type: plan_note\n", "type: plan_note\n        effect: once\n", 1)
    )
    block = fail(project, "three")
    run(project)
    block.unlink()
    (project.artifacts("extract", "r") / "one.txt").unlink()
    code, err, ran = run(project)
    assert (code, ran) == (2, [])
    assert "load.three needs one.txt, which is gone, and extract.one must not be repeated unasked" in err
    assert "--from-step extract.one" in err
    assert run(project, "--from-step", "extract.one")[2] == ["one", "two", "three"]
