"""What a step returns as Python objects, and how it is stored and read by the next one."""

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel

from aetherflow.core.api import Step, StepResult, register_step
from aetherflow.core.testing import FlowProject


class Model(BaseModel):
    """A model with a value that is none of JSON's."""

    price: Decimal


@dataclass
class Row:
    """The same as a dataclass."""

    day: dt.date


VALUES: dict[str, tuple[Any, Any]] = {
    "datetime": (dt.datetime(2026, 11, 27, 18, 0, tzinfo=dt.UTC), "2026-11-27T18:00:00+00:00"),
    "date": (dt.date(2026, 11, 27), "2026-11-27"),
    "time": (dt.time(18, 30), "18:30:00"),
    "decimal": (Decimal("1.10"), "1.10"),
    "uuid": (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    "path": (Path("/a/b"), "/a/b"),
    "model": (Model(price=Decimal("2.50")), {"price": "2.50"}),
    "dataclass": ([Row(dt.date(2026, 1, 2))], [{"day": "2026-01-02"}]),
    "tuple": ((1, None), [1, None]),
}


@register_step("test_python_values")
class Returns(Step[Any]):
    """Returns one of the values."""

    def run(self) -> StepResult:
        name = self.inputs["name"]
        return StepResult(output={"value": Row if name == "a class" else VALUES[name][0]})


@pytest.mark.parametrize("name", sorted(VALUES))
def test_what_has_a_form_in_json_is_stored(tmp_path: Path, name: str) -> None:
    ran = FlowProject(tmp_path / "project").run_step("test_python_values", {"name": name})
    assert ran.error is None, ran.error
    assert ran["step"].outputs == {"value": VALUES[name][1]}


def test_what_has_none_is_refused(tmp_path: Path) -> None:
    ran = FlowProject(tmp_path / "project").run_step("test_python_values", {"name": "a class"})
    assert ran.error is not None
    assert "is of type type, which cannot be stored" in ran.error.message
