"""The status as Prometheus reads it: its own parser gives back what was there, however a flow is named."""

from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from aetherflow.core.testing import HookSuite
from aetherflow_builtins_rest.prometheus import StatusFormat

SUCCESS, TOOK, OPEN = (
    f"aetherflow_flow_{name}"
    for name in ("last_success_timestamp_seconds", "last_success_duration_seconds", "open_failures")
)
HOSTILE = ["plain", 'a"b', "a\\b", "a\nb", 'x"} 1\nup{job="y', "\\n", "{}", "ä 🚀", "bad-\udcff", "", " ", "# HELP x y"]


class TestPrometheus(HookSuite):
    plugin = StatusFormat
    name = "hook:aetherflow_status_format"


def flow(name: str, at: int | None, took: int | None = 1500) -> dict[str, Any]:
    return {"flow_id": name, "last_success_at": at, "last_success_ms": None if at is None else took}


def parsed(flows: list[dict[str, Any]], needs: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    text = StatusFormat().aetherflow_status_format("prometheus", {"flows": flows, "needs_person": needs})
    assert text is not None
    assert text.endswith("\n")
    found: dict[str, dict[str, float]] = {}
    for family in text_string_to_metric_families(text):
        assert (family.type, bool(family.documentation)) == ("gauge", True)
        for sample in family.samples:
            assert list(sample.labels) == ["flow"]
            assert sample.labels["flow"] not in found.setdefault(sample.name, {}), "a series is there once"
            found[sample.name][sample.labels["flow"]] = sample.value
    return found


def test_what_was_there_is_read() -> None:
    found = parsed(
        [flow("a", 1795549230123), flow("b", None)],
        [{"flow_id": "b", "name": "nightly b"}, {"flow_id": "b", "name": "b"}, {"flow_id": None, "name": "item"}],
    )
    assert found == {
        SUCCESS: {"a": 1795549230.123},
        TOOK: {"a": 1.5},
        OPEN: {"a": 0, "b": 2, "item": 1},
    }


def test_a_flow_with_two_state_files_is_one_series() -> None:
    flows = [flow("a", None), flow("a", 2000, 10), flow("a", 3000, 20), flow("a", 1000, 30)]
    assert parsed(flows, []) == {SUCCESS: {"a": 3.0}, TOOK: {"a": 0.02}, OPEN: {"a": 0}}


def test_hostile_names_are_labels_and_nothing_else() -> None:
    found = parsed([flow(name, 1000) for name in HOSTILE], [{"flow_id": None, "name": name} for name in HOSTILE])
    shown = [name.encode("utf-8", "backslashreplace").decode() for name in HOSTILE]
    assert found == {
        SUCCESS: dict.fromkeys(shown, 1.0),
        TOOK: dict.fromkeys(shown, 1.5),
        OPEN: dict.fromkeys(shown, 1.0),
    }


@pytest.mark.parametrize("name", ["json", "openmetrics", ""])
def test_another_format_is_left_to_others(name: str) -> None:
    assert StatusFormat().aetherflow_status_format(name, {}) is None
