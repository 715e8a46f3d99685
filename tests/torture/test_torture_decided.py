"""A1 again: what a run has decided stays decided, though what it was decided by is another by the time of the resume.

The list of a `for_each` and the answer of a `when` come from a step that has to be done again, and that gives something
else then. Each bug that would let them be asked again is put in on purpose: the suite has to notice it.
"""

import json
from collections.abc import Callable

import pytest

from aetherflow.core.kernel.state.run_state import RunState
from aetherflow.core.kernel.state.step_state import StepStates
from torture_bench import Bench, warm_up
from torture_tier import sample, sized, suite

pytestmark = pytest.mark.slow

FLOW = """\
version: 1
flow: {id: f, workspace: {cleanup_policy: never}}
jobs:
  - id: a
    steps:
      - id: made
        type: torture_values
        inputs: {file: made.txt}
        outputs: {n: "{{result.values.n}}", items: "{{result.values.items}}", file: "{{result.path}}"}
  - id: b
    depends_on: [a]
    when: jobs.a.outputs.n == 1
    steps:
      - id: each
        type: torture_effect
        for_each: "{{jobs.a.outputs.items}}"
        inputs: {v: "{{item}}", read: ["{{jobs.a.outputs.file}}"]}
  - {id: c, depends_on: [b], steps: [{id: last, type: torture_effect}]}
"""
FIRST, SECOND = {"n": 1, "items": ["p", "q", "r"]}, {"n": 2, "items": ["x"]}
Patch = Callable[[], object]


def decided_by(bench: Bench, values: dict[str, object]) -> None:
    (bench.folder / "values.json").write_text(json.dumps(values))


def prepared(bench: Bench) -> list[str]:
    bench.write(FLOW)
    decided_by(bench, FIRST)
    warm_up(bench)
    names = bench.points()
    bench.forget()
    return names


def begun(bench: Bench) -> bool:
    """Whether the repetition has started: its list is frozen, and its job is entered."""
    return bool(bench.try_rows("SELECT 1 FROM step_runs WHERE step_id='each' AND item_key=''"))


def resumed_elsewhere(bench: Bench, point: int, bug: Patch | None = None) -> bool:
    """Kill a run, change what it was decided by, resume it; False if it had decided nothing yet."""
    bench.forget()
    decided_by(bench, FIRST)
    bench.attempt(f"{point}")
    if not begun(bench):
        return False
    (bench.work / "f/a/r/artifacts/made.txt").unlink()
    decided_by(bench, SECOND)
    assert bench.attempt(before=bug) == 0, bench.error_text()
    assert bench.rows("SELECT status FROM job_runs ORDER BY job_id") == [("SUCCESS",)] * 3, "`when` was asked again"
    seen = {json.loads(line.partition(" ")[2]).get("v") for line in bench.lines() if line.startswith("each ")}
    assert seen == set("pqr"), f"the list is another: {seen}"
    return True


def test_what_is_decided_stays_decided(bench: Bench) -> None:
    names = prepared(bench)
    chosen = sample(range(1, len(names) + 1), sized(8, len(names)), "A1-decided")
    with suite("A1 decided", 1) as counted:
        for point in chosen:
            with counted.case(f"kill at {point}, {names[point - 1]}"):
                resumed_elsewhere(bench, point)


def ask_when_again() -> None:
    load = RunState.load

    def forgetful(state: RunState) -> None:
        load(state)
        state._jobs = {job: row._replace(when_result=None) for job, row in state._jobs.items()}

    RunState.load = forgetful  # type: ignore[assignment,method-assign]


def thaw_the_list() -> None:
    StepStates.items = lambda *_: None  # type: ignore[method-assign]


@pytest.mark.parametrize("bug", [ask_when_again, thaw_the_list])
def test_a_bug_that_decides_anew_would_be_noticed(bench: Bench, bug: Patch) -> None:
    names = prepared(bench)
    inside = [number for number, name in enumerate(names, 1) if name == "begin step SUCCESS"][2]  # of the second item
    assert resumed_elsewhere(bench, inside), "the repetition had begun"
    with pytest.raises(AssertionError, match=r"asked again|is another"):
        resumed_elsewhere(bench, inside, bug)
