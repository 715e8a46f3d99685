"""Places boxes of a graph in columns: what waits for another stands to the right of it, and few lines cross.

Our own, after Sugiyama's method: Graphviz is a program that would have to be installed beside Python, and the packages
that lay out graphs in Python bring numpy for a picture of some dozen boxes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

ACROSS, DOWN, MARGIN = 64, 22, 16
SWEEPS = 12
_THIN = 10
"""Height of the place at which a line passes through a column."""


@dataclass(slots=True)
class Box:
    """A box, or with `node` None the place at which a line passes a column."""

    node: str | None
    width: float
    height: float
    column: int = 0
    x: float = 0
    y: float = 0
    before: "list[Box]" = field(default_factory=list)
    after: "list[Box]" = field(default_factory=list)

    @property
    def middle(self) -> float:
        """The height of its middle."""
        return self.y + self.height / 2


@dataclass(frozen=True, slots=True)
class PlacedGraph:
    """The boxes by node, the boxes along each line from its begin to its end, and the size of all."""

    boxes: dict[str, Box]
    lines: list[list[Box]]
    width: float
    height: float


def layout(
    sizes: Mapping[str, tuple[float, float]], edges: Sequence[tuple[str, str]], across: float = ACROSS
) -> PlacedGraph:
    """Places for the nodes, in the order of `sizes`; edges go from what comes first to what waits, without a circle.

    `across` is the space between columns.
    """
    boxes = {name: Box(name, *size) for name, size in sizes.items()}
    for before, after in edges:
        boxes[before].after.append(boxes[after])
        boxes[after].before.append(boxes[before])
    _columns(boxes)
    columns: list[list[Box]] = [[] for _ in range(1 + max((box.column for box in boxes.values()), default=0))]
    for box in boxes.values():
        columns[box.column].append(box)
    for box in boxes.values():
        box.before, box.after = [], []
    lines = [_line(boxes[before], boxes[after], columns) for before, after in edges]
    for _ in range(SWEEPS):
        for column in columns[1:]:
            _ordered(column, [box.before for box in column])
        for column in reversed(columns[:-1]):
            _ordered(column, [box.after for box in column])
    _places(columns, across)
    return PlacedGraph(
        boxes,
        lines,
        width=max((box.x + box.width for box in boxes.values()), default=0) + MARGIN,
        height=max((box.y + box.height for column in columns for box in column), default=0) + MARGIN,
    )


def _columns(boxes: Mapping[str, Box]) -> None:
    """The longest way from a begin decides the column; each box once, after all that it waits for."""
    left = {name: len(box.before) for name, box in boxes.items()}
    ready = [box for box in boxes.values() if not box.before]
    while ready:
        box = ready.pop()
        for other in box.after:
            other.column = max(other.column, box.column + 1)
            left[str(other.node)] -= 1
            if not left[str(other.node)]:
                ready.append(other)


def _line(start: Box, end: Box, columns: list[list[Box]]) -> list[Box]:
    """The boxes along a line; in each column that it passes, a place is made for it."""
    through = [Box(None, 0, _THIN, column) for column in range(start.column + 1, end.column)]
    for box in through:
        columns[box.column].append(box)
    line = [start, *through, end]
    for one, other in pairwise(line):
        one.after.append(other)
        other.before.append(one)
    return line


def _ordered(column: list[Box], beside: list[list[Box]]) -> None:
    """Sort a column by the mean place of the neighbours; what has none stays where it is."""
    place = {id(box): number for number, box in enumerate(column)}
    mean = {
        id(box): sum(other.y for other in others) / len(others) if others else float(place[id(box)])
        for box, others in zip(column, beside, strict=True)
    }
    column.sort(key=lambda box: (mean[id(box)], place[id(box)]))
    for number, box in enumerate(column):
        box.y = number


def _places(columns: list[list[Box]], across: float) -> None:
    x = float(MARGIN)
    high = max(sum(box.height + DOWN for box in column) for column in columns)
    for column in columns:
        width = max((box.width for box in column), default=0)
        y = MARGIN + (high - sum(box.height + DOWN for box in column)) / 2
        for box in column:
            box.x, box.y = x, y
            box.width = box.width or width  # a line passes straight through the column
            y += box.height + DOWN
        x += width + across
