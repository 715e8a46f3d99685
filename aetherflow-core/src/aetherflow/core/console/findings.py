"""Findings of checks as lines of text."""

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from aetherflow.core.base.problems import Problem
from aetherflow.core.host.installing import install_all

if TYPE_CHECKING:
    from aetherflow.core.checks.checked import Checked


def problem_lines(problems: Iterable[Problem]) -> list[str]:
    """The lines of each finding; the fix of a missing extra is left to `install_lines`."""
    return [(replace(each, fix="") if each.extra else each).as_text() for each in problems]


def install_lines(problems: Iterable[Problem]) -> list[str]:
    """One line with the command that installs all missing extras; no line if none is missing."""
    command = install_all(problems)
    return [f"fix: {command}"] if command is not None else []


def verdict(item: "Checked") -> str:
    """`OK: path`, `INVALID: path (n errors, m warnings)` or `SKIPPED: path (why)`."""
    errors, warnings = len(item.problems.errors), len(item.problems.warnings)
    counted_warnings = f"{warnings} warning{'s' * (warnings != 1)}"
    if errors:
        return f"INVALID: {item.path} ({errors} error{'s' * (errors != 1)}, {counted_warnings})"
    if item.skipped:
        return f"SKIPPED: {item.path} (no document of a known kind)"
    return f"OK: {item.path}" + (f" ({counted_warnings})" if warnings else "")
