"""Steps written as other tools have them, with `run:` or `command:`: the answer is the lines to write instead."""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from aetherflow.core.base.location import DocPath, format_path
from aetherflow.core.base.problems import Problem
from aetherflow.core.checks.view import Part, jobs, steps
from aetherflow.core.kernel.yaml.binder import MISSING_KEY, UNKNOWN_KEY
from aetherflow.core.kernel.yaml.loader import Document

PROCESS = "external.process"
HABITS = ("run", "command", "cmd")
MAX_LINES = 12
"""Lines of a script that are shown at most."""


def with_habits(document: Document, found: list[Problem]) -> tuple[Document, list[Problem]]:
    """The document with such steps as they are meant, for further checks, and the problems with the lines to write."""
    rows = document.text.splitlines()
    data, source = document.data, document.source
    meant: dict[str, str] = {}
    answered: set[str] = set()
    for step in (step for job in jobs(document.data) for step in steps(job)):
        key = next((key for key in HABITS if _is_command(step.data.get(key))), None)
        if key is None or step.data.get("type", PROCESS) != PROCESS:
            continue
        inputs = _inputs(step, key)
        meant[format_path((*step.path, key))] = _fix(document, rows, step, key, inputs)
        answered.add(format_path((*step.path, "type")))
        rest = {name: value for name, value in step.data.items() if name != key}
        data = _put(data, step.path, {**rest, "type": PROCESS, "inputs": {**inputs, "command": step.data[key]}})
        parts: list[DocPath] = [(), *((at,) for at in range(len(step.data[key])) if isinstance(step.data[key], list))]
        for part in parts:  # what is found in it stands where it was written
            if (mark := source.values.get((*step.path, key, *part))) is not None:
                source.values[*step.path, "inputs", "command", *part] = mark
    problems = [
        replace(problem, fix=meant[problem.loc]) if problem.af == UNKNOWN_KEY and problem.loc in meant else problem
        for problem in found
        if problem.af != MISSING_KEY or problem.loc not in answered  # the lines to write hold the type
    ]
    return document._replace(data=data), problems


def _put(data: Any, path: DocPath, value: Any) -> Any:
    """The data with another value at a path."""
    if not path:
        return value
    changed = data.copy()
    changed[path[0]] = _put(data[path[0]], path[1:], value)
    return changed


def _is_command(value: Any) -> bool:
    if isinstance(value, list):
        return bool(value) and all(isinstance(item, str | int | float) for item in value)
    return isinstance(value, str) and bool(value.strip())


def _inputs(step: Part, key: str) -> dict[str, Any]:
    value = step.data[key]
    command = {"shell": True, "command": _script(value)} if isinstance(value, str) else {"command": value}
    return {**(step.get("inputs", dict) or {}), **command}


def _fix(document: Document, rows: list[str], step: Part, key: str, inputs: dict[str, Any]) -> str:
    whole: dict[str, Any] = {"inputs": inputs} if "type" in step.data else {"type": PROCESS, "inputs": inputs}
    keys = f"`{key}:` and `inputs:`" if "inputs" in step.data else f"`{key}:`"
    text = f"did you mean a program? instead of {keys} write"
    at = document.source.value(step.path)
    if re.match(r"([&!]\S* +)*\{", rows[at.line - 1][at.column - 1 :]):
        return f"{text}: {_flow(whole)}"
    margin = " " * (document.source.key((*step.path, key)).column - 1)
    return "\n".join((text, *(margin + line for line in _lines(whole))))


def _script(text: str) -> str:
    """The script; one of several lines ends at the first that fails, as it does where the habit comes from."""
    lines = text.strip("\n").split("\n")
    if len(lines) == 1:
        return lines[0]
    if len(lines) > MAX_LINES:
        lines = [*lines[:3], f"# … the other {len(lines) - 3} lines"]
    return "\n".join(("set -e", *lines)) + "\n"


def _lines(data: dict[str, Any]) -> Iterator[str]:
    """YAML in blocks: maps and scripts over several lines, lists in one."""
    for key, value in data.items():
        if isinstance(value, dict):
            yield f"{key}:"
            yield from (f"  {line}" for line in _lines(value))
        elif isinstance(value, str) and "\n" in value:
            yield f"{key}: |"
            yield from (f"  {line}".rstrip() for line in value.rstrip("\n").split("\n"))
        else:
            yield _flow({key: value})


def _flow(data: dict[str, Any]) -> str:
    """A map as one line of YAML, without its braces."""
    import yaml  # imported only for such a mistake

    text: str = yaml.safe_dump(data, default_flow_style=True, sort_keys=False, allow_unicode=True, width=1 << 20)
    return text.strip().removeprefix("{").removesuffix("}")
