"""The graph of a document: what it starts, and what waits for what; `aetherflow graph` shows it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GraphNode:
    """A job of a flow, or an item of a schedule."""

    id: str
    lines: tuple[str, ...] = ()
    """What is shown below its name: steps, times, a condition."""
    disabled: bool = False


@dataclass(frozen=True, slots=True)
class GraphEdge:
    """One node waits for another: `after` starts when `before` has ended."""

    before: str
    after: str
    label: str = ""
    conditional: bool = False
    """It does not wait for success, but looks at what has become of it."""


@dataclass(frozen=True, slots=True)
class DocumentGraph:
    """The nodes in the order of the document, and the edges; there is no circle."""

    title: str
    nodes: tuple[GraphNode, ...]
    edges: tuple[GraphEdge, ...]
