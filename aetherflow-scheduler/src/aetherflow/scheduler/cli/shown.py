"""How the commands print local times."""

import datetime as dt


def local_text(local: dt.datetime) -> str:
    """Format a local time as `Wed 2026-11-25 02:00 +01:00`, independent of the locale."""
    day = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")[local.weekday()]
    offset = local.isoformat(timespec="minutes")[16:]
    return f"{day} {local.replace(tzinfo=None).isoformat(' ', timespec='minutes')} {offset}"
