"""`aetherflow-scheduler diff`: which slots appear, vanish and move between two versions of a document."""

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aetherflow.scheduler.cli import main
from aetherflow.scheduler.document.reading import load_schedule
from aetherflow.scheduler.schedule import differences as compared
from aetherflow.scheduler.schedule.differences import differences
from aetherflow.scheduler.schedule.slots import excluded, expected

NOVEMBER = ("--from", "2026-11-01", "--until", "2026-12-01")
DAILY = {"id": "a", "cron": "30 2 * * *"}
BUSINESS = {"business_days": True, "holidays": ["2026-11-18"]}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AETHERFLOW_STATE_ROOT", str(tmp_path / "state"))
    return tmp_path


def written(name: str, *items: dict[str, Any], **top: Any) -> str:
    given = [{"flow": "flow.yaml", **item} for item in items]
    Path(name).write_text(json.dumps({"timezone": "Europe/Berlin", **top, "items": given}))
    return name


def diff(capsys: pytest.CaptureFixture[str], old: Any, new: Any, *options: str) -> tuple[int, str]:
    """Exit code and output for two lists of items."""
    words = [written("old.scheduler.yaml", *old), written("new.scheduler.yaml", *new)]
    code = main(["diff", *words, *(options or NOVEMBER)])
    return code, capsys.readouterr().out


def test_what_is_the_same_ends_with_0(capsys: pytest.CaptureFixture[str]) -> None:
    same = [DAILY, {"id": "b", "after": "a"}]
    assert diff(capsys, same, [{**each, "timeout_seconds": 9, "flow": "other.yaml"} for each in same]) == (
        *(0, "no slot changes, of 2 items\n"),
    )
    assert not Path("state").exists()


def test_another_time_moves_the_slots_of_what_follows_too(capsys: pytest.CaptureFixture[str]) -> None:
    old, later = [DAILY, {"id": "b", "after": "a"}], {**DAILY, "cron": "0 4 * * *"}
    code, out = diff(capsys, old, [later, {"id": "b", "after": "a"}])
    assert code == 1
    lines = out.splitlines()
    assert lines[:2] == ["a: 30 move", "  moves     Sun 2026-11-01 02:30 +01:00 -> Sun 2026-11-01 04:00 +01:00"]
    assert lines[11:13] == ["  … and 20 more; --json has all", "b: 30 move"]
    assert lines[-1] == "slots of 2 items change: 60 move"


def test_a_calendar_says_why_slots_vanish_and_how_they_roll(capsys: pytest.CaptureFixture[str]) -> None:
    weekly = {**DAILY, "cron": "30 2 15,18 * *"}
    _, out = diff(capsys, [weekly], [{**weekly, "calendar": BUSINESS}])
    assert out.splitlines() == [
        "a: 2 vanish",
        "  vanishes  Sun 2026-11-15 02:30 +01:00  now SKIPPED calendar: 2026-11-15 is a Sunday",
        "  vanishes  Wed 2026-11-18 02:30 +01:00  now SKIPPED calendar: 2026-11-18 is a holiday",
        "slots of 1 item change: 2 vanish",
    ]
    _, out = diff(capsys, [weekly], [{**weekly, "calendar": {**BUSINESS, "roll": "before"}}])
    assert out.splitlines()[1:3] == [
        "  moves     Sun 2026-11-15 02:30 +01:00 -> Fri 2026-11-13 02:30 +01:00",
        "  moves     Wed 2026-11-18 02:30 +01:00 -> Tue 2026-11-17 02:30 +01:00",
    ]
    _, out = diff(capsys, [{**weekly, "calendar": BUSINESS}], [weekly])
    assert "appears   Sun 2026-11-15 02:30 +01:00  was SKIPPED calendar: 2026-11-15 is a Sunday" in out


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ([], [DAILY], "a: new; 30 appear"),
        ([DAILY], [], "a: removed; 30 vanish"),
        ([DAILY], [{**DAILY, "enabled": False}], "a: 30 vanish"),
        ([DAILY], [{**DAILY, "since": "2026-11-30"}], "a: 29 vanish"),
        ([DAILY], [{**DAILY, "timezone": "America/New_York"}], "a: 30 move"),
        ([DAILY], [{**DAILY, "cron": "30 2,14 * * *"}], "a: 30 appear"),
        ([{**DAILY, "cron": "0 6 1 * *"}], [{**DAILY, "cron": "0 6 20 * *"}], "a: 1 appears, 1 vanishes"),
        ([DAILY], [{**DAILY, "blackouts": [{"from": "2026-11-10", "until": "2026-11-12"}]}], "a: 2 vanish"),
    ],
)
def test_what_else_may_change(old: Any, new: Any, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out = diff(capsys, old, new)
    assert (code, out.splitlines()[0]) == (1, told)


def test_as_json_every_change_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    code, out = diff(capsys, [DAILY], [{**DAILY, "cron": "30 3 * * *"}], *NOVEMBER, "--json")
    report = json.loads(out)
    assert (code, report["same"], [(each["item"], each["in"]) for each in report["items"]]) == (
        1,
        False,
        [("a", "both")],
    )
    changes = report["items"][0]["changes"]
    assert len(changes) == 30
    assert changes[0] == {
        "kind": "moves",
        "before": {"slot": "2026-11-01T01:30:00Z", "local": "2026-11-01T02:30:00+01:00", "timezone": "Europe/Berlin"},
        "after": {"slot": "2026-11-01T02:30:00Z", "local": "2026-11-01T03:30:00+01:00", "timezone": "Europe/Berlin"},
        "skipped": None,
    }
    assert json.loads(diff(capsys, [DAILY], [DAILY], *NOVEMBER, "--json")[1]) == {
        "schema": 1,
        "same": True,
        "items": [],
    }


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--from", "2026-11-02", "--until", "2026-11-01"), "is not before --until"),
        (("--from", "soon", "--until", "2026-11-01"), "--from 'soon' is no time"),
    ],
)
def test_a_span_that_cannot_be(options: tuple[str, ...], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    names = [written(name, DAILY) for name in ("old.scheduler.yaml", "new.scheduler.yaml")]
    assert main(["diff", *names, *options]) == 2
    assert told in capsys.readouterr().err


def test_a_document_that_is_not_valid_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    written("old.scheduler.yaml", DAILY)
    written("new.scheduler.yaml", {**DAILY, "cron": "soon"})
    assert main(["diff", "old.scheduler.yaml", "new.scheduler.yaml", *NOVEMBER]) == 2
    assert "new.scheduler.yaml:1:" in capsys.readouterr().err


def test_more_than_can_be_compared_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(compared, "MOST", 59)
    assert diff(capsys, [DAILY], [{**DAILY, "cron": "0 4 * * *"}])[0] == 2
    monkeypatch.setattr(compared, "MOST", 60)
    assert diff(capsys, [DAILY], [{**DAILY, "cron": "0 4 * * *"}])[0] == 1


CALENDARS = st.sampled_from([None, BUSINESS, {**BUSINESS, "roll": "after"}, {**BUSINESS, "nth": [1, "last"]}])
ITEM = st.fixed_dictionaries(
    {"cron": st.sampled_from(["30 2 * * *", "0 2,14 * * *", "*/40 * * * *", "15 3 * * *"]), "calendar": CALENDARS},
    optional={"enabled": st.booleans(), "timezone": st.sampled_from(["UTC", "Asia/Tokyo"])},
)
VERSION = st.dictionaries(st.sampled_from("abc"), ITEM, max_size=3)


@settings(max_examples=40, deadline=None)
@given(VERSION, VERSION)
def test_the_changes_lead_from_one_version_to_the_other(old: dict[str, Any], new: dict[str, Any]) -> None:
    """Taking away what vanishes and moves, and adding what appears and where it moves to, gives the other version."""
    start, end = dt.datetime(2026, 10, 20, tzinfo=dt.UTC), dt.datetime(2026, 11, 20, tzinfo=dt.UTC)
    schedules, slots = [], []
    for name, items in (("old.scheduler.yaml", old), ("new.scheduler.yaml", new)):
        plain = [
            {"id": each, **{key: value for key, value in item.items() if value is not None}}
            for each, item in items.items()
        ]
        schedules.append(load_schedule(written(name, *plain)))
        enabled = [item for item in schedules[-1].items if item.spec.enabled]
        slots.append(
            {(item.id, slot.at) for item in enabled for slot in expected(item, start, end) if excluded(slot) is None}
        )
    was, now = slots
    for each in differences(schedules[0], schedules[1], start, end):
        assert each.changes
        for change in each.changes:
            if change.before is not None:
                assert (each.item, change.before.at) not in now
                was.remove((each.item, change.before.at))
        for change in each.changes:
            if change.after is not None:
                assert (each.item, change.after.at) not in was
                was.add((each.item, change.after.at))
    assert was == now
