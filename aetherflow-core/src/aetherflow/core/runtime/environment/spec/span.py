"""The time span of a document: `30m`, `12h`, `90d`."""

import re
from typing import Annotated

from pydantic import AfterValidator, WithJsonSchema

_PATTERN = "([1-9][0-9]{0,4})([mhd])"
_SECONDS = {"m": 60, "h": 3600, "d": 86400}


def _span(value: str) -> str:
    if not re.fullmatch(_PATTERN, value):
        raise ValueError(f"{value!r} is no span such as 30m, 12h or 2d")
    return value


Span = Annotated[str, AfterValidator(_span), WithJsonSchema({"type": "string", "pattern": f"^{_PATTERN}$"})]


def seconds_of(span: str) -> int:
    """The seconds of a span: `30m`, `12h`, `2d`."""
    match = re.fullmatch(_PATTERN, span)
    assert match is not None  # noqa: S101 the model has checked it
    return int(match[1]) * _SECONDS[match[2]]
