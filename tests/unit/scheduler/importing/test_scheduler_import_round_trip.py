"""What is exported and imported again has the same slots, around both changes of the clock too."""

import datetime as dt
import json

import pytest

from aetherflow.scheduler.cli import main
from aetherflow.scheduler.document.reading import load_schedule
from aetherflow.scheduler.schedule.schedule import Schedule
from exporting import Exporter
from torture_tier import sample, sized

ITEMS = """
    id: nightly, cron: "30 2 * * *", misfire: last
    id: fixed, cron: "0,15,30,45 1-3 * * *"
    id: elapsed, cron: "*/15 1-3 * * *"
    id: hours, cron: "0 */2 * * *"
    id: days, cron: "0 6 1,15 * mon"
    id: both, cron: "0 3 */2 * 1-5"
    id: months, cron: "59 23 28-31 jan,dec *"
    id: busy, cron: "* * * * *"
    id: sundays, cron: "10 2 * * 7"
"""
OF_ONE_ZONE = 9
ELSEWHERE = """
    id: tokyo, cron: "0 7 * * mon-fri", timezone: Asia/Tokyo
    id: new_york, cron: "15 1,2 * * *", timezone: America/New_York
"""
NOW = dt.datetime.now(dt.UTC).replace(second=0, microsecond=0)
DAYS = 400


def slots(schedule: Schedule, name: str) -> list[dt.datetime]:
    """Those of more than a year; of an item of every minute those of two days."""
    item = schedule.item(name)
    days = 2 if name == "busy" else DAYS
    return list(item.cron.between(NOW, NOW + dt.timedelta(days=days), item.zone))


def test_a_crontab_comes_back(export: Exporter, capsys: pytest.CaptureFixture[str]) -> None:
    original = load_schedule(export.write(ITEMS))
    table = export.folder / "crontab"
    table.write_text(export("crontab", "--zone", "Europe/Berlin", "--program", "/opt/aetherflow-scheduler").out)
    out = export.folder / "again.scheduler.yaml"
    main(["import", "crontab", str(table), "--zone", "Europe/Berlin", "--json", "--out", str(out)])
    report = json.loads(capsys.readouterr().out)
    again = load_schedule(out)
    assert [item.id for item in again.items] == [item.id for item in original.items]
    for item in original.items:
        assert slots(again, item.id) == slots(original, item.id), item.id
    codes = {line["line"]: [each["code"] for each in line["differences"]] for line in report["lines"]}
    assert sum("starts_an_item" in each for each in codes.values()) == OF_ONE_ZONE
    assert [line["text"].split()[0] for line in report["lines"] if line["became"] == "left"] == ["@reboot"]


@pytest.mark.parametrize("zone", sample(["Europe/Berlin", "Australia/Lord_Howe", "UTC"], sized(1, 3), "round trip"))
def test_timers_come_back(export: Exporter, capsys: pytest.CaptureFixture[str], zone: str) -> None:
    items = ITEMS.rstrip() + ELSEWHERE
    original = load_schedule(export.write(items, head=f"timezone: {zone}"))
    units = export.folder / "units"
    assert export("systemd", "--program", "/opt/aetherflow-scheduler", "--out", str(units)).code == 0
    out = export.folder / "again.scheduler.yaml"
    timers = [str(path) for path in sorted(units.glob("*.timer"))]
    main(["import", "systemd", *timers, "--zone", "UTC", "--json", "--out", str(out)])
    report = json.loads(capsys.readouterr().out)
    again = load_schedule(out)
    assert sorted(item.id for item in again.items) == sorted(item.id for item in original.items if item.spec.enabled)
    for item in again.items:
        assert item.spec.misfire == "last"  # Persistent: the timer starts the item, and the ledger decides
        assert slots(again, item.id) == slots(original, item.id), item.id
    assert {line["text"].partition("=")[0] for line in report["lines"] if line["became"] == "left"} == {
        "KillMode",
        "TimeoutStopSec",
    }
