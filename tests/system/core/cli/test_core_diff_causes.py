"""`runs diff` names what was exchanged, and folds what differs every night."""

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from core_project import Project

FLOW = """\
jobs:
  - id: a
    steps:
      - id: s
        type: external.process
        retry: {max_attempts: 2, backoff_seconds: 0}
        inputs: {command: [sh, '{{env.AETHERFLOW_LOCAL_ROOT_DIR}}/job.sh']}
"""


def diff(project: "Project", run: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(project.cli("runs", "diff", run, "--json").out)
    return found


def test_an_exchanged_script_is_the_cause_and_the_base_is_of_the_preceding_slot(project: "Project") -> None:
    project.flow(FLOW)
    script = project.folder / "job.sh"
    script.write_text("true\n")
    for run, slot in (("one", "2026-11-01T00:00:00Z"), ("late", "2026-10-01T00:00:00Z")):
        assert project.command("run", "flow.yaml", "--run-id", run, "--slot", slot).code == 0
    script.write_text("exit 3\n")
    assert project.command("run", "flow.yaml", "--run-id", "two", "--slot", "2026-11-02T00:00:00Z").code == 1
    found = diff(project, "two")
    assert found["before"]["run_id"] == "one"
    causes = [(each["kind"], each["name"]) for each in found["differences"] if not each["usual"]]
    assert causes == [("program", str(script))]
    assert {each["name"] for each in found["differences"] if each["usual"]} == {"data_date", "run_date", "slot"}
    text = project.cli("runs", "diff", "two").out
    assert f"1. program {script} (read by the failed step)" in text
    assert text.rstrip().endswith("different every night: data_date, run_date, slot")
