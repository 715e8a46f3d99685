"""A statement as a page for people: the same as in the JSON document, which alone is signed."""

from html import escape
from typing import Any

from aetherflow.core.embedding import iso

_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;margin:2em auto;max-width:70em;padding:0 1em}"
    "table{border-collapse:collapse;width:100%}td,th{border-bottom:1px solid #ccc;padding:.3em .6em;text-align:left;"
    "vertical-align:top}code{overflow-wrap:anywhere}"
)


def page_of(statement: dict[str, Any], digest: str) -> str:
    """The page of a statement, whose file has that sha256."""
    told = {
        "schedule": statement["schedule"],
        "slots": f"{statement['from']} to {statement['to']}",
        "statement": f"{statement['number']}, signed {statement['signed_at']} by {statement['signed_by']}",
        "sha256": digest,
        "the one before": statement["previous"] or "none",
        "expected slots": f"{statement['expected']}, {len(statement['gaps'])} gaps",
        **{name: str(number) for name, number in sorted(statement["counts"].items())},
    }
    slots = [
        [row["item"], iso(row["slot"]), row["status"], row["reason"], _at(row["started_at"]), _at(row["finished_at"]),
         row["run_id"] if row["attempts"] else None, str(row["attempts"])]
        for row in statement["slots"]
    ]  # fmt: skip
    runs = [
        [f"{run['flow_id']}/{run['run_id']}", run["status"], run["engine_version"], run["fingerprint"],
         ", ".join(f"{name}: {number}" for name, number in run["rows"].items()),
         ", ".join(f"{each['path']} ({each['size']} B)" for each in run["files"]),
         ", ".join(f"{each['key']}: {each['state']}" for each in run["deliveries"]), run["head"]]
        for run in statement["runs"]
    ]  # fmt: skip
    acts = [[act["item"], iso(act["slot"]), act["verb"], f"{act['actor']} on {act['host']}", _at(act["at"]),
             act["reason"]] for act in statement["acts"]]  # fmt: skip
    acts += [
        [run["run_id"], None, each["verb"], f"{each['actor']} on {each['host']}", _at(each["at"]), each["reason"]]
        for run in statement["runs"]
        for each in run["acts"]
    ]
    states = [
        [each["path"], str(each["seq"]), each["chain"], "; ".join(each["findings"])] for each in statement["states"]
    ]
    body = [
        f"<h1>{escape(statement['schedule'])}, {escape(statement['from'][:10])}</h1>",
        "<p>Signed is the JSON document beside this page, not the page.</p>",
        _table([], [[name, value] for name, value in told.items()]),
        _section("Slots", "item slot status reason started finished run starts", slots),
        _section("Gaps", "item slot problem", [list(gap.values()) for gap in statement["gaps"]]),
        _section("Runs", "run status version fingerprint rows files deliveries chain", runs),
        _section("What persons did", "item slot act by at reason", acts),
        _section("States", "state row chain findings", states),
    ]
    head = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Audit</title><style>{_STYLE}</style>'
    return "\n".join([head, *(each for each in body if each), "</html>", ""])


def _at(at: int | None) -> str | None:
    return iso(at) if at is not None else None


def _section(title: str, names: str, rows: list[list[str | None]]) -> str:
    return f"<h2>{title}</h2>\n{_table(names.split(), rows)}" if rows else ""


def _table(names: list[str], rows: list[list[str | None]]) -> str:
    head = "<tr>" + "".join(f"<th>{name}</th>" for name in names) + "</tr>" if names else ""
    lines = ["<tr>" + "".join(f"<td>{escape(cell or '')}</td>" for cell in row) + "</tr>" for row in rows]
    return "\n".join(["<table>", *([head] if head else []), *lines, "</table>"])
