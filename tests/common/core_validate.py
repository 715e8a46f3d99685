"""Helpers shared by the unit and the system tests of test_core_validate.py."""

import re
from typing import TYPE_CHECKING, Any

from pydantic import Field, field_validator

from aetherflow.core.api import (
    Step,
    StepInputs,
    register_step,
)

if TYPE_CHECKING:
    from core_project import Project

from typing import TYPE_CHECKING

LINE = re.compile(r"^(?P<file>[^:\n]+):(?P<line>\d+):(?P<col>\d+): (?P<af>AF\d{4}) (?P<message>.+)$")


def found(out: str) -> list[tuple[str, int, int, str]]:
    """Parse the output into (code, line, column, fix) for each problem; asserts the form of every line."""
    *lines, verdict = out.splitlines()
    assert verdict.startswith(("OK: ", "INVALID: "))
    problems: list[tuple[str, int, int, str]] = []
    for line in lines:
        if line.startswith("  fix: "):
            code, at, col, _ = problems.pop()
            problems.append((code, at, col, line.removeprefix("  fix: ")))
        else:
            match = LINE.match(line)
            assert match, line
            problems.append((match["af"], int(match["line"]), int(match["col"]), ""))
    return problems


def check(project: "Project", text: str) -> list[tuple[str, int, int, str]]:
    project.write(text)
    result = project.cli("validate", "flow.yaml")
    assert result.err == ""
    problems = found(result.out)
    assert result.code == (0 if result.out.splitlines()[-1].startswith("OK: ") else 2)
    return problems


def job(step: str) -> str:
    return f"flow: {{id: f}}\njobs:\n- id: a\n  steps:\n  - {step}\n"


class _Faulty(StepInputs):
    value: str = Field("", description="x")

    @field_validator("value")
    @classmethod
    def _fail(cls, value: str) -> str:
        return {"ok": "ok"}[value]  # KeyError is no validation error


@register_step("test_faulty_model")
class FaultyModel(Step[_Faulty]):
    """A step whose model has a defect."""

    def run(self) -> None: ...


@register_step("test_faulty_check")
class FaultyCheck(Step[_Faulty]):
    """A step whose static check has a defect."""

    @classmethod
    def check(cls, inputs: Any) -> list[str]:
        raise LookupError("in check")

    def run(self) -> None: ...


@register_step("test_untyped")
class Untyped(Step[Any]):
    """A step without models."""

    required_inputs = {"a", "b"}  # noqa: RUF012 as plugins write it

    @classmethod
    def check(cls, inputs: Any) -> list[str]:
        return ["a must not be 7"] if inputs.get("a") == 7 else []

    def run(self) -> None: ...
