"""Instants as the commands write them."""

import datetime as dt


def local_text(local: dt.datetime) -> str:
    """`Wed 2026-11-25 02:00 +01:00`, the same in every locale."""
    day = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")[local.weekday()]
    offset = local.isoformat(timespec="minutes")[16:]
    return f"{day} {local.replace(tzinfo=None).isoformat(' ', timespec='minutes')} {offset}"
