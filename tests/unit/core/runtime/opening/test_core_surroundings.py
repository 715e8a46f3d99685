"""A run in the surroundings of real life: cron, several processes, several flows on one state."""

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from core_project import Project


def journal(project: "Project", run_id: str) -> list[Any]:
    rows = project.rows(f"SELECT event, detail FROM journal WHERE run_id='{run_id}' ORDER BY seq")
    return [(event, json.loads(detail)) for event, detail in rows]


def test_two_clean_runs_have_equal_journals(project: "Project") -> None:
    project.flow(
        """\
        jobs:
          - id: a
            steps:
              - id: s
                type: check_items
                for_each: [[1], [2]]
                inputs: {items: "{{item}}"}
                outputs: {n: "{{result.count}}"}
              - {id: t, type: check_items, inputs: {items: []}, on_no_data: skip_job}
              - {id: u, type: check_items, inputs: {items: []}}
          - {id: b, depends_on: [a], steps: []}
          - {id: c, when: jobs.a.outputs.n == 2, steps: [{id: s, type: check_items, inputs: {items: [1]}}]}
        """
    )
    for run_id in ("one", "two"):
        assert project.cli("run", "flow.yaml", "--run-id", run_id).code == 0
    assert journal(project, "one") == journal(project, "two")
    assert len(journal(project, "one")) > 15


def test_run_json_says_why_nothing_ran(project: "Project") -> None:
    project.flow("jobs: [{id: a, steps: [{id: s, type: check_itmes}]}]")
    done = project.cli("run", "flow.yaml", "--json")
    found = json.loads(done.out)
    assert done.code == found["exit_code"] == 2
    assert found["error"]["problems"][0]["af"] == "AF2101"
    assert found["schema"] == 1
