"""Time spans and instants on the command line: `24h`, `30d`, `2026-11-24`, `2026-11-24T06:00+01:00`."""

import datetime as dt
import re

from aetherflow.core.base.errors import UsageError
from aetherflow.core.base.times import iso

_SPAN = re.compile(r"(\d{1,6})\s*([smhdw])\Z")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def span_ms(text: str, option: str) -> int:
    """Milliseconds of a span such as `90s`, `15m`, `24h`, `30d` or `2w`; UsageError, which names the option."""
    match = _SPAN.match(text.strip())
    if match is None:
        raise UsageError(f"{option} {text!r} is not a time span", fix="write 90s, 15m, 24h, 30d or 2w")
    return int(match[1]) * _SECONDS[match[2]] * 1000


def is_span(text: str) -> bool:
    """Whether it is such a span."""
    return _SPAN.match(text.strip()) is not None


def instant_ms(text: str | None, now_ms: int, option: str = "--since") -> int | None:
    """Epoch milliseconds of a span before now, a date or an instant (ISO 8601, default zone UTC). UsageError."""
    if text is None:
        return None
    if is_span(text):
        return now_ms - span_ms(text, option)
    try:
        found = dt.datetime.fromisoformat(text.strip())
    except ValueError:
        fix = "write a span (24h, 30d) or a time (2026-11-24, 2026-11-24T06:00+01:00)"
        raise UsageError(f"{option} {text!r} is neither a span nor a time", fix=fix) from None
    if found.tzinfo is None:
        found = found.replace(tzinfo=dt.UTC)
    return int(found.timestamp() * 1000)


def both(epoch_ms: int | None) -> str:
    """UTC time as `iso` gives it, and the time on this machine, if that is another: `2026-11-27T02:10:00Z (03:10 CET)`.

    Empty for None.
    """
    if epoch_ms is None:
        return ""
    utc = dt.datetime.fromtimestamp(epoch_ms / 1000, dt.UTC)
    here = utc.astimezone()
    if not here.utcoffset():
        return iso(epoch_ms)
    day = "" if here.date() == utc.date() else f"{here:%d %b} "
    return f"{iso(epoch_ms)} ({day}{here:%H:%M %Z})"


def instant_of(text: str | None) -> int | None:
    """The UTC epoch milliseconds of a time in ISO 8601; None for None, and for any other text."""
    try:
        return None if text is None else int(dt.datetime.fromisoformat(text).timestamp() * 1000)
    except ValueError:
        return None
