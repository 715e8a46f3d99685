"""The custom part with the hashes of a report's inputs. It holds no run id and no time: same inputs, same bytes."""

from collections.abc import Sequence
from dataclasses import dataclass

from aetherflow_builtins_reports.escaping import quoteattr

STAMP_PART = "customXml/aetherflow.xml"


@dataclass(frozen=True, slots=True)
class Input:
    """One input of a report."""

    kind: str
    """The input's role, `template` or `source`."""
    name: str
    """Name of the file, or of the target if its rows come from the flow."""
    sha256: str


def stamp(flow_id: str, flow_sha256: str, inputs: Sequence[Input]) -> bytes:
    listed = "".join(f"<{each.kind} name={quoteattr(each.name)} sha256={quoteattr(each.sha256)}/>" for each in inputs)
    return (
        '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
        f'<report xmlns="urn:aetherflow:report:1" flow={quoteattr(flow_id)} sha256={quoteattr(flow_sha256)}>'
        f"{listed}</report>"
    ).encode()
