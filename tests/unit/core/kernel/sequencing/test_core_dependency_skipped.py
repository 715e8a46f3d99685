"""`jobs[].on_dependency_skipped`: what becomes of a job if one that it depends on had nothing to do."""

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from core_project import Project

JOBS = "SELECT job_id, status, skip_reason, reason_code, blocked_by FROM job_runs ORDER BY job_id"


def flow(project: "Project", rule: str, items: str = "[]", more: str = "") -> None:
    project.flow(
        f"""\
        jobs:
          - id: a
            steps: [{{id: s, type: check_items, inputs: {{items: {items}, min_count: 1}}, on_no_data: skip_job}}]
          - {{id: b, depends_on: [a]{rule}, steps: [{{id: s, type: check_items, inputs: {{items: [1]}}}}]}}
          - {{id: c, depends_on: [b]{rule}, steps: []}}
          {more}
        """
    )


@pytest.mark.parametrize("rule", ["", ", on_dependency_skipped: block"])
def test_a_skipped_job_blocks_unless_told_otherwise(project: "Project", rule: str) -> None:
    flow(project, rule)
    assert project.cli("run", "flow.yaml", "--run-id", "r").code == 0
    assert project.rows(JOBS)[1:] == [("b", "BLOCKED", None, None, "a"), ("c", "BLOCKED", None, None, "b")]


def test_skip_skips_the_whole_chain(project: "Project") -> None:
    flow(project, ", on_dependency_skipped: skip")
    done = project.cli("run", "flow.yaml", "--run-id", "r")
    assert done.code == 0
    assert project.rows(JOBS)[1:] == [
        ("b", "SKIPPED", "a was skipped", "dependency_skipped", None),
        ("c", "SKIPPED", "b was skipped", "dependency_skipped", None),
    ]
    assert ["b", "SKIPPED", "0.0", "s", "a", "was", "skipped"] in [line.split() for line in done.out.splitlines()]
    shown = project.cli("runs", "show", "r").out
    assert ["b", "SKIPPED", "0.0", "s", "a", "was", "skipped"] in [line.split() for line in shown.splitlines()]


def test_run_runs(project: "Project") -> None:
    flow(project, ", on_dependency_skipped: run")
    assert project.cli("run", "flow.yaml", "--run-id", "r").code == 0
    assert [row[:2] for row in project.rows(JOBS)] == [("a", "SKIPPED"), ("b", "SUCCESS"), ("c", "SUCCESS")]


@pytest.mark.parametrize("rule", ["skip", "run"])
def test_a_failed_job_blocks_always(project: "Project", rule: str) -> None:
    project.flow(
        f"""\
        jobs:
          - {{id: a, when: "1 == 2", steps: []}}
          - {{id: b, steps: [{{id: s, type: check_items, inputs: {{items: [], min_count: 1, on_fail: fail}}}}]}}
          - {{id: c, depends_on: [a, b], on_dependency_skipped: {rule}, steps: []}}
        """
    )
    text = (project.folder / "flow.yaml").read_text().replace(
        "type: check_items, inputs: {items: [], min_count: 1, on_fail: fail}", "type: file_hash, inputs: {path: none}"
    )  # fmt: skip
    (project.folder / "flow.yaml").write_text(text)
    assert project.cli("run", "flow.yaml", "--run-id", "r").code == 1
    assert project.rows(JOBS)[2] == ("c", "BLOCKED", None, None, "b")


def test_a_job_that_runs_again_takes_those_skipped_with_it_along(project: "Project") -> None:
    project.flow(
        """\
        jobs:
          - {id: first, steps: [{id: s, type: file_hash, inputs: {path: "{{env.AETHERFLOW_LOCAL_ROOT_DIR}}/x"}}]}
          - {id: a, when: jobs.first.status == "SUCCESS", steps: []}
          - {id: b, depends_on: [a], on_dependency_skipped: skip, steps: []}
          - {id: c, depends_on: [b], on_dependency_skipped: skip, steps: []}
        """
    )
    assert project.cli("run", "flow.yaml", "--run-id", "r").code == 1
    assert [row[:2] for row in project.rows(JOBS)[:3]] == [("a", "SKIPPED"), ("b", "SKIPPED"), ("c", "SKIPPED")]
    (project.folder / "x").write_text("x")
    plan = project.cli("plan", "flow.yaml", "--run-id", "r").out
    assert "it was skipped with a, which runs again" in plan
    assert "it was skipped with b, which runs again" in plan
    assert project.cli("resume", "r").code == 0
    assert {row[1] for row in project.rows(JOBS)} == {"SUCCESS"}


def test_a_part_of_a_run_goes_by_what_is_recorded(project: "Project") -> None:
    flow(project, ", on_dependency_skipped: skip")
    assert project.cli("run", "flow.yaml", "--run-id", "r", "--flow-job", "a").code == 0
    assert project.cli("run", "flow.yaml", "--run-id", "r").code == 0
    assert [row[:3] for row in project.rows(JOBS)][1] == ("b", "SKIPPED", "a was skipped")


def test_definitions_of_flows_without_it_are_what_they_were(project: "Project") -> None:
    flow(project, "", items="[1]")
    project.cli("run", "flow.yaml", "--run-id", "r")
    flow(project, ", on_dependency_skipped: block", items="[1]")
    project.cli("run", "flow.yaml", "--run-id", "s")
    hashes = project.rows("SELECT job_id, count(DISTINCT def_hash) FROM job_runs GROUP BY 1")
    assert hashes == [("a", 1), ("b", 1), ("c", 1)]
    text = project.rows("SELECT d.text FROM definitions d JOIN job_runs j ON j.def_hash=d.hash WHERE j.job_id='b'")
    assert text[0][0] == '{"when":null,"depends_on":["a"],"steps":["s"]}'
