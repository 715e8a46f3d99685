"""The graph of a schedule: its items, when they start, what they run, and what each follows."""

import shlex
from collections.abc import Iterator
from typing import TYPE_CHECKING

from aetherflow.core.api import DocumentGraph, GraphEdge, GraphNode
from aetherflow.scheduler.document.commands import masked_words
from aetherflow.scheduler.document.reading import show_path

if TYPE_CHECKING:
    from aetherflow.scheduler.schedule.schedule import Item, Schedule

LONGEST = 60
"""Most characters of a command that a node shows."""


def graph_of(schedule: "Schedule") -> DocumentGraph:
    """The graph of a schedule."""
    nodes = tuple(
        GraphNode(item.id, tuple(_lines(item, schedule)), disabled=not item.spec.enabled) for item in schedule.items
    )
    return DocumentGraph(schedule.path.name, nodes, tuple(edge for item in schedule.items for edge in _edges(item)))


def _lines(item: "Item", schedule: "Schedule") -> Iterator[str]:
    if item.spec.cron:
        yield f"{item.spec.cron} {item.zone.key}"
    if item.command is not None:
        text = " ".join(shlex.join(masked_words(item.command.words)).split())
        yield text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
    elif (target := item.manifest or item.flow) is not None:
        yield show_path(str(target), schedule.path.parent)
    if item.spec.deadline:
        yield f"deadline {item.spec.deadline}"


def _edges(item: "Item") -> Iterator[GraphEdge]:
    any_end = item.spec.after_status == "any"
    for other in item.after:
        yield GraphEdge(other, item.id, "any end" if any_end else "", conditional=any_end)
