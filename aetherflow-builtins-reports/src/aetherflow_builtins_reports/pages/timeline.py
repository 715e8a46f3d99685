"""The attempts of a run as bars over time."""

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from aetherflow_builtins_reports.pages import texts
from aetherflow_builtins_reports.pages.rendering import MARKS, status_class

WIDTH, NAMES, ROW, TOP = 960, 230, 22, 24
MOST_ROWS = 60


def timeline(steps: Sequence[Mapping[str, Any]], start: int, end: int) -> Markup:
    """The chart, as SVG; the table beside it says the same in words. Empty without an attempt."""
    if not steps:
        return Markup("")
    shown = steps[:MOST_ROWS]
    end = max(end, start + 1, *(step["finished_at"] or 0 for step in shown))
    scale = (WIDTH - NAMES - 90) / (end - start)
    height = TOP + ROW * len(shown) + 6
    parts = [
        Markup('<svg class="chart" viewBox="0 0 {} {}" width="{}" height="{}" role="img" aria-labelledby="tl">').format(
            WIDTH, height, WIDTH, height
        ),
        Markup('<title id="tl">{} attempts over {}; the table below has the same</title>').format(
            len(shown), texts.took(end - start)
        ),
    ]
    for part in range(5):
        at = start + (end - start) * part // 4
        x = NAMES + (at - start) * scale
        parts.append(
            Markup('<path class="grid" d="M{0:.1f} {1}V{2}"/><text class="tick" x="{0:.1f}" y="14">{3}</text>').format(
                x, TOP - 4, height, "+" + texts.took(at - start) if part else "0"
            )
        )
    for number, step in enumerate(shown):
        y = TOP + ROW * number
        name = status_class(step["status"])
        x = NAMES + max(0, step["started_at"] - start) * scale
        width = max(3.0, ((step["finished_at"] or end) - step["started_at"]) * scale)
        again = f" #{step['attempt']}" if step["attempt"] > 1 else ""
        item = f"[{step['label'] or step['item_key']}]" if step["item_key"] else ""
        label = texts.cut(texts.visible(f"{step['job_id']}.{step['step_id']}{item}"), 30) + again
        lasted = texts.took((step["finished_at"] or end) - step["started_at"])
        bar = Markup('<rect class="bar {}" x="{:.1f}" y="{}" width="{:.1f}" height="14" rx="2"/>')
        after = Markup('<text class="after {}" x="{:.1f}" y="{}">{} {}</text>')
        parts += [
            Markup('<text class="name" x="0" y="{}">{}</text>').format(y + 14, label),
            bar.format(name, x, y + 3, width),
            after.format(name, x + width + 5, y + 14, MARKS[name], lasted),
        ]
    return Markup("").join([*parts, Markup("</svg>")])
