"""The time zone of a document."""

from typing import Annotated

from pydantic import AfterValidator, WithJsonSchema


def _zone(value: str) -> str:
    from aetherflow.core.kernel.resolver.dates import parse_zone  # few documents name one

    parse_zone(value)
    return value


Zone = Annotated[str, AfterValidator(_zone), WithJsonSchema({"type": "string", "pattern": "^[A-Z][A-Za-z0-9_+/-]+$"})]
"""An IANA name of a time zone."""
