"""Helpers shared by the unit and the system tests of test_core_run.py."""

import json
from typing import Any

from aetherflow.core.api import Step, StepResult, register_step

VALUES = {
    "int": 5, "big": 10**30, "float": 0.1, "true": True, "none": None, "text": "ä\n\"'",
    "nested": {"a": [1, {"b": []}]}, "empty": {}, "list": ["x", 1, None, 2.5, False],
}  # fmt: skip


RECEIVED: list[Any] = []


@register_step("test_values")
class Values(Step[Any]):
    """Returns values of every type."""

    def run(self) -> dict[str, Any]:
        return dict(VALUES)


@register_step("test_receive")
class Receive(Step[Any]):
    """Records its inputs in `RECEIVED`, then modifies them."""

    def run(self) -> dict[str, Any]:
        RECEIVED.append(json.loads(json.dumps(self.inputs)))
        for value in self.inputs.values():
            if isinstance(value, list | dict):
                value.clear()
        return {"got": RECEIVED[-1]}


@register_step("test_fail")
class Fail(Step[Any]):
    """Fails with the message of its inputs."""

    def run(self) -> None:
        raise RuntimeError(self.inputs.get("message", "failed"))


@register_step("test_return")
class Return(Step[Any]):
    """Returns the value of a Python expression, its input `value`."""

    def run(self) -> Any:
        return eval(self.inputs["value"], {"StepResult": StepResult, "float": float})
