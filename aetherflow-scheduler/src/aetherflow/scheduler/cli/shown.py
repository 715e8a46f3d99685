"""How the commands print local times, and how many lines of a list."""

import datetime as dt

SHOWN = 50
"""Lines of a list that are printed; `--json` has all."""


def local_text(local: dt.datetime) -> str:
    """Format a local time as `Wed 2026-11-25 02:00 +01:00`, independent of the locale."""
    day = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")[local.weekday()]
    offset = local.isoformat(timespec="minutes")[16:]
    return f"{day} {local.replace(tzinfo=None).isoformat(' ', timespec='minutes')} {offset}"
