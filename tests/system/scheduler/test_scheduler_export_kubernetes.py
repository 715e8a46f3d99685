"""`export kubernetes`: CronJobs that Kubernetes' own schemas accept, and what those schemas do not look at."""

import datetime as dt
import re
import zoneinfo
from typing import Any
from zoneinfo import ZoneInfo

import kubernetes_validate
import pytest
import yaml

from aetherflow.scheduler.cron import Cron
from aetherflow.scheduler.zones import changes
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


def test_the_ledger_must_outlive_the_pods(export: Exporter) -> None:
    export.write('id: a, cron: "0 12 * * *"')
    answer = export("kubernetes", *IMAGE)
    assert (answer.code, answer.out) == (2, "")
    assert "the ledger would end with each pod" in answer.err
    answer = export("kubernetes", *IMAGE, "--ephemeral")
    assert "volumes" not in str(manifests(answer))
    assert "`audit` and resume know nothing of it" in answer.err
    export.write('id: a, cron: "0 12 * * *"', head="timezone: UTC\nstate: ledger.sqlite")
    answer = export("kubernetes", *IMAGE, *CLAIM)
    assert answer.code == 2
    assert "`state: ledger.sqlite`, would be /flows/ledger.sqlite in the pod and end with it" in answer.err
    export.write('id: a, cron: "0 12 * * *"', head="timezone: UTC\nstate: /state/ledger.sqlite")
    assert len(manifests(export("kubernetes", *IMAGE, *CLAIM))) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--image", "a b", *CLAIM), "is no name of an image"),
        ((*IMAGE, "--claim", "Etl:/state"), "is no DNS-1123 label"),
        ((*IMAGE, "--claim", "etl"), "does not say where it is mounted"),
        ((*IMAGE, "--claim", "etl:/"), "does not say where it is mounted"),
        ((*IMAGE, *CLAIM, "--ephemeral"), "exclude each other"),
        ((*IMAGE, *CLAIM, "--namespace", "a.b"), "is no DNS-1123 label"),
        ((*IMAGE, *CLAIM, "--path-in-image", "plan.yaml"), "is not a full path"),
        ((*IMAGE, *CLAIM, "--prefix", "x" * 60), "is longer than"),
        ((*CLAIM,), "Missing option '--image'"),
    ],
)
def test_what_cannot_be_meant_is_refused(export: Exporter, options: tuple[str, ...], message: str) -> None:
    export.write('id: a, cron: "0 12 * * *"')
    answer = export("kubernetes", *options)
    assert (answer.code, answer.out) == (2, "")
    assert message in answer.err


@pytest.mark.parametrize("pair", [("a_b", "a-b"), ("A", "a"), ("a__b", "a_b")])
def test_names_that_would_be_the_same_are_an_error(export: Exporter, pair: tuple[str, str]) -> None:
    export.write("\n".join(f'id: {name}, cron: "0 12 * * *"' for name in pair))
    answer = export("kubernetes", *IMAGE, *CLAIM)
    assert answer.code == 2
    assert f"items {pair[0]!r} and {pair[1]!r} would both be the CronJob" in answer.err
    assert export("systemd").code == 0


CASES = [
    ("Europe/Berlin", "30 2 * * *", True, True),
    ("Europe/Berlin", "0 * * * *", True, False),
    ("Europe/Berlin", "*/15 1-3 * * *", True, False),
    ("Europe/Berlin", "5 2 * * sun", True, True),
    ("Europe/Berlin", "5 2 1 * sun", True, True),
    ("Europe/Berlin", "5 2 */2 * sun", False, True),
    ("Europe/Berlin", "0 12 * * 5-7", True, False),
    ("Africa/Cairo", "30 0 * * *", True, True),
    ("America/New_York", "15 2 * 3 *", True, True),
    ("Australia/Lord_Howe", "15 2 * * *", True, True),
    ("Asia/Kolkata", "30 2 * * *", True, False),
    ("Etc/UTC", "59 23 31 12 *", True, False),
]


@pytest.mark.parametrize(("key", "expression", "exact", "clock"), CASES)
def test_every_slot_is_started(export: Exporter, key: str, expression: str, exact: bool, clock: bool) -> None:
    export.write(f'id: a, cron: "{expression}", timezone: {key}')
    found = manifests(export("kubernetes", *IMAGE, *CLAIM))
    assert ("aetherflow-scheduler-a-clock" in found) is clock
    usual = found["aetherflow-scheduler-a"]
    assert container(usual)["command"][1] == ("run-item" if exact else "tick")
    cron, zone = Cron.parse(expression), ZoneInfo(key)
    year = dt.datetime.now(dt.UTC).year + 1
    moments = [change.at.replace(tzinfo=dt.UTC) for change in changes(zone, year)] or [START]
    for moment in moments:
        start, end = moment - dt.timedelta(days=4), moment + dt.timedelta(days=4)
        slots = set(cron.between(start, end, zone))
        started = kubernetes_starts(usual["spec"]["schedule"], zone, start, end)
        twice = {at for at in started if at.astimezone(zone).fold}
        if clock:
            also = found["aetherflow-scheduler-a-clock"]
            assert container(also)["command"][1] == "tick"
            assert slots - started <= kubernetes_starts(also["spec"]["schedule"], ZoneInfo("UTC"), start, end)
        else:
            assert slots <= started
        if exact:
            assert started - twice <= slots
