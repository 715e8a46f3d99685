"""The report of `validate` in each of its formats."""

import json
import re
from collections.abc import Callable, Sequence
from typing import Any

from aetherflow.core.base.problems import Problem
from aetherflow.core.checks.checked import REPORT_SCHEMA, Checked
from aetherflow.core.console.findings import install_lines, problem_lines, verdict
from aetherflow.core.host.installing import install_all

_NOT_XML = "[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"


def as_text(checked: Sequence[Checked], single: bool) -> str:
    """Location, code and fix of each finding, OK or INVALID for each file, and the command that installs extras."""
    del single
    lines = []
    for item in checked:
        lines += problem_lines(item.problems)
        lines.append(verdict(item))
    return "\n".join([*lines, *install_lines(_all(checked))])


def as_json(checked: Sequence[Checked], single: bool) -> str:
    """The contract's object for a single file, else `{ok, install, files}`."""
    reports = [item.as_json() for item in checked]
    whole = {"ok": all(item.ok for item in checked), "install": install_all(_all(checked)), "files": reports}
    report: dict[str, Any] = reports[0] if single else whole
    return json.dumps({"schema": REPORT_SCHEMA, **report}, ensure_ascii=False, indent=2)


def as_github(checked: Sequence[Checked], single: bool) -> str:
    """GitHub workflow commands, which annotate the line of each finding, then the verdicts."""
    del single
    lines = [_annotation(problem) for item in checked for problem in item.problems]
    return "\n".join([*lines, *map(verdict, checked), *install_lines(_all(checked))])


def as_junit(checked: Sequence[Checked], single: bool) -> str:
    """JUnit XML: one test case per file."""
    del single
    failed = sum(not item.ok for item in checked)
    head = f'name="aetherflow validate" tests="{len(checked)}" failures="{failed}" errors="0"'
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', f"<testsuites {head}>", f"  <testsuite {head}>"]
    for item in checked:
        case = f'    <testcase classname="validate" name={_quoted(item.path)}'
        text = "\n".join([*problem_lines(item.problems), *install_lines(item.problems)])
        if item.ok:
            lines.append(f"{case}>" + (f"<system-out>{_xml(text)}</system-out>" if text else "") + "</testcase>")
            continue
        first = item.problems.errors[0]
        failure = f"<failure type={_quoted(first.af)} message={_quoted(first.message)}>{_xml(text)}</failure>"
        lines.append(f"{case}>{failure}</testcase>")
    return "\n".join([*lines, "  </testsuite>", "</testsuites>"])


FORMATS: dict[str, Callable[[Sequence[Checked], bool], str]] = {
    "text": as_text,
    "json": as_json,
    "github": as_github,
    "junit": as_junit,
}


def _all(checked: Sequence[Checked]) -> list[Problem]:
    return [problem for item in checked for problem in item.problems]


def _annotation(problem: Problem) -> str:
    at = problem.location
    text = problem.message + (f"\nfix: {problem.fix}" if problem.fix else "")
    place = f"file={_property(at.file)},line={at.line},col={at.column},title={_property(problem.af)}"
    return f"::{problem.severity} {place}::{_data(text)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _xml(text: str) -> str:
    return re.sub(_NOT_XML, "\ufffd", text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _quoted(text: str) -> str:
    return '"' + _xml(text).replace('"', "&quot;").replace("\n", "&#10;") + '"'
