"""Steps of the test data: a fact of the ledger, and outputs that are too large for a row."""

import os
from pathlib import Path
from typing import Any

from aetherflow.core.api import Step, StepError, register_step


def _mended() -> bool:
    return Path(os.environ["EFFECTS"], "mended").exists()


@register_step("data_fact")
class Fact(Step[Any]):
    def run(self) -> dict[str, Any]:
        ledger = self.ctx.ledger("arrivals")
        ledger.put_fact("arrived", {"attempt": self.ctx.attempt, "amount": 1.1})
        if not _mended():
            raise StepError("not mended yet")
        return {"arrived": ledger.get("arrived")}


@register_step("data_large")
class Large(Step[Any]):
    def run(self) -> dict[str, Any]:
        return {"rows": [str(number) * 100_000 for number in range(3)], "length": 300_000}
