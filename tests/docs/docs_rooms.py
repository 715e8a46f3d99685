"""What the page of the architecture shows of the tree: a table of the core's rooms, and a picture of who imports whom.

Both are made from the sources: rooms and their order from `tests/unit/architecture/rooms.py`, what a room holds from
the docstring of its package, imports from the syntax trees.
"""

import ast
import sys
from pathlib import Path
from xml.sax.saxutils import escape

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "tests/unit/architecture"))

from import_graph import distribution, graph, modules, room  # noqa: E402 the tests' own folder is on no path
from rooms import ROWS  # noqa: E402

CORE = "aetherflow.core"
ROOMS_PAGE = ROOT / "docs/02-architecture.md"
BEGIN, END = "<!-- rooms of the core -->\n", "<!-- end of the rooms -->"
PICTURE = ROOT / "docs/images/rooms.svg"
CELL, LEFT, TOP, RIGHT = 18, 190, 165, 90
"""Pixels: a cell, and what labels need."""


def rooms_table() -> str:
    """The rooms of the core, bottom up, one a line; a folder is told by its docstring, a file by its own."""
    lines = ["| room | holds |", "|---|---|"]
    for name in dict.fromkeys(_outer(each) for each in ROWS[CORE]):
        module = modules()[f"{CORE}.{name}"]
        text = (ast.get_docstring(ast.parse(module.read_text())) or "").partition("\n\n")[0]
        lines.append(f"| `{name.replace('.', '/')}` | {' '.join(text.split()).replace('|', chr(92) + '|')} |")
    return "\n".join(lines)


def with_rooms(page: str) -> str:
    """The page with the table of today's rooms."""
    head, rest = page.split(BEGIN)
    return f"{head}{BEGIN}{rooms_table()}\n{END}{rest.partition(END)[2]}"


def picture() -> str:
    """A square of dots as SVG: one where the room of the row imports the room of the column.

    Rows and columns stand in one order, what others stand on first. So every dot lies below the diagonal, and in the
    rows of the kernel none lies outside of base, contracts and kernel.
    """
    names = _nodes()
    place = {name: number for number, name in enumerate(names)}
    size = CELL * len(names)
    kernel = [number for name, number in place.items() if name.startswith("kernel/")]
    first, last = kernel[0], kernel[-1] + 1
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + size + RIGHT}" height="{TOP + size + 20}">',
        "<title>Which room imports which: every dot lies below the diagonal</title>",
        "<style>text { font: 12px system-ui, sans-serif; fill: #24292f } .kernel { font-weight: bold }</style>",
        '<rect width="100%" height="100%" rx="8" fill="#ffffff"/>',
        _box(0, first, last, last - first, "#fff1d6"),
    ]
    for number in range(len(names) + 1):
        line = f"M{LEFT} {TOP + number * CELL}h{size}M{LEFT + number * CELL} {TOP}v{size}"
        parts.append(f'<path d="{line}" stroke="#e6e8eb"/>')
    for name, number in place.items():
        middle = number * CELL + CELL // 2
        kind = ' class="kernel"' if name.startswith("kernel/") else ""
        parts += [
            f'<text x="{LEFT - 8}" y="{TOP + middle + 4}" text-anchor="end"{kind}>{escape(name)}</text>',
            f'<text transform="translate({LEFT + middle + 4} {TOP - 8}) rotate(-60)"{kind}>{escape(name)}</text>',
            _box(number, number, 1, 1, "#d0d7de"),
        ]
    for row, column in sorted((place[importer], place[imported]) for importer, imported in _imports()):
        colour = "#0969da" if column < row else "#cf222e"
        x, y = (LEFT + column * CELL + CELL // 2, TOP + row * CELL + CELL // 2)
        parts.append(f'<circle cx="{x}" cy="{y}" r="4" fill="{colour}"/>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _box(column: int, row: int, width: int, height: int, colour: str) -> str:
    place = f'x="{LEFT + column * CELL}" y="{TOP + row * CELL}" width="{width * CELL}" height="{height * CELL}"'
    return f'<rect {place} fill="{colour}"/>'


def _outer(name: str) -> str:
    """The room that a row is shown as: the five of the kernel, the commands of built-ins, else the outermost."""
    head = name.partition(".")[0]
    return name if head == "kernel" or name == "builtins.commands" else head


def _nodes() -> list[str]:
    core = dict.fromkeys(_outer(name).replace(".", "/") for name in ROWS[CORE])
    return [*core, *(_distribution(name) for name in ROWS if name != CORE)]


def _imports() -> set[tuple[str, str]]:
    """Pairs of importing and imported rooms."""
    pairs = {(_node(name), _node(other)) for name, others in graph().items() for other in others}
    return {(one, other) for one, other in pairs if one != other and one and other}


def _node(module: str) -> str:
    """The room that a module stands in; a distribution beside the core is one; empty for the core's own front."""
    if (package := distribution(module)) != CORE:
        return _distribution(package)
    return _outer(room(module, ROWS[CORE]) or "").replace(".", "/")


def _distribution(package: str) -> str:
    return package.replace("aetherflow.", "aetherflow-").replace("_", "-")
