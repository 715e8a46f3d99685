"""Replaces the texts of reasons in every interpreter with this folder on PYTHONPATH, so only codes are usable."""

import hashlib

from aetherflow.core.base import said

_plain = said._words


def scrambled(code: said.ReasonCode, values: dict[str, object]) -> str:
    """A meaningless text for a reason; equal for equal reasons."""
    return f"~{hashlib.sha256(_plain(code, values).encode()).hexdigest()[:12]}"


said._words = scrambled
