"""How far a running step has come, as it was written with the last heartbeat of its run."""

import json
from typing import TYPE_CHECKING, Any

from aetherflow.core.console.amounts import amount

if TYPE_CHECKING:
    from aetherflow.core.records.history import PastRun


def progress_of(run: "PastRun") -> dict[str, Any] | None:
    """What its step has reported last; None if the run does not run, or its step reports nothing."""
    if run.status != "RUNNING" or not run.progress:
        return None
    found: dict[str, Any] = json.loads(run.progress)
    return found


def how_far(told: dict[str, Any]) -> str:
    """Such a report as text: `load.orders 1,200,000 of 3,000,000 rows (40%), 84,000 rows/s`."""
    parts = []
    if items := told.get("items"):
        parts.append(f"{items['done']:,} of {items['total']:,} items")
    parts.append(amount(told["done"], told["total"], told["unit"]))
    if rate := told.get("rate"):
        parts.append(f"{amount(rate, None, told['unit'])}/s")
    return f"{told['job']}.{told['step']} {', '.join(parts)}"
