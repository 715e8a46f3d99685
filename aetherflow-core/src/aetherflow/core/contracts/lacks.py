"""What a connector class lacks for a step."""

from typing import NamedTuple


class Lack(NamedTuple):
    """Something that a connector class lacks; `validate` names the class with its file and line before it."""

    text: str
    """`lacks rename(): a file would appear under its final name while it is written`."""
    refused: bool = True
    """Whether the step cannot work; else it works with a weaker promise, which `validate` tells as a warning."""
