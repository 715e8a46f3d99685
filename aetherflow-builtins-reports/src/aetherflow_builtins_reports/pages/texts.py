"""Values as a page shows them: times, durations, sizes, and texts in which nothing is invisible."""

import datetime as dt
import json
import re
from typing import Any

from markupsafe import Markup

_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\ud800-\udfff]"
    "|[\U000e0000-\U000e007f]"
)
"""What is not seen, or changes the direction of writing, or is no character at all; not tab and newline."""
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MINUTE, DAY = 60_000, 86_400_000


def visible(value: Any) -> Any:
    r"""A text with what cannot be seen written out, as `\x1b` or `\u202e`; other values as text, nothing for None."""
    if isinstance(value, Markup):
        return value
    if value is None:
        return ""
    return _HIDDEN.sub(_written, value if isinstance(value, str) else str(value))


def _written(found: "re.Match[str]") -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def cut(text: str, most: int) -> str:
    """A text of at most so many characters."""
    return text if len(text) <= most else text[: most - 1] + "…"


def as_text(value: Any) -> str:
    """A value as text: one that is text as it is, others as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def took(ms: int | None) -> str:
    """A duration: `0.3 s`, `4:05 min`, `2:10:00 h`; empty for None."""
    if ms is None:
        return ""
    if ms < MINUTE:
        return f"{ms / 1000:.1f} s"
    minutes, seconds = divmod(ms // 1000, 60)
    return f"{minutes // 60}:{minutes % 60:02}:{seconds:02} h" if minutes >= 60 else f"{minutes}:{seconds:02} min"


def size(number: int) -> str:
    """A number of bytes for people: `812 B`, `4.1 kB`, `2.3 MB`."""
    amount = float(number)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000 or unit == "GB":
            break
        amount /= 1000
    return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"


def count(number: float) -> str:
    """A number with thin groups: `1,200,000`; as short as `1.2 M` it would be no fact."""
    return f"{number:,}"


class Times:
    """Instants as the reader of a page needs them: in UTC, and in the zone of the machine that made it."""

    def __init__(self, zone: str, offset_s: int) -> None:
        self._zone, self._offset = zone, dt.timedelta(seconds=offset_s)

    def utc(self, ms: int | None) -> str:
        """`2026-11-30 02:00:05`; empty for None."""
        return "" if ms is None else f"{_at(ms):%Y-%m-%d %H:%M:%S}"

    def short(self, ms: int | None) -> str:
        """`11-30 02:00`; empty for None."""
        return "" if ms is None else f"{_at(ms):%m-%d %H:%M}"

    def clock(self, ms: int | None) -> str:
        """The time of day only: `02:00:05`."""
        return "" if ms is None else f"{_at(ms):%H:%M:%S}"

    def full(self, ms: int | None) -> str:
        """`Mon 2026-11-30 02:00:05 UTC (03:00 CET)`; empty for None."""
        if ms is None:
            return ""
        at = _at(ms)
        here = f" ({at + self._offset:%H:%M} {self._zone})" if self._offset else ""
        return f"{DAYS[at.weekday()]} {at:%Y-%m-%d %H:%M:%S} UTC{here}"

    def element(self, ms: int | None) -> Markup:
        """The same as an element that programs can read."""
        if ms is None:
            return Markup("")
        machine = _at(ms).isoformat(timespec="seconds")
        return Markup('<time datetime="{}">{}</time>').format(machine, self.full(ms))


def _at(ms: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(ms / 1000, dt.UTC)
