"""Reasons without their words, in every interpreter that has this folder on PYTHONPATH: only codes are left to read."""

import hashlib

from aetherflow.core.base import said

_plain = said._words


def scrambled(code: said.ReasonCode, values: dict[str, object]) -> str:
    """Other words for each reason, the same for the same."""
    return f"~{hashlib.sha256(_plain(code, values).encode()).hexdigest()[:12]}"


said._words = scrambled
