"""`flow.defaults`: retry and time limit of steps that do not have their own."""

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from core_project import Project

from aetherflow.core.kernel.yaml.binder import bind
from aetherflow.core.kernel.yaml.flow import FlowSpec, StepSpec
from aetherflow.core.kernel.yaml.loader import parse_document

STEP = "{id: s, type: file_hash, inputs: {path: none}}"


def spec(defaults: str, step: str) -> StepSpec:
    document = parse_document(
        f"version: 1\nflow: {{id: f, defaults: {defaults}}}\njobs: [{{id: a, steps: [{step}]}}]\n", "flow.yaml"
    )
    found, problems = bind(FlowSpec, document.data, document.source)
    assert found is not None, problems
    return found.jobs[0].steps[0]


def attempts(step: StepSpec) -> int:
    return step.retry.max_attempts if step.retry is not None else 1


@pytest.mark.parametrize(
    ("own", "found"),
    [
        ("", (3, 7)),
        ("retry: {max_attempts: 2}", (2, 7)),
        ("retry: {}", (1, 7)),
        ("timeout_seconds: 1", (3, 1)),
        ("retry: null, timeout_seconds: null", (3, 7)),
        ("inputs: {retry: {max_attempts: 9}}", (1, 7)),
        ("inputs: {timeout_seconds: 9}", (3, None)),
        ("inputs: {retry: {}, timeout_seconds: null}", (3, 7)),
    ],
)
def test_the_own_setting_wins_as_a_whole(own: str, found: tuple[int, float | None]) -> None:
    step = spec("{retry: {max_attempts: 3, backoff_seconds: 2}, timeout_seconds: 7}", f"{{id: s, type: t, {own}}}")
    assert (attempts(step), step.timeout_seconds) == found
    if "max_attempts: 2" in own:
        assert step.retry is not None
        assert step.retry.backoff_seconds == 0, "the maps are not merged"


def test_without_defaults_nothing_changes() -> None:
    step = spec("{}", "{id: s, type: t}")
    assert (step.retry, step.timeout_seconds) == (None, None)


def test_a_run_goes_by_them_and_definitions_do_not(project: "Project") -> None:
    project.flow(f"jobs: [{{id: a, steps: [{STEP}]}}]\n")
    assert project.cli("run", "flow.yaml", "--run-id", "r").code == 1
    text = (project.folder / "flow.yaml").read_text()
    project.write(text.replace("{id: f}", "{id: f, defaults: {retry: {max_attempts: 3}, timeout_seconds: 30}}"))
    done = project.cli("run", "flow.yaml", "--run-id", "r")
    assert done.code == 1
    assert done.err.count("step_retry") == 2
    assert "definition_changed" not in done.err
    assert project.rows("SELECT count(*), count(DISTINCT def_hash) FROM step_runs") == [(4, 1)]


def test_explain_without_defaults_shows_none(project: "Project") -> None:
    project.flow(f"jobs: [{{id: a, steps: [{STEP}]}}]\n")
    done = project.cli("explain", "flow.yaml", "--value", "jobs[0].steps[0]")
    assert (done.code, "retry" in done.out) == (0, False)
    project.flow(f"jobs: [{{id: a, steps: [{STEP}]}}]\n".replace("type:", "timeout_seconds: 5, type:"))
    project.write(
        (project.folder / "flow.yaml").read_text().replace("{id: f}", "{id: f, defaults: {timeout_seconds: 9}}")
    )
    assert "timeout_seconds = 5" in project.cli("explain", "flow.yaml", "--value", "jobs[0].steps[0]").out


def test_explain_shows_where_a_value_comes_from(project: "Project") -> None:
    project.write(
        """\
        version: 1
        flow:
          id: f
          defaults: {retry: {max_attempts: 3}, timeout_seconds: 30}
        jobs:
          - id: a
            steps:
              - {id: s, type: external.process, inputs: {command: [echo]}}
              - {id: t, type: external.process, timeout_seconds: 5, inputs: {command: [echo]}}
        """
    )

    def shown(path: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(project.cli("explain", "flow.yaml", "--value", path, "--json").out)["values"]
        return found

    assert list(shown("jobs[0].steps[0].retry")) == ["jobs[0].steps[0].retry.max_attempts"]
    assert project.cli("explain", "flow.yaml", "--value", "jobs[0].steps[0].timeout_seconds").out == (
        "jobs[0].steps[0].timeout_seconds = 30\n  flow.defaults  flow.yaml:4:57  30\n"
    )
    assert "flow  flow.yaml:9:58  5" in project.cli(
        "explain", "flow.yaml", "--value", "jobs[0].steps[1].timeout_seconds"
    ).out  # fmt: skip


def test_mistakes_are_found_at_their_place(project: "Project") -> None:
    project.write(
        "flow: {id: f, defaults: {retry: {backoff_seconds: 9, max_backoff_seconds: 2}, timeout: 1}}\njobs: []\n"
    )
    out = project.cli("validate", "flow.yaml").out
    assert "AF1103 flow.defaults.retry.max_backoff_seconds is below backoff_seconds" in out
    assert "AF1101 unknown key 'timeout' in flow.defaults" in out
