"""Helpers shared by the unit and the system tests of test_scheduler_export_kubernetes.py."""

import datetime as dt
import re
import zoneinfo
from typing import Any
from zoneinfo import ZoneInfo

import kubernetes_validate
import yaml

from exporting import Answer

VERSIONS = ("1.27", "1.32", "1.37")
"""Tested versions of Kubernetes; `timeZone` is stable since 1.27."""


IMAGE = ("--image", "registry.example.com/flows:1.4")


CLAIM = ("--claim", "etl-state:/state")


LIMITS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6))


def parsed_field(text: str, low: int, high: int) -> set[int]:
    """The numbers of a cron field as Kubernetes reads it; supports `*`, numbers, ranges and lists, as exports use."""
    if text == "*":
        return set(range(low, high + 1))
    values: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"(\d+)(?:-(\d+))?", part)
        assert match, text
        first, last = int(match[1]), int(match[2] or match[1])
        assert low <= first <= last <= high, text
        values |= set(range(first, last + 1))
    return values


def kubernetes_starts(schedule: str, zone: ZoneInfo, start: dt.datetime, end: dt.datetime) -> set[dt.datetime]:
    """Every minute whose local time matches, including both passes of a repeated hour."""
    texts = schedule.split()
    assert len(texts) == 5
    minutes, hours, days, months, weekdays = (
        parsed_field(text, *limits) for text, limits in zip(texts, LIMITS, strict=True)
    )
    found = set()
    at = start
    while at < end:
        wall = at.astimezone(zone)
        day, weekday = wall.day in days, (wall.weekday() + 1) % 7 in weekdays
        both = texts[2] == "*" or texts[4] == "*"
        fits = (day and weekday) if both else (day or weekday)
        if fits and wall.minute in minutes and wall.hour in hours and wall.month in months:
            found.add(at)
        at += dt.timedelta(minutes=1)
    return found


def manifests(answer: Answer) -> dict[str, dict[str, Any]]:
    """Name to CronJob; each is validated against the schemas."""
    assert answer.code == 0, answer.err
    found = {}
    for document in yaml.safe_load_all(answer.out):
        for version in VERSIONS:
            kubernetes_validate.validate(document, version, strict=True)
        name, spec = document["metadata"]["name"], document["spec"]
        assert re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,50}[a-z0-9])?", name)
        assert name not in found
        found[name] = document
        assert spec["timeZone"] in zoneinfo.available_timezones()
        kubernetes_starts(spec["schedule"], ZoneInfo(spec["timeZone"]), *WINDOW)
        assert spec.get("startingDeadlineSeconds", 10) >= 10
        pod = spec["jobTemplate"]["spec"]["template"]["spec"]
        assert pod["restartPolicy"] == "Never"
        assert spec["jobTemplate"]["spec"]["backoffLimit"] == 0
    return found


START = dt.datetime(2027, 1, 1, tzinfo=dt.UTC)


WINDOW = (START, START + dt.timedelta(minutes=1))


def container(document: dict[str, Any]) -> dict[str, Any]:
    (found,) = document["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    return dict(found)
