"""P5: what a step returns is, after the state and a resume, what the next step gets: same type, same value."""

import json
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from torture_bench import Bench, warm_up
from torture_tier import SEED, TIER, sized, suite

pytestmark = pytest.mark.slow

FLOW = """\
version: 1
flow: {id: f, workspace: {cleanup_policy: never}}
jobs:
  - id: a
    steps:
      - {id: one, type: torture_values, outputs: {values: "{{result.values}}"}}
      - {id: two, type: torture_effect}
  - id: b
    depends_on: [a]
    steps: [{id: three, type: torture_values, inputs: {see: ["{{jobs.a.outputs.values}}"]}}]
"""
BATCH = 50
"""Values per run: a run costs a tenth of a second, a value nothing."""

text = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        ["", " ", "1", "1.0", "true", "null", "~", "no", "{{env.HOME}}", "{{", "}}", "$VAR", "\0", "\u2028"]
    ),
)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(min_value=-(10**60), max_value=10**60),
    st.floats(allow_nan=False, allow_infinity=False),
    text,
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(text, inner, max_size=4)),
    max_leaves=6,
)
batches = st.lists(values, min_size=BATCH, max_size=BATCH)


def typed(value: Any) -> Any:
    """A form in which 1, 1.0 and True differ, and 0.0 and -0.0 too."""
    if isinstance(value, list):
        return ["list", *map(typed, value)]
    if isinstance(value, dict):
        return ["dict", *[(key, typed(item)) for key, item in value.items()]]
    return [type(value).__name__, repr(value)]


def test_typed_values_through_state_and_resume(bench: Bench) -> None:
    bench.write(FLOW)
    given_file, seen_file = Path(bench.env["VALUES"]), Path(bench.env["SEEN"])
    given_file.write_text("[1]")
    warm_up(bench)
    names = bench.points()
    bench.forget()
    finished = next(number for number, name in enumerate(names, 1) if name == "committed step SUCCESS")
    with suite("P5", 1) as counted:

        @seed(SEED)
        @settings(
            max_examples=max(sized(200, 5000) // BATCH, 1),
            deadline=None,
            database=None,
            phases=[Phase.generate, Phase.shrink] if TIER == "T1" else [Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(batches)
        def pass_through(batch: list[Any]) -> None:
            counted.cases += len(batch)
            shutil.rmtree(bench.states, ignore_errors=True)
            seen_file.unlink(missing_ok=True)
            given_file.write_text(json.dumps(batch))
            assert bench.attempt(f"{finished}") == -signal.SIGKILL
            assert bench.attempt() == 0, bench.error_text()
            (seen,) = json.loads(seen_file.read_text())
            for before, after in zip(batch, seen, strict=True):
                assert typed(before) == typed(after)

        with counted.case("typed values"):
            pass_through()
        counted.cases -= 1
