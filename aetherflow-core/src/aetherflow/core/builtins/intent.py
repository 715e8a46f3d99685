"""The intent of a step, remembered before its effects, so that a second attempt continues with the same list."""

import hashlib
import json
from typing import Any

from aetherflow.core.api import Step


def remember(step: Step[Any], intent: Any) -> None:
    """Store an intent, with a hash of the step's inputs; call it before the first effect."""
    step.ctx.remember({"inputs": _digest(step), "intent": intent})


def remembered(step: Step[Any]) -> Any:
    """The intent of an earlier attempt with the same inputs; None if there is none."""
    found = step.ctx.remembered()
    return found["intent"] if found is not None and found["inputs"] == _digest(step) else None


def _digest(step: Step[Any]) -> str:
    return hashlib.sha256(json.dumps(step.inputs, sort_keys=True, default=str).encode()).hexdigest()
