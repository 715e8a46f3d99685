"""Small pictures in one line of text: how the last runs ended, and how a number went."""

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import groupby

from markupsafe import Markup

from aetherflow_builtins_reports.pages.rendering import status_class

STEP, HIGH = 7, 16
_FORMS = {
    "ok": "",
    "bad": "M{x} 0h5v16h-5z",
    "stop": "M{x} 0h5v6h-5zm0 10h5v6h-5z",
    "run": "M{x} 4l5 6l-5 6z",
    "wait": "M{x} 12h5v4h-5z",
    "none": "M{x} 12h5v4h-5z",
}
"""The shape of each status at a place: a failure is taller than a success, an interruption has a gap.

A success is a dash of a line, of which one draws all that stand side by side: a page has thousands.
"""
_WORDS = {"ok": "ok", "bad": "failed", "stop": "interrupted", "run": "running", "wait": "waiting", "none": "not known"}


def strip(statuses: Sequence[str | None]) -> Markup:
    """One mark for each run, the last one at the right; empty without a run."""
    if not statuses:
        return Markup("")
    classes = [status_class(each) for each in statuses]
    counts = Counter(classes)
    told = ", ".join(f"{counts[name]} {_WORDS[name]}" for name in _FORMS if counts[name])
    width = STEP * len(classes) - 2
    paths = [_line_of(classes)] if counts["ok"] else []
    for name in (name for name in counts if name != "ok"):
        marks = "".join(_FORMS[name].format(x=STEP * at) for at, each in enumerate(classes) if each == name)
        paths.append(f'<path class="{name}" d="{marks}"/>')
    label = f"the last {len(classes)}: {told}" if len(classes) > 1 else told
    head = Markup('<svg width="{}" height="{}" role="img" aria-label="{}">').format(width, HIGH, label)
    return head + Markup("".join(paths)) + Markup("</svg>")  # noqa: S704 numbers and names of ours


def _line_of(classes: Sequence[str]) -> str:
    at, parts = 0, []
    for name, group in groupby(classes):
        number = len(list(group))
        if name == "ok":
            parts.append(f"M{STEP * at} 10.5h{STEP * number - 2}")
        at += number
    return f'<path class="k" d="{"".join(parts)}"/>'


def spark(values: Sequence[int | None], label: str, shown: Callable[[int], str]) -> Markup:
    """A line through the numbers, from zero up; empty where fewer than two are known."""
    known = [(at, value) for at, value in enumerate(values) if value is not None]
    if len(known) < 2:
        return Markup("")
    most = max(value for _, value in known) or 1
    width = STEP * (len(values) - 1) // 2 + 4
    places = [(2 + at * STEP // 2, 14 - round(12 * value / most)) for at, value in known]
    ends = (None, *(y for _, y in places), None)
    points = " ".join(f"{x},{y}" for (x, y), *beside in zip(places, ends, ends[2:], strict=False) if beside != [y, y])
    told = f"{label}: last {shown(known[-1][1])}, least {shown(min(v for _, v in known))}, most {shown(most)}"
    head = Markup('<svg width="{}" height="{}" role="img" aria-label="{}">').format(width, HIGH, told)
    return head + Markup('<polyline class="line" points="{}"/></svg>').format(points)
