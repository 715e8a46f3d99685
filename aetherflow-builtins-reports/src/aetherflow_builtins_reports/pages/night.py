"""The night of a schedule as a chart: what was expected, what ran, what waited, and by when it has to have ended."""

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from aetherflow_builtins_reports.pages import texts
from aetherflow_builtins_reports.pages.rendering import MARKS, status_class

WIDTH, NAMES, ROW, TOP = 1100, 150, 30, 34
HIDES_AFTER = 36
"""An item with more slots is drawn without the marks at its bars, which would lie on each other."""


def night_chart(
    night: Mapping[str, Any],
    items: Sequence[Mapping[str, Any]],
    now: int,
    forecast: Mapping[str, Sequence[Mapping[str, Any]]],
) -> Markup:
    """The chart as SVG; a table has the same in words. Empty without an item. `forecast` has its slots by item."""
    if not items:
        return Markup("")
    start, end = night["start"], night["end"]
    scale: float = (WIDTH - NAMES - 40) / (end - start)
    height = TOP + ROW * len(items) + 8

    def across(ms: int) -> float:
        return float(NAMES + (min(max(ms, start), end) - start) * scale)

    parts = [
        Markup('<svg class="chart night" viewBox="0 0 {0} {1}" width="{0}" height="{1}" ').format(WIDTH, height),
        Markup('role="img" aria-labelledby="ni">'),
        Markup('<title id="ni">{} items from {} to {} UTC; the table below has the same</title>').format(
            len(items), *(f"{_at(ms):%Y-%m-%d %H:%M}" for ms in (start, end))
        ),
        *_hours(night["hours"], across, height),
    ]
    for number, item in enumerate(items):
        y = TOP + ROW * number
        parts.append(Markup('<path class="grid" d="M0 {}H{}"/>').format(y + ROW, WIDTH))
        name = texts.cut(texts.visible(item["id"]), 24)
        parts.append(Markup('<text class="name" x="0" y="{}">{}</text>').format(y + 19, name))
        for slot in item["slots"]:
            parts += _slot(slot, y, across, now, quiet=len(item["slots"]) > HIDES_AFTER)
        for each in forecast.get(item["id"], ()):
            parts += _expected(each, y, across, now)
    x = across(now)
    parts.append(Markup('<path class="now" d="M{0:.1f} {1}V{2}"/>').format(x, TOP - 6, height))
    parts.append(Markup('<text class="tick" x="{:.1f}" y="{}" text-anchor="middle">now</text>').format(x, TOP - 22))
    return Markup("").join([*parts, Markup("</svg>")])


def _hours(hours: Sequence[Mapping[str, Any]], across: Callable[[int], float], height: int) -> list[Markup]:
    """A line for each hour that is named."""
    line = Markup('<path class="grid" d="M{0:.1f} {1}V{2}"/>')
    label = Markup('<text class="tick" x="{:.1f}" y="{}" text-anchor="middle">{}</text>')
    parts = []
    for hour in hours:
        x = across(hour["at"])
        parts += [line.format(x, TOP - 4, height), label.format(x, TOP - 8, hour["label"])]
    return parts


def _slot(slot: Mapping[str, Any], y: int, across: Callable[[int], float], now: int, *, quiet: bool) -> list[Markup]:
    """A diamond where it was expected, bars for its starts, a dashed line while it waited, a bracket for its end."""
    parts = []
    x, middle = across(slot["at"]), y + ROW / 2
    begun = slot["attempts"][0]["started_at"] if slot["attempts"] else None
    if slot["status"] == "WAITING" or (begun is not None and begun - slot["at"] > texts.MINUTE):
        until = across(begun if begun is not None else now)
        parts.append(Markup('<path class="waits" d="M{:.1f} {}H{:.1f}"/>').format(x, middle, until))
    for attempt in slot["attempts"]:
        left = across(attempt["started_at"])
        width = max(3.0, across(attempt["finished_at"] or now) - left)
        bar = Markup('<rect class="bar {}" x="{:.1f}" y="{}" width="{:.1f}" height="14" rx="2"/>')
        parts.append(bar.format(status_class(attempt["status"]), left, y + 8, width))
    name = status_class(slot["status"])
    if slot["status"] is not None and (not quiet or name == "bad"):
        last = slot["attempts"][-1] if slot["attempts"] else None
        after = across((last["finished_at"] or now) if last else slot["at"])
        mark = Markup('<text class="after {}" x="{:.1f}" y="{}">{}</text>')
        parts.append(mark.format(name, after + 6, y + 19, MARKS[name]))
    if not quiet or not slot["attempts"]:
        diamond = Markup('<path class="slot{}" d="M{:.1f} {:.1f}l4 4l-4 4l-4 -4z"/>')
        parts.append(diamond.format("" if slot["expected"] else " out", x, middle - 4))
    if slot["late_at"] is not None:
        due = Markup('<path class="due" d="M{0:.1f} {1}h5v22h-5"/>')
        parts.append(due.format(across(slot["late_at"]) - 5, y + 4))
    return parts


def _expected(each: Mapping[str, Any], y: int, across: Callable[[int], float], now: int) -> list[Markup]:
    """A dashed bar from when it starts to when it ends in half of the nights, and a line to the end in nine of ten."""
    if not each["runs"]:  # how long it takes is not known
        return []
    late = " stop" if each["is_late"] else ""
    left, right, last = (across(ms) for ms in (max(each["start"]["p50"], now), each["end"]["p50"], each["end"]["p90"]))
    right = max(right, left + 3)
    bar = Markup('<rect class="fore{}" x="{:.1f}" y="{}" width="{:.1f}" height="14" rx="2"/>')
    whisker = Markup('<path class="until{0}" d="M{1:.1f} {2}H{3:.1f}m0 -4v8"/>')
    parts = [bar.format(late, left, y + 8, right - left), whisker.format(late, right, y + 15, max(last, right))]
    if late:
        word = Markup('<text class="after stop" x="{:.1f}" y="{}">{} late</text>')
        parts.append(word.format(max(last, right) + 6, y + 19, MARKS["stop"]))
    return parts


def _at(ms: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(ms / 1000, dt.UTC)
