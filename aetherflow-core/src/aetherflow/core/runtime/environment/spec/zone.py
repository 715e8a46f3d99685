"""The time zone of a document."""

from typing import Annotated

from pydantic import AfterValidator


def _zone(value: str) -> str:
    from aetherflow.core.kernel.resolver.dates import parse_zone  # few documents name one

    parse_zone(value)
    return value


Zone = Annotated[str, AfterValidator(_zone)]
"""An IANA name of a time zone."""
