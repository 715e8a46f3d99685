"""What is different since a flow last worked, as the page of a run shows it: the likeliest cause first."""

from collections.abc import Mapping
from typing import Any

from aetherflow_builtins_reports.pages import texts
from aetherflow_builtins_reports.pages.rendering import Budget

MOST, OPEN = 60, 5
"""Differences that a page has, and of them those that are seen at once."""
MOST_LINES, MOST_WIDTH = 40, 400
TELLING = 30
"""Likelihood below which a difference is one of those that every night has."""
_ROW = 300
_CLASSES = {"-": "gone", "+": "new"}


def changes(diff: Mapping[str, Any] | None, budget: Budget) -> dict[str, Any] | None:
    """The differences that fit, as the templates show them; None where there was nothing to compare with."""
    if diff is None:
        return None
    causes = [each for each in diff["differences"] if not each.get("usual")]
    found, left = budget.rows(causes, MOST, _ROW, _change)
    return {
        "first": found[:OPEN],
        "rest": found[OPEN:],
        "left": left,
        "count": len(causes),
        "telling": [each for each in found[:3] if each["likelihood"] >= TELLING],
        "before": diff["before"]["run_id"],
    }


def _change(each: Mapping[str, Any]) -> dict[str, Any]:
    lines = _lines(each)
    return {
        "kind": each["kind"],
        "name": texts.cut(each["name"], 300),
        "where": each["where"],
        "likelihood": each["likelihood"],
        "lines": [(_CLASSES.get(line[:1], ""), texts.cut(line, MOST_WIDTH)) for line in lines[:MOST_LINES]],
        "more": max(0, len(lines) - MOST_LINES),
        "short": [texts.cut(line, 120) for line in lines if line[:1] in _CLASSES][:4],
    }


def _lines(each: Mapping[str, Any]) -> list[str]:
    """The lines of a difference, which begin with `-` and `+`; of a definition its own, which are a diff already."""
    if each["kind"] in ("definition", "resource") and not each["before"]:
        return str(each["now"]).splitlines()
    both = (("-", each["before"]), ("+", each["now"]))
    return [f"{mark} {line}" for mark, text in both for line in (text.splitlines() or [""])]
