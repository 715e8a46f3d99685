"""`export kubernetes`: CronJobs that Kubernetes' own schemas accept, and what those schemas do not look at."""

import datetime as dt
from zoneinfo import ZoneInfo

import pytest
from scheduler_export_kubernetes import CLAIM, IMAGE, START, container, kubernetes_starts, manifests

from aetherflow.scheduler.time.cron import Cron
from aetherflow.scheduler.time.zones import changes
from exporting import Exporter


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
