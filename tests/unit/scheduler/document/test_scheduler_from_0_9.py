"""What a scheduler document meant in version 0.9, in which Monday was 0 and both days of an expression had to fit."""

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest

from aetherflow.core.cli import main
from aetherflow.scheduler.document.kind import SchedulerDocument
from aetherflow.scheduler.time.cron_syntax import read


def differences(cron: str) -> list[tuple[str, str, str]]:
    data = {"timezone": "UTC", "items": [{"id": "a", "cron": cron, "flow_yaml": "flow.yaml"}]}
    found = list(SchedulerDocument().differences(data, "0.9"))
    assert all(each.at == ("items", 0, "cron") for each in found)
    return [(each.before, each.now, each.write) for each in found]


@pytest.mark.parametrize(
    ("cron", "before", "now", "write"),
    [
        ("0 2 * * 0", "mon", "sun", "0 2 * * mon"),
        ("0 2 * * 1-5", "tue-sat", "mon-fri", "0 2 * * tue-sat"),
        ("0 2 * * 6", "sun", "sat", "0 2 * * sun"),
        ("0 2 * * */2", "mon,wed,fri,sun", "tue,thu,sat,sun", "0 2 * * mon,wed,fri,sun"),
        ("0 2 * * 0,3,4", "mon,thu,fri", "wed,thu,sun", "0 2 * * mon,thu,fri"),
    ],
)
def test_weekdays_by_number(cron: str, before: str, now: str, write: str) -> None:
    assert differences(cron) == [(f"it ran on {before}", f"it runs on {now}", f'cron: "{write}" for the old days')]
    assert differences(write) == [], "what is to be written means the same in both"
    assert read(write).values[4] == tuple(sorted((day + 1) % 7 for day in _days(before)))


def _days(text: str) -> list[int]:
    names = [(dt.date(2024, 1, 1) + dt.timedelta(days=day)).strftime("%a").lower() for day in range(7)]
    found: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        found += range(names.index(first), names.index(last or first) + 1)
    return found


@pytest.mark.parametrize(
    "cron", ["0 2 * * *", "0 2 * * mon-fri", "0 2 1 * *", "@daily", "0 2 * * 0-6", "0 2 * * 7", "x", ""]
)
def test_what_means_the_same_or_is_refused_by_one_of_them(cron: str) -> None:
    assert differences(cron) == []


def test_both_days_had_to_fit() -> None:
    ((before, now, _),) = differences("0 2 1-7 * mon")
    assert before == "it ran on days 1-7 of the month that were mon"
    assert now == "it runs on days 1-7 of the month, and on every mon"
    assert len(differences("0 2 1-7 * 1")) == 2
    assert differences("0 2 */2 * mon") == [], "cron joins these by `and`, too"


@pytest.mark.parametrize("data", [None, [], {}, {"items": 1}, {"items": [1, {"cron": 2}], "timezone": "UTC"}])
def test_broken_documents_have_none(data: Any) -> None:
    assert list(SchedulerDocument().differences(data, "0.9")) == []


def test_doctor_asks_the_scheduler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    Path("flow.yaml").write_text("version: 1\nflow: {id: f, workspace: {root: work}}\njobs: []\n")
    Path("scheduler.yaml").write_text('items:\n  - {id: a, cron: "0 2 * * 0", flow_yaml: flow.yaml}\n')
    assert main(["doctor", "--upgrade-from", "0.9", ".", "--json"]) == 1
    found = {each["path"]: each for each in json.loads(capsys.readouterr().out)["documents"]}
    assert found["flow.yaml"]["differences"] == []
    told = found["scheduler.yaml"]["differences"]
    assert [(each["loc"], each["line"], each["col"]) for each in told] == [("items", 2, 3), ("items[0].cron", 2, 19)]
    assert told[0]["write"] == "timezone: Europe/Berlin"
