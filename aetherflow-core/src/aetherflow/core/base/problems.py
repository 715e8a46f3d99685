"""Findings in documents: all are collected, then reported or raised together."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from aetherflow.core.base.location import Location

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding: a stable code, what is wrong, where, and what to do about it."""

    af: str
    """Code of the error page, `AF1101`."""
    message: str
    location: Location
    loc: str = "<root>"
    """Path inside the document, `jobs[1].steps[0].inputs.q`."""
    code: str = ""
    """Contract code, `semantic:duplicate_job_id` or `schema:missing`."""
    fix: str = ""
    severity: Severity = "error"
    extra: str = ""
    """The extra of aetherflow-core that is missing; the fix is the command that installs it."""

    def as_text(self) -> str:
        """`file:line:col: AFnnnn message`, then a line with the fix if there is one."""
        mark = "warning: " if self.severity == "warning" else ""
        text = f"{self.location}: {self.af} {mark}{self.message}"
        return f"{text}\n  fix: {self.fix}" if self.fix else text

    def as_json(self) -> dict[str, Any]:
        """The item of `validate --json`: `code, loc, msg` of the contract plus `af, file, line, col, fix`."""
        return {
            "code": self.code,
            "loc": self.loc,
            "msg": self.message,
            "af": self.af,
            "file": self.location.file,
            "line": self.location.line,
            "col": self.location.column,
            "fix": self.fix,
        }


class Problems:
    """A collector: checks add to it, the command reports all of it."""

    def __init__(self) -> None:
        self._items: dict[Problem, None] = {}

    def add(self, problem: Problem) -> None:
        """Keep one finding; the same finding at the same place is kept once."""
        self._items[problem] = None

    def extend(self, problems: Iterable[Problem]) -> None:
        """Keep several findings, each once."""
        for problem in problems:
            self.add(problem)

    def __iter__(self) -> Iterator[Problem]:
        return iter(sorted(self._items, key=lambda p: (p.location, p.af)))

    @property
    def errors(self) -> list[Problem]:
        """Findings that forbid a run, in the order of the document."""
        return [p for p in self if p.severity == "error"]

    @property
    def warnings(self) -> list[Problem]:
        """Findings that do not forbid a run."""
        return [p for p in self if p.severity == "warning"]
