"""Describes how clock changes affect slots."""

import datetime as dt
from zoneinfo import ZoneInfo

from aetherflow.scheduler.time.cron import Cron
from aetherflow.scheduler.time.zones import Change, last_change, span


def remark_of(cron: Cron, zone: ZoneInfo, at: dt.datetime) -> str | None:
    """A note on how a clock change affects the slot at an instant; None if it does not."""
    instant = at.astimezone(dt.UTC).replace(tzinfo=None)
    wall = instant + span(zone, instant)[1]
    change = last_change(zone, instant)
    if change is not None and change.skipped and (text := _after_gap(cron, change, instant, wall)) is not None:
        return text
    if change is not None and not change.skipped and change.first <= wall < change.end:
        return f"{wall:%H:%M} comes twice on {wall.date()}: this is the second time" if cron.wildcard else None
    return _before_repeat(cron, zone, instant, wall)


def _after_gap(cron: Cron, change: Change, instant: dt.datetime, wall: dt.datetime) -> str | None:
    if wall != cron.first(change.end) and instant != change.at:
        return None
    skipped = cron.first(change.first)
    if skipped >= change.end:
        return None
    gap = f"{change.first:%H:%M} to {change.end:%H:%M} does not exist on {change.first.date()}"
    if cron.wildcard:
        return f"{gap}: times in it do not run"
    return f"{gap}: {skipped:%H:%M} runs now" if instant == change.at else None


def _before_repeat(cron: Cron, zone: ZoneInfo, instant: dt.datetime, wall: dt.datetime) -> str | None:
    later = wall.replace(tzinfo=zone, fold=1).astimezone(dt.UTC).replace(tzinfo=None)
    if later <= instant:
        return None
    if cron.wildcard:
        return f"{wall:%H:%M} comes twice on {wall.date()}: this is the first time"
    return f"{wall:%H:%M} comes twice on {wall.date()}: it runs the first time only"
