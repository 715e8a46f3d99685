"""A graph as a picture in SVG: `aetherflow graph --format svg`."""

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from aetherflow_builtins_reports.pages import texts
from aetherflow_builtins_reports.pages.layout import ACROSS, Box, layout

LETTER, LINE, PAD = 7.2, 17, 12
LONGEST = 52
"""Characters of a line in a box."""
STYLE = Markup("""<style>
text { font: 12px ui-monospace, "DejaVu Sans Mono", Consolas, monospace; fill: #1a1f27; }
.t { font: 600 14px system-ui, sans-serif; } .l, .e { fill: #505a68; }
.e { font: 11px system-ui, sans-serif; paint-order: stroke; stroke: #fff; stroke-width: 4px; }
rect { fill: #f6f7f9; stroke: #505a68; } .bg { fill: #fff; stroke: none; } .off { stroke-dasharray: 4 3; }
.a { fill: none; stroke: #505a68; stroke-width: 1.4; } .w { stroke-dasharray: 5 4; } .h { fill: #505a68; stroke: none; }
@media (prefers-color-scheme: dark) {
text { fill: #e8ecf1; } .l, .e { fill: #a9b4c2; } .e { stroke: #12161c; }
rect { fill: #1b2129; stroke: #a9b4c2; } .bg { fill: #12161c; stroke: none; }
.a { stroke: #a9b4c2; } .h { fill: #a9b4c2; }
}
</style>""")


def graph_svg(document: Mapping[str, Any]) -> bytes:
    """The picture: boxes from the left to the right, dashed lines for conditions."""
    nodes = {node["id"]: _texts(node) for node in document["nodes"]}
    sizes = {name: _size(lines) for name, lines in nodes.items()}
    edges = [(edge["before"], edge["after"]) for edge in document["edges"]]
    longest = max((len(texts.cut(edge["label"], 24)) for edge in document["edges"]), default=0)
    placed = layout(sizes, edges, ACROSS + longest * 6)
    width, height = round(max(placed.width, 120)), round(max(placed.height, 60))
    head = Markup(
        '<svg xmlns="http://www.w3.org/2000/svg" width="{0}" height="{1}" viewBox="0 0 {0} {1}" role="img" '
        'aria-labelledby="t"><title id="t">{2}</title>'
    ).format(width, height, texts.visible(f"{document['title']}: {_told(document)}"))
    parts = [head, STYLE, Markup('<rect class="bg" width="{}" height="{}"/>').format(width, height)]
    for edge, line in zip(document["edges"], placed.lines, strict=True):
        parts += _arrow(line, texts.visible(edge["label"]), dashed=edge["conditional"])
    off = {node["id"] for node in document["nodes"] if node["disabled"]}
    for name, lines in nodes.items():
        parts += _box(placed.boxes[name], lines, off=name in off)
    return Markup("").join([*parts, Markup("</svg>\n")]).encode("utf-8", "backslashreplace")


def _told(document: Mapping[str, Any]) -> str:
    """The graph in words, for those who do not see it."""
    names = [node["id"] for node in document["nodes"]]
    after = {name: [edge["before"] for edge in document["edges"] if edge["after"] == name] for name in names}
    return "; ".join(f"{name} after {', '.join(before)}" if before else name for name, before in after.items())


def _texts(node: Mapping[str, Any]) -> list[str]:
    name = node["id"] + (" (disabled)" if node["disabled"] else "")
    return [texts.cut(" ".join(texts.visible(line).split()), LONGEST) for line in (name, *node["lines"])]


def _size(lines: Sequence[str]) -> tuple[float, float]:
    widest = max(len(lines[0]) * 1.15, *map(len, lines))
    return widest * LETTER + 2 * PAD, len(lines) * LINE + PAD + 4


def _box(box: Box, lines: Sequence[str], *, off: bool) -> list[Markup]:
    rect = Markup('<rect{} x="{:.0f}" y="{:.0f}" width="{:.0f}" height="{:.0f}" rx="7"/>')
    text = Markup('<text class="{}" x="{:.0f}" y="{:.0f}">{}</text>')
    parts = [rect.format(Markup(' class="off"') if off else "", box.x, box.y, box.width, box.height)]
    for number, line in enumerate(lines):
        parts.append(text.format("l" if number else "t", box.x + PAD, box.y + PAD + 8 + number * LINE, line))
    return parts


def _arrow(line: Sequence[Box], label: str, *, dashed: bool) -> list[Markup]:
    """A line through the places along it, with its head, and its label near the begin."""
    start, end = line[0], line[-1]
    x, y = start.x + start.width, start.middle
    path = [f"M{x:.0f} {y:.0f}"]
    for box in line[1:]:
        to, last = box.x - (7 if box is end else 0), box is end
        half = (to - x) / 2
        path.append(f"C{x + half:.0f} {y:.0f} {to - half:.0f} {box.middle:.0f} {to:.0f} {box.middle:.0f}")
        if not last:
            path.append(f"H{box.x + box.width:.0f}")
        x, y = box.x + box.width, box.middle
    parts = [
        Markup('<path class="a{}" d="{}"/>').format(" w" if dashed else "", "".join(path)),
        Markup('<path class="h" d="M{0:.0f} {1:.0f}l-8 -4v8z"/>').format(end.x, end.middle),
    ]
    if label:
        at = Markup('<text class="e" x="{:.0f}" y="{:.0f}" text-anchor="end">{}</text>')
        parts.append(at.format(end.x - 12, end.middle - 6, texts.cut(label, 24)))
    return parts
