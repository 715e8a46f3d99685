"""The page of the status: what needs a person first, then every flow with its last runs."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from aetherflow_builtins_reports.pages import texts
from aetherflow_builtins_reports.pages.rendering import Budget, bounded, render, status_class
from aetherflow_builtins_reports.pages.strips import spark, strip

MOST_BYTES = 235_000
MOST_FLOWS = 400
_ROW = 400
_ORDER = {"bad": 0, "stop": 1, "run": 2, "wait": 3, "none": 5}


def status_page(document: Mapping[str, Any]) -> bytes:
    """The page; flows that do not stand well come first."""
    return bounded(partial(_page, document), MOST_BYTES)


def _page(document: Mapping[str, Any], budget: Budget) -> bytes:
    needs, needs_left = budget.rows(_grouped(document["needs_person"]), 60, _ROW, _need)
    in_hand, in_hand_left = budget.rows(_grouped(document["in_hand"]), 30, _ROW, _need)
    flows = sorted(document["flows"], key=lambda flow: (_ORDER.get(status_class(flow["status"]), 4), flow["flow_id"]))
    shown = []
    for flow in flows[:MOST_FLOWS]:
        row = _flow(flow)
        pictures = sum(len(row[name]) for name in ("strip", "took", "rows"))
        if not budget.takes(row["flow_id"] + row["reason"], _ROW + pictures):
            break
        shown.append(row)
    return render(
        "status.html",
        document,
        needs=needs,
        needs_left=needs_left,
        in_hand=in_hand,
        in_hand_left=in_hand_left,
        running=document["running"][:60],
        flows=shown,
        flows_left=len(flows) - len(shown),
        well=not document["needs_person"] and not document["not_sent"],
        sparks=any(flow["rows"] for flow in shown),
    )


def _grouped(needs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Missed slots that one command makes up for together, as the newest of them with the number of the others."""
    found: dict[object, dict[str, Any]] = {}
    for number, need in enumerate(needs):
        one = need["status"] == "MISSED" and need["slot"] and need["commands"]
        key = (need["name"], tuple(need["commands"])) if one else number
        first = found.setdefault(key, {**need, "older": -1, "first_slot": None})
        first |= {"older": first["older"] + 1, "first_slot": need["slot"]}
    return list(found.values())


def _need(need: Mapping[str, Any]) -> dict[str, Any]:
    short = {key: value if not isinstance(value, str) else texts.cut(value, 600) for key, value in need.items()}
    commands = [texts.cut(each, 1000) for each in need["commands"]][:3]
    words = [""] * len(commands)
    if need["status"] == "UNKNOWN" and len(commands) == 2:
        words = ["if it was done", "if it was not"]
    return {**short, "commands": list(zip(words, commands, strict=True)), "holds_up": list(need["holds_up"])[:10]}


def _flow(flow: Mapping[str, Any]) -> dict[str, Any]:
    runs = flow["runs"]
    return {
        "flow_id": texts.cut(flow["flow_id"], 120),
        "status": flow["status"],
        "started_at": flow["started_at"],
        "duration_ms": flow["duration_ms"],
        "reason": texts.cut((flow["reason"] or "").split("\n", 1)[0], 160),
        "strip": strip([run["status"] for run in runs]),
        "took": spark([run["duration_ms"] for run in runs], "duration of the last runs", texts.took),
        "rows": spark([run["rows"] for run in runs], "rows of the last runs", texts.count),
        "last_rows": next((run["rows"] for run in reversed(runs) if run["rows"] is not None), None),
    }
