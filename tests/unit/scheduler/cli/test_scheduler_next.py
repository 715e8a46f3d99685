"""list and next: slots in local time and UTC, what a change of the clock does to them, what will be skipped."""

import json
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from aetherflow.scheduler.cli import main

FLOW = "version: 1\nflow: {id: f}\njobs: [{id: a, steps: [{id: s, type: check_items, inputs: {items: []}}]}]\n"
GAP = "02:00 to 03:00 does not exist on 2026-03-29"
TWICE = "comes twice on 2026-10-25"
Shown = Callable[..., str]


@pytest.fixture
def shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shown:
    """Write a document and run a command over it; its stdout."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "flow.yaml").write_text(FLOW)

    def run(items: str, command: str, *arguments: str, head: str = "timezone: Europe/Berlin", code: int = 0) -> str:
        lines = "".join(f"  - {{flow: flow.yaml, {line.strip()}}}\n" for line in dedent(items).strip().split("\n"))
        (tmp_path / "scheduler.yaml").write_text(f"{head}\nitems:\n{lines}")
        found = main([command, "scheduler.yaml", *arguments])
        captured = capsys.readouterr()
        assert found == code, captured.err
        return captured.out if code == 0 else captured.err

    return run


def rows(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines()[1:]]


def test_both_changes_of_the_clock(shown: Shown) -> None:
    items = 'id: night, cron: "30 2 * * *"\nid: often, cron: "*/30 2 * * *"'
    assert rows(shown(items, "next", "--from", "2026-03-28 12:00", "--until", "2026-03-30 02:15")) == [
        f"Sun 2026-03-29 03:00 +02:00 2026-03-29T01:00:00Z night {GAP}: 02:30 runs now",
        f"Mon 2026-03-30 02:00 +02:00 2026-03-30T00:00:00Z often {GAP}: times in it do not run",
    ]
    assert rows(shown(items, "next", "--from", "2026-10-24 12:00", "-n", "5")) == [
        f"Sun 2026-10-25 02:00 +02:00 2026-10-25T00:00:00Z often 02:00 {TWICE}: this is the first time",
        f"Sun 2026-10-25 02:30 +02:00 2026-10-25T00:30:00Z night 02:30 {TWICE}: it runs the first time only",
        f"Sun 2026-10-25 02:30 +02:00 2026-10-25T00:30:00Z often 02:30 {TWICE}: this is the first time",
        f"Sun 2026-10-25 02:00 +01:00 2026-10-25T01:00:00Z often 02:00 {TWICE}: this is the second time",
        f"Sun 2026-10-25 02:30 +01:00 2026-10-25T01:30:00Z often 02:30 {TWICE}: this is the second time",
    ]


def test_times_that_do_not_exist_are_told_of_wildcards_too(shown: Shown) -> None:
    found = rows(shown('id: often, cron: "*/30 * * * *"', "next", "--from", "2026-03-29 01:15", "-n", "3"))
    assert found == [
        "Sun 2026-03-29 01:30 +01:00 2026-03-29T00:30:00Z often",
        f"Sun 2026-03-29 03:00 +02:00 2026-03-29T01:00:00Z often {GAP}: times in it do not run",
        "Sun 2026-03-29 03:30 +02:00 2026-03-29T01:30:00Z often",
    ]


@pytest.mark.parametrize(
    ("zone", "start", "gap"),
    [
        ("Australia/Lord_Howe", "2026-10-03 12:00", "02:00 to 02:30"),
        ("Africa/Cairo", "2026-04-23 12:00", "00:00 to 01:00"),
        ("Europe/Dublin", "2026-03-28 12:00", "01:00 to 02:00"),
    ],
)
def test_gaps_of_all_shapes(zone: str, start: str, gap: str, shown: Shown) -> None:
    begin, end = gap.split(" to ")
    hour, minute = begin.split(":")
    items = f'id: a, cron: "{int(minute) + 15} {int(hour)} * * *"'
    (row,) = rows(shown(items, "next", "--from", start, "-n", "1", head=f"timezone: {zone}"))
    assert f" {end} " in row
    assert row.endswith(f"{gap} does not exist on {row[4:14]}: {hour}:15 runs now")


def test_what_will_be_skipped_and_why(shown: Shown) -> None:
    items = """\
        id: work, cron: "0 22 * * *", calendar: {business_days: true, holidays: [2026-11-25]}
        id: freeze, cron: "0 8 * * *", blackouts: [{from: "2026-11-26 08:00", until: 2026-11-27, reason: release}]
        id: backup, cron: "30 23 * * *", blackouts: [{daily: "23:00-01:00", days: [thu]}]
        id: early, cron: "30 0 * * *", blackouts: [{daily: "23:00-01:00", days: [thu]}]
    """
    found = rows(shown(items, "next", "--from", "2026-11-25", "--until", "2026-11-29"))
    notes = {tuple(row.split()[i] for i in (1, 5)): " ".join(row.split()[6:]) for row in found}
    assert {key: note for key, note in notes.items() if note} == {
        ("2026-11-25", "work"): "SKIPPED calendar: 2026-11-25 is a holiday",
        ("2026-11-28", "work"): "SKIPPED calendar: 2026-11-28 is a Saturday",
        ("2026-11-26", "freeze"): "SKIPPED blackout: release",
        ("2026-11-26", "backup"): "SKIPPED blackout: 23:00-01:00",
        ("2026-11-27", "early"): "SKIPPED blackout: 23:00-01:00",
    }
    assert len(found) == 16


def test_holidays_of_a_file(shown: Shown, tmp_path: Path) -> None:
    (tmp_path / "holidays.yaml").write_text("- 2026-12-25\n- 2026-12-26\n")
    items = 'id: a, cron: "0 6 * * *", calendar: {holidays: holidays.yaml}'
    found = rows(shown(items, "next", "--from", "2026-12-24", "-n", "4"))
    assert ["SKIPPED" in row for row in found] == [False, True, True, False]


def test_json_has_all_of_it(shown: Shown) -> None:
    items = 'id: a, cron: "30 2 * * *", blackouts: [{daily: "02:00-04:00", reason: r}]'
    report = json.loads(shown(items, "next", "a", "--from", "2026-03-29", "-n", "1", "--json"))
    assert report == {
        "schema": 1,
        "slots": [
            {
                "item": "a",
                "slot": "2026-03-29T01:00:00Z",
                "local": "2026-03-29T03:00:00+02:00",
                "local_text": "Sun 2026-03-29 03:00 +02:00",
                "timezone": "Europe/Berlin",
                "skipped": "blackout: r",
                "held": None,
                "act": None,
                "remark": "02:00 to 03:00 does not exist on 2026-03-29: 02:30 runs now",
                "enabled": True,
            }
        ],
    }


def test_items_that_are_not_enabled_are_shown_when_named(shown: Shown) -> None:
    items = 'id: on, cron: "0 2 * * *"\nid: off, cron: "0 1 * * *", enabled: false'
    assert [row.split()[5] for row in rows(shown(items, "next", "-n", "3"))] == ["on"] * 3
    assert [row.split()[5:] for row in rows(shown(items, "next", "off", "-n", "1"))] == [["off", "not", "enabled"]]


def test_slots_begin_with_since(shown: Shown) -> None:
    items = 'id: a, cron: "0 2 * * *", since: 2031-05-05'
    assert rows(shown(items, "next", "-n", "1"))[0].startswith("Mon 2031-05-05 02:00")
    (found,) = json.loads(shown(items, "list", "--json"))["items"]
    assert found["next"] == "2031-05-05T00:00:00Z"


def test_list_names_what_runs(shown: Shown) -> None:
    items = """\
        id: a, cron: "0 2 * * *", pool: db, params: {x: 1}
        id: b, after: a
        id: c, cron: "@daily", enabled: false
    """
    text = shown(items, "list", head="timezone: UTC\npools: {db: 1}")
    assert text.splitlines()[0].split() == ["ITEM", "CRON", "ZONE", "NEXT", "RUNS"]
    assert "b     (that of a)  UTC" in text
    assert "not enabled" in text
    report: dict[str, Any] = json.loads(shown(items, "list", "--json", head="timezone: UTC\npools: {db: 1}"))
    a, b, c = report["items"]
    assert (a["pool"], a["params"], a["cron"], a["flow"]) == (
        "db",
        {"x": 1},
        "0 2 * * *",
        str(Path("flow.yaml").absolute()),
    )
    assert (b["after"], b["cron"], b["next"]) == ("a", None, a["next"])
    assert (c["enabled"], c["next"]) == (False, None)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--from", "soon"], "--from 'soon' is no time"),
        (["--until", "2026-99-01"], "--until '2026-99-01' is no time"),
        (["-n", "0"], "-n 0 is out of range"),
        (["nope"], "has no item 'nope'"),
        (["--from", "2026-01-01", "--until", "2027-01-01"], "more than 100000 slots"),
        (["-n", "many"], "Invalid value"),
    ],
)
def test_bad_usage(arguments: list[str], message: str, shown: Shown) -> None:
    err = shown('id: a, cron: "* * * * *"', "next", *arguments, code=2)
    assert message in err
    assert "Traceback" not in err


def test_no_slots(shown: Shown) -> None:
    items = 'id: a, cron: "0 2 * * *"'
    assert shown(items, "next", "--from", "2026-01-02 03:00", "--until", "2026-01-02 04:00") == "no slots\n"


def test_times_are_of_the_documents_zone(shown: Shown) -> None:
    items = 'id: a, cron: "0 2 * * *", timezone: Asia/Tokyo'
    for start in ("2026-07-01 18:00", "2026-07-01T18:00+02:00", "2026-07-01T16:00Z"):
        (row,) = rows(shown(items, "next", "--from", start, "-n", "1"))
        assert row == "Thu 2026-07-02 02:00 +09:00 2026-07-01T17:00:00Z a"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--from", "2026-12-02", "--until", "2026-12-01"), "is not before --until 2026-11-30T23:00:00+00:00"),
        (("--from", "2026-12-01", "--until", "2026-12-01"), "--until is itself left out"),
        (("--until", "2020-01-01"), "--until 2020-01-01 has passed"),
    ],
)
def test_a_span_without_an_instant_is_refused(shown: Shown, options: tuple[str, ...], words: str) -> None:
    assert words in shown('id: night, cron: "30 2 * * *"', "next", *options, code=2)
