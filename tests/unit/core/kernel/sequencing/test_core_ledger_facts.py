"""Facts in the ledger: what a step has done elsewhere counts, however the step ends."""

import json
from typing import TYPE_CHECKING, Any

import pytest

from aetherflow.core.api import Step, StepError, StepResult, register_step

if TYPE_CHECKING:
    from core_project import Project


@register_step("test_ledger_facts")
class Facts(Step[Any]):
    """Puts a mark and a fact, and may fail."""

    def run(self) -> StepResult:
        ledger = self.ctx.ledger("marks")
        ledger.put("mark", 1)
        ledger.put_fact("fact", {"n": self.inputs.get("n", 1)})
        assert ledger.get("fact") == {"n": self.inputs.get("n", 1)}, "reads see it at once"
        if self.inputs.get("fail"):
            raise StepError("no")
        return StepResult()

    def plan(self) -> list[str]:
        self.ctx.ledger("marks").put_fact("fact", 1)
        return []


def flow(project: "Project", step: dict[str, Any]) -> None:
    project.write(json.dumps({"version": 1, "flow": {"id": "f"}, "jobs": [{"id": "a", "steps": [step]}]}))


def ledger(project: "Project") -> dict[str, Any]:
    return {key: json.loads(value) for key, value in project.rows("SELECT key, value FROM ledger")}


@pytest.mark.parametrize("inside", [False, True])
def test_a_fact_outlives_the_failure_of_its_step(project: "Project", inside: bool) -> None:
    def step(**inputs: Any) -> dict[str, Any]:
        found = {"id": "s", "type": "test_ledger_facts", "inputs": inputs}
        lock = {"lock_key": "k", "step": {"type": "test_ledger_facts", "inputs": inputs}}
        return {"id": "s", "type": "with_lock", "inputs": lock} if inside else found

    flow(project, step(fail=True))
    assert project.cli("run", "flow.yaml").code == 1
    assert ledger(project) == {"fact": {"n": 1}}
    flow(project, step(n=2))
    assert project.cli("run", "flow.yaml").code == 0
    assert ledger(project) == {"fact": {"n": 2}, "mark": 1}


def test_a_plan_writes_no_fact(project: "Project") -> None:
    flow(project, {"id": "s", "type": "test_ledger_facts"})
    done = project.cli("plan", "flow.yaml", "--effects")
    assert "it may only read" in done.out + done.err
    assert not list(project.folder.rglob("*.sqlite")) or ledger(project) == {}
