"""`export kubernetes`: CronJobs that Kubernetes' own schemas accept, and what those schemas do not look at."""

import datetime as dt
import re
import zoneinfo
from typing import Any
from zoneinfo import ZoneInfo

import kubernetes_validate
import yaml

from exporting import Answer, Exporter

VERSIONS = ("1.27", "1.32", "1.37")
"""From the first in which `timeZone` is stable."""
IMAGE = ("--image", "registry.example.com/flows:1.4")
CLAIM = ("--claim", "etl-state:/state")
LIMITS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6))


def parsed_field(text: str, low: int, high: int) -> set[int]:
    """What Kubernetes takes a field of ours for; only the forms that we write: `*`, numbers, ranges, lists."""
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
    """Every minute whose wall time fits, both passes of an hour that comes twice included."""
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
    """The CronJobs by name, checked."""
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


def test_policies_become_fields(export: Exporter) -> None:
    export.write("""
        id: a, cron: "0 12 * * *"
        id: b, cron: "0 12 * * *", overlap: queue, misfire: all, timeout_seconds: 60
        id: c, cron: "0 12 * * *", overlap: kill_old, misfire_grace_time: 3
        id: d, cron: "0 12 * * *", overlap: allow, timeout_seconds: 600, retry: {max_attempts: 3, backoff_seconds: 10}
    """)
    answer = export("kubernetes", *IMAGE, *CLAIM, "--namespace", "etl", "--path-in-image", "/app/plan.yaml")
    found = manifests(answer)
    specs = {name.rpartition("-")[2]: document["spec"] for name, document in found.items()}
    assert {name: spec["concurrencyPolicy"] for name, spec in specs.items()} == {
        "a": "Forbid",
        "b": "Allow",
        "c": "Replace",
        "d": "Allow",
    }
    deadlines = {name: spec.get("startingDeadlineSeconds") for name, spec in specs.items()}
    assert deadlines == {"a": 300, "b": None, "c": 10, "d": 300}
    active = {name: spec["jobTemplate"]["spec"].get("activeDeadlineSeconds") for name, spec in specs.items()}
    assert active == {"a": None, "b": None, "c": None, "d": 3 * (600 + 120) + 20}
    one = found["aetherflow-scheduler-a"]
    assert one["metadata"]["namespace"] == "etl"
    assert container(one)["image"] == IMAGE[1]
    assert container(one)["command"] == [
        *("aetherflow-scheduler", "run-item", "/app/plan.yaml", "a", "--trigger", "kubernetes")
    ]
    assert container(one)["env"][0] == {"name": "AETHERFLOW_STATE_ROOT", "value": "/state/state"}
    told = [line for line in answer.err.splitlines() if line.startswith("note: ")]
    assert any("below 10 s: c" in line for line in told)
    assert any("no activeDeadlineSeconds" in line and line.endswith(": b") for line in told)
    for line in told:
        assert f"# - {line.removeprefix('note: ')}\n" in answer.out
