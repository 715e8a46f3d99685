"""The JSON form of step outputs, and the rules for values without one."""

import dataclasses
import datetime as dt
import math
from collections.abc import Mapping
from decimal import Decimal
from pathlib import PurePath
from typing import Any
from uuid import UUID

from pydantic import BaseModel

from aetherflow.core.base.errors import OutputError
from aetherflow.core.base.json_text import text_encoder

MAX_OUTPUT_BYTES = 64 * 1024 * 1024
_encode = text_encoder(separators=(",", ":"), allow_nan=False)

_SAFE = frozenset({str, int, bool, type(None)})
"""Types that stay what they are: most values have one of these."""


def json_safe(value: Any, where: str = "output") -> Any:
    """The JSON-safe form of a step's output.

    Dates become ISO 8601 text, Decimal and UUID text, tuples lists. Raises OutputError, naming the key, for bytes,
    NaN and infinities, keys that are not text, and objects of other types.
    """
    if value is None or isinstance(value, str | bool):
        return str(value) if isinstance(value, str) else value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise OutputError(f"{where} is {value}, which JSON cannot hold; return None instead")
        return float(value)
    if isinstance(value, Mapping):
        return {
            _key(key, where): item if type(item) in _SAFE else json_safe(item, f"{where}.{key}")
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [
            item if type(item) in _SAFE else json_safe(item, f"{where}[{index}]") for index, item in enumerate(value)
        ]
    if isinstance(value, dt.datetime | dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, Decimal | UUID | PurePath):
        return str(value)
    if isinstance(value, BaseModel):
        return json_safe(value.model_dump(), where)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return json_safe(dataclasses.asdict(value), where)
    hint = "; write bytes to an artifact" if isinstance(value, bytes | bytearray | memoryview) else ""
    raise OutputError(f"{where} is of type {type(value).__name__}, which cannot be stored{hint}")


def to_json(value: Any) -> str:
    """Compact JSON text of a JSON-safe value; OutputError for invalid Unicode and beyond 64 MiB."""
    text = _encode(value)
    try:
        size = len(text) if text.isascii() else len(text.encode())
    except UnicodeEncodeError:
        raise OutputError("an output holds text that is not valid Unicode (a lone surrogate)") from None
    if size > MAX_OUTPUT_BYTES:
        raise OutputError(f"outputs of {size // 2**20} MiB are too large to store; write an artifact, return its path")
    return text


def _key(key: Any, where: str) -> str:
    if not isinstance(key, str):
        raise OutputError(f"{where} has the key {key!r}, and keys must be text")
    return key
