"""The page of a run: what failed, where and why, what changed since it last worked, its steps and data."""

import json
import re
from collections.abc import Mapping
from functools import partial
from typing import Any

from aetherflow_builtins_reports.pages import texts
from aetherflow_builtins_reports.pages.changes import changes
from aetherflow_builtins_reports.pages.rendering import Budget, bounded, render
from aetherflow_builtins_reports.pages.timeline import timeline

MOST_BYTES = 190_000
"""Of what may be long; with all the rest a page stays below 300 kB."""
BAD = ("FAILED", "UNKNOWN", "INTERRUPTED")
MOST_VALUES, MOST_COMMAND = 2_000, 100_000
_ROW = 260
"""Bytes of the markup of a row, at most."""


def run_page(document: Mapping[str, Any]) -> bytes:
    """The page: what failed, where, on which data, what next; then all that is known."""
    return bounded(partial(_page, document), MOST_BYTES)


def _page(document: Mapping[str, Any], budget: Budget) -> bytes:
    steps = [step | {"job_status": job["status"]} for job in document["jobs"] for step in job["steps"]]
    steps.sort(key=lambda step: step["started_at"])
    important = sorted(range(len(steps)), key=lambda at: steps[at]["status"] not in BAD)
    kept, steps_left = budget.rows(important, 150, 2 * _ROW)
    shown = [_short(steps[at]) for at in sorted(kept)]
    failures, failures_left = budget.rows(document["failures"], 10, _ROW, _failure)
    diff = changes(document["diff"], budget)
    logs = [_log(each, budget, 160 if number < 3 else 40) for number, each in enumerate(document["logs"])]
    outputs, outputs_left = budget.rows(document["outputs"], 60, _ROW, _output)
    artifacts, artifacts_left = budget.rows(document["artifacts"], 120, _ROW, _short)
    every = [*_given(document), *map(_value, document["values"][:MOST_VALUES])]
    every.sort(key=lambda value: not value["own"])
    values, values_left = budget.rows(every, 150, _ROW)
    values_left += max(0, len(document["values"]) - MOST_VALUES)
    journal, journal_left = budget.rows(document["journal"][::-1], 150, _ROW, _entry)
    quiet, quiet_left = budget.rows([job for job in document["jobs"] if not job["steps"]], 100, _ROW, _short)
    notes, _ = budget.rows(document["notes"], 30, 8, lambda line: texts.cut(line, 500))
    left = {
        "jobs": quiet_left,
        "steps": steps_left,
        "failures": failures_left,
        "outputs": outputs_left,
        "artifacts": artifacts_left,
        "values": values_left,
        "journal": journal_left,
    }
    return render(
        "run.html",
        document,
        steps=shown,
        quiet=quiet,
        notes=notes,
        chart=timeline(shown, document["started_at"], document["finished_at"] or document["made_at"]),
        failures=failures,
        first=failures[0] if failures else None,
        logs=[log for log in logs if log["bytes"]],
        diff=diff,
        outputs=outputs,
        artifacts=artifacts,
        values={"own": [each for each in values if each["own"]], "rest": [each for each in values if not each["own"]]},
        journal=journal[::-1],
        left=left,
        bad=document["status"] in BAD,
        words=("",) if len(document["commands"]) < 2 else ("if it was done", "if it was not"),
        facts=_facts(document),
    )


def _short(row: Mapping[str, Any]) -> dict[str, Any]:
    """A job or step with texts of a length that a table bears."""
    short = {name: texts.cut(value, 600) if isinstance(value, str) else value for name, value in row.items()}
    return {name: value for name, value in short.items() if name != "steps"}


def _failure(failure: Mapping[str, Any]) -> dict[str, Any]:
    name = f"{failure['job']}.{failure['step']}" if failure.get("step") else failure["job"]
    tail = [texts.cut(texts.visible(line[:1000]), 300) for line in (failure.get("tail") or [])[-20:]]
    kept = {key: failure.get(key) for key in ("code", "location", "log")}
    kept |= {key: texts.cut(failure.get(key) or "", 4000) for key in ("message", "fix")}
    items = [texts.cut(item, 300) for item in (failure.get("items") or [])[:20]]
    return {"name": name, "tail": tail, "items": items, **kept}


def _output(output: Mapping[str, Any]) -> dict[str, Any]:
    """The outputs of a step by name; the beginning of their text, where it was too long to be read."""
    text, length = output["text"] or "", output["length"] or 0
    values: list[tuple[str, str, int]] = []
    if length == len(text):
        for name, value in (json.loads(text) if text else {}).items():
            shown = texts.as_text(value)
            values.append((name, texts.cut(shown, 400), max(0, len(shown) - 400)))
    else:
        values.append(("all of them", texts.cut(text, 400), length - 400))
    return {**{key: output[key] for key in ("step", "attempt", "secret", "stored_apart")}, "values": values}


def _log(log: Mapping[str, Any], budget: Budget, most: int) -> dict[str, Any]:
    lines, left = budget.lines(log["lines"], most, 400)
    whole = sum(len(line.encode("utf-8", "replace")) + 1 for line in log["lines"]) >= log["bytes"] and not left
    return {**log, "lines": lines, "whole": whole and all(len(line) < 400 for line in lines)}


def _given(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The parameters that the run had, as they were recorded."""
    command = document["command"][:MOST_COMMAND]
    found = []
    for name, value in document["params"].items():
        given = re.search(rf"--param[ =]'?{re.escape(name)}=", command) is not None
        source = "given on the command line" if given else "its default, or given by what started the run"
        shown = texts.cut(texts.as_text(value), 300)
        found.append({"path": f"params.{name}", "value": shown, "from": source, "own": True})
    return found


def _value(value: Mapping[str, Any]) -> dict[str, Any]:
    def link(each: Mapping[str, Any]) -> str:
        place = f" {texts.cut(each['file'], 300)}:{each['line']}:{each['col']}" if each["file"] else ""
        return f"{texts.cut(each['what'], 300)}{place}"

    chain = " ← ".join(dict.fromkeys([link(value), *(link(each) for each in reversed(value["chain"]))]))
    shown = texts.cut(texts.as_text(value["value"]), 300)
    own = value["what"] != "default" and (len(value["chain"]) > 1 or value["path"].startswith("resources."))
    return {"path": value["path"], "value": shown, "from": texts.cut(chain, 600), "own": own}


def _entry(entry: Mapping[str, Any]) -> dict[str, Any]:
    told = ", ".join(
        f"{name} {texts.cut(texts.as_text(value), 300)}" for name, value in entry["detail"].items() if value is not None
    )
    return {"at": entry["at"], "event": entry["event"], "detail": texts.cut(told, 300)}


def _facts(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What is known about the start of the run."""
    run = document
    found = {
        "started by": f"{run['actor']}, trigger {run['trigger']}",
        "process": f"pid {run['pid']} on {run['host']}",
        "command": run["command"],
        "folder": run["working_dir"],
        "flow file": run["flow_yaml"],
        "project file": run["config"],
        "bundle": run["manifest"],
        "state": run["state_path"],
        "log": run["log_path"],
        "started in": run["parent"],
        "owner": run["owner"],
        "jobs asked for": ", ".join(run["part"]),
        "engine": f"AetherFlow {run['engine_version']}",
    }
    return [(name, texts.cut(str(value), 1000)) for name, value in found.items() if value]
