"""The custom part that says what a report was made of. It names no run and no time: same inputs, same bytes."""

from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import quoteattr

STAMP_PART = "customXml/aetherflow.xml"


@dataclass(frozen=True, slots=True)
class Input:
    """One thing that went into a report."""

    kind: str
    """Which of the two: `template` or `source`."""
    name: str
    """Name of the target, or of the file."""
    sha256: str


def stamp(flow_id: str, flow_sha256: str, inputs: Sequence[Input]) -> bytes:
    listed = "".join(f"<{each.kind} name={quoteattr(each.name)} sha256={quoteattr(each.sha256)}/>" for each in inputs)
    return (
        '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
        f'<report xmlns="urn:aetherflow:report:1" flow={quoteattr(flow_id)} sha256={quoteattr(flow_sha256)}>'
        f"{listed}</report>"
    ).encode()
