"""`external.process`: arguments byte for byte, all of the output, nothing left behind, nothing hanging."""

import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from core_process import flow, run

if TYPE_CHECKING:
    from core_project import Project


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"command": ["a"], "nonsense": 1}, "unknown key 'nonsense'"),
        ({"command": ["a\0b"]}, "null byte"),
        ({"command": ["a"], "log": {"stdout": "somewhere"}}, "must be 'inherit', 'capture', 'file' or 'discard'"),
    ],
)
def test_what_is_refused_before_the_run(project: "Project", inputs: dict[str, Any], words: str) -> None:
    result = run(project, inputs, 2)
    assert words in result.err


# check_items


@pytest.mark.parametrize(
    ("items", "least", "count"),
    [
        ([], 1, 0), ([1, 2], 1, 2), ([None], 1, 1), ("a,b , ,c", 3, 3), ("", 1, 0), (" , ", 1, 0), ("[1, 2, 3]", 4, 3),
        ('["a,b"]', 1, 1), ([], 0, 0), (5, 1, 1),
    ],
)  # fmt: skip
def test_check_items(project: "Project", items: Any, least: int, count: int) -> None:
    flow(project, {})
    step = {"id": "s", "type": "check_items", "inputs": {"items": items, "min_count": least}}
    project.write(yaml.safe_dump({"flow": {"id": "f"}, "jobs": [{"id": "a", "steps": [step]}]}))
    assert project.cli("run", "flow.yaml").code == 0
    ((status, text, reason),) = project.rows("SELECT status, outputs, reason FROM step_runs")
    if count >= least:
        assert (status, json.loads(text), reason) == ("SUCCESS", {"has_data": True, "count": count}, None)
    else:
        why = f"count({count}) < min_count({least})"
        assert (status, json.loads(text), reason) == (
            "SKIPPED",
            {"has_data": False, "count": count, "reason": why},
            why,
        )


@pytest.mark.parametrize("items", [{"a": 1}, None, "[1, 2"])
def test_check_items_takes_nothing_else(project: "Project", items: Any) -> None:
    step = {"id": "s", "type": "check_items", "inputs": {"items": items}}
    project.write(yaml.safe_dump({"flow": {"id": "f"}, "jobs": [{"id": "a", "steps": [step]}]}))
    assert project.cli("run", "flow.yaml").code == 2


@pytest.mark.parametrize(
    ("idempotency", "words"),
    [
        ({"strategy": "atomic"}, "must be 'none', 'marker' or 'atomic_dir'"),
        ({"strategy": "marker"}, "strategy marker needs idempotency.marker_path or success.marker_file"),
        ({"strategy": "atomic_dir", "temp_output_dir": "t"}, "needs temp_output_dir and final_output_dir"),
    ],
)
def test_strategies_are_checked_before_the_run(project: "Project", idempotency: dict[str, Any], words: str) -> None:
    flow(project, {"command": ["true"], "idempotency": idempotency})
    result = project.cli("validate", "flow.yaml")
    assert result.code == 2
    assert words in result.out + result.err


def test_folders_that_contain_each_other_are_refused(project: "Project") -> None:
    folders = {"temp_output_dir": "out/temp", "final_output_dir": "out"}
    result = run(project, {"command": ["true"], "idempotency": {"strategy": "atomic_dir", **folders}}, 1)
    assert "AF5002" in result.err
    assert "must not contain each other" in result.err


@pytest.mark.parametrize(
    ("retry", "waits"),
    [
        ({}, [0, 0, 0]),
        ({"backoff_seconds": 2}, [2, 2, 2]),
        ({"sleep_seconds": 2, "backoff_multiplier": 3}, [2, 6, 18]),
        ({"backoff_seconds": 2, "backoff_multiplier": 3, "max_backoff_seconds": 7}, [2, 6, 7]),
    ],
)
def test_waits_between_tries(retry: dict[str, Any], waits: list[float]) -> None:
    from aetherflow.core.builtins.process_inputs import RetryInputs

    found = RetryInputs.model_validate(retry)
    assert [found.wait_before(number) for number in (2, 3, 4)] == waits
    assert found.wait_before(10**6) >= waits[-1], "no overflow"
