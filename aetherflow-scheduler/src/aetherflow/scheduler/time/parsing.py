"""Parses times of the document and the command line: instants, days, times of day, zones."""

import datetime as dt
import re
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from aetherflow.core.embedding import nearest
from aetherflow.scheduler.time.cron import Cron

_DAILY = re.compile(r"([0-9]{1,2}):([0-9]{2})\s*-\s*([0-9]{1,2}):([0-9]{2})\Z", re.ASCII)
_TIME = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])\Z", re.ASCII)
_NO_ZONES = frozenset({"local", "localtime", "Factory", "posixrules"})
DAY = 1440
FIRST_YEAR, LAST_YEAR = 1900, 9998


def read_zone(name: str) -> ZoneInfo:
    """The zone of an IANA name. Raises ValueError, whose second argument is the fix, for any other text."""
    if name not in _NO_ZONES and not name.startswith(("posix/", "right/")):
        try:
            return ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            pass
    raise ValueError(f"{name!r} is no IANA time zone", _zone_fix(name))


def read_instant(text: str, zone: ZoneInfo, *, last: bool = False) -> dt.datetime:
    """Parse a day or a time, in the zone unless it has an offset; returns UTC. Raises ValueError (message, fix).

    A local time that occurs twice means the first one, or with `last` the second.
    """
    try:
        found = dt.datetime.fromisoformat(text.strip())
        if found.tzinfo is None:
            found = found.replace(tzinfo=zone, fold=int(last))
        return found.astimezone(dt.UTC)
    except (ValueError, OverflowError):
        raise ValueError(
            f"{text!r} is no time", "write 2026-12-24, 2026-12-24 06:00 or 2026-12-24T06:00+01:00"
        ) from None


def read_begin(text: str, zone: ZoneInfo) -> dt.datetime:
    """Like `read_instant`, but only from 1900 to 9998, so that slots can be searched on both sides of it."""
    found = read_instant(text, zone)
    if not FIRST_YEAR <= found.year <= LAST_YEAR:
        raise ValueError(f"{text!r} is too far away", f"write a year from {FIRST_YEAR} to {LAST_YEAR}")
    return found


def read_daily(text: str) -> tuple[int, int]:
    """Parse `22:00-23:30` into minutes of the day; an end before the begin is on the next day (+1440).
    Raises ValueError (message, fix).
    """
    match = _DAILY.match(text.strip())
    fix = "write 22:00-23:30; an end before the begin is of the next day"
    if match is None:
        raise ValueError(f"{text!r} is no span of the day", fix)
    from_hour, from_minute, to_hour, to_minute = map(int, match.groups())
    begin, end = from_hour * 60 + from_minute, to_hour * 60 + to_minute
    if max(from_minute, to_minute) > 59 or begin >= DAY or end > DAY:
        raise ValueError(f"{text!r}: a time of the day is 00:00 to 24:00", fix)
    if begin == end:
        raise ValueError(f"{text!r} is empty", "write 00:00-24:00 for the whole day, or `enabled: false`")
    return begin, end if end > begin else end + DAY


def read_time(text: str) -> Cron:
    """The expression that fires each day at a time of day, `06:00`. Raises ValueError (message, fix)."""
    match = _TIME.match(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is no time of day", 'write "06:00", 00:00 to 23:59')
    return Cron.parse(f"{int(match[2])} {int(match[1])} * * *")


def _zone_fix(name: str) -> str:
    if name.lower() in ("local", "localtime"):
        return "name the zone, Europe/Berlin: what `local` is differs from host to host"
    if re.match(r"(utc|gmt)?[+-]\d", name, re.IGNORECASE):
        return "name the zone, Europe/Berlin: an offset knows no summer time"
    from zoneinfo import available_timezones

    known = available_timezones()
    by_city = {each.rpartition("/")[2].lower(): each for each in sorted(known) if "/" in each}
    wanted = name.strip().lower().replace(" ", "_")
    found = by_city.get(wanted.rpartition("/")[2]) or nearest(name, [each for each in known if each[:1] == name[:1]])
    return f"did you mean {found!r}?" if found else "use an IANA name such as Europe/Berlin or UTC"
