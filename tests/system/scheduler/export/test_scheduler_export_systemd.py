"""`export systemd`: units that `systemd-analyze verify` accepts, and that fire when the slots are."""

import datetime as dt
import re
import subprocess
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from aetherflow.scheduler.export.names import unit_name
from aetherflow.scheduler.time.cron import Cron
from aetherflow.scheduler.time.zones import changes
from exporting import Exporter
from services import need
from torture_tier import full, sample

EXPRESSIONS = [
    "30 2 * * *",
    "0 3 * * *",
    "0 * * * *",
    "*/20 * * * *",
    "*/15 1-3 * * *",
    "0 2-9 * * *",
    "17 2,3 * * 0",
    "30 0 * * *",
    "0 0 1,15 * 1",
    "30 1 */2 * sun",
    "5,35 0-3 * * 6,0",
    "0 12 * * mon-fri",
]
ZONES = [
    "Africa/Cairo",
    "America/Havana",
    "America/Santiago",
    "Asia/Beirut",
    "Atlantic/Azores",
    "Australia/Lord_Howe",
    "Europe/Berlin",
    "Europe/Dublin",
    "Pacific/Chatham",
]


def verified(folder: Path) -> list[str]:
    """The names of the timers in a folder, after `systemd-analyze verify` had nothing to say about them."""
    (analyze,) = need("systemd-analyze")
    timers = sorted(folder.glob("*.timer"))
    for path in timers:
        done = subprocess.run([analyze, "verify", "--man=no", str(path)], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
    return [path.name for path in timers]


def fires(lines: list[str], start: dt.datetime, end: dt.datetime, most: int) -> set[dt.datetime]:
    """When systemd says that a timer with these lines elapses."""
    (analyze,) = need("systemd-analyze")
    window = [f"--iterations={most}", f"--base-time={start:%Y-%m-%d %H:%M:%S} UTC"]
    command = [analyze, "calendar", *window, *lines]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={"TZ": "UTC", "LC_ALL": "C"})
    assert (done.returncode, done.stderr) == (0, ""), (done.stderr, lines)
    found = re.findall(r"(?:Next elapse|Iteration #\d+): \w+ (\S+ \S+) UTC", done.stdout)
    instants = (dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC) for text in found)
    return {instant for instant in instants if start < instant < end}


def on_calendar(text: str) -> list[str]:
    return re.findall(r"^OnCalendar=(.*)$", text, re.MULTILINE)


def test_a_service_and_a_timer_per_item(export: Exporter, tmp_path: Path) -> None:
    file = export.write("""
        id: nightly, cron: "30 2 * * *"
        id: busy_one, cron: "*/5 * * * *", overlap: queue, timezone: UTC
    """)
    units = tmp_path / "units"
    answer = export("systemd", "--out", str(units), "--user", "daemon", "--program", "/bin/echo")
    assert answer.code == 0
    names = ["aetherflow-scheduler-busy_one", "aetherflow-scheduler-nightly"]
    assert verified(units) == [f"{name}.timer" for name in names]
    assert sorted(path.name for path in units.glob("*.service")) == [f"{name}.service" for name in names]
    service = (units / "aetherflow-scheduler-nightly.service").read_text()
    assert f"\nExecStart=/bin/echo run-item {file} nightly --trigger systemd\n" in service
    assert "\nUser=daemon\n" in service
    assert "\nType=oneshot\n" in service
    timer = (units / "aetherflow-scheduler-nightly.timer").read_text()
    assert "\nUnit=aetherflow-scheduler-nightly.service\n" in timer
    assert "\nPersistent=true\n" in timer
    assert on_calendar(timer)[0] == "*-*-* 02:30:00 Europe/Berlin"
    assert on_calendar((units / "aetherflow-scheduler-busy_one.timer").read_text()) == [
        "*-*-* *:00,05,10,15,20,25,30,35,40,45,50,55:00 UTC"
    ]


def test_runs_that_may_overlap_are_units_of_their_own(export: Exporter, tmp_path: Path) -> None:
    export.write('id: a, cron: "0 1 * * *", overlap: kill_old')
    system = export("systemd", "--user", "daemon")
    assert "User=" not in system.out.replace("--user", "")
    assert "--uid=daemon" in system.out
    assert "follow them with `journalctl -t aetherflow-scheduler`: a" in system.err
    own = tmp_path / "own"
    assert export("systemd", "--scope", "user", "--out", str(own)).code == 0
    assert "ExecStart=/usr/bin/systemd-run --user --collect" in (own / "aetherflow-scheduler-a.service").read_text()
    assert verified(own) == ["aetherflow-scheduler-a.timer"]
    answer = export("systemd", "--scope", "user", "--user", "daemon")
    assert answer.code == 2
    assert "exclude each other" in answer.err


def test_differences_stand_in_the_unit_and_on_stderr(export: Exporter) -> None:
    export.write("""
        id: a, cron: "30 2 * * *"
        id: b, cron: "30 2 * * *", timezone: UTC
    """)
    answer = export("systemd")
    for note in answer.err.splitlines():
        told = note.removeprefix("note: ").rpartition(": ")[0] or note.removeprefix("note: ")
        assert f"# - {told}" in answer.out
    with_changes, without = answer.out.split("# ---- aetherflow-scheduler-b.service")
    assert "change of the clock" in with_changes
    assert "change of the clock" not in without


def test_signs_in_paths_arrive(export: Exporter, tmp_path: Path) -> None:
    export.folder = tmp_path / '50% of $HOME "quoted"'
    export.folder.mkdir()
    export.write('id: a, cron: "0 1 * * *"', name="my plan.yaml")
    units = tmp_path / "units"
    assert export("systemd", "--out", str(units), "--program", "/bin/echo").code == 0
    assert verified(units) == [r"aetherflow-my\x20plan-a.timer"]
    (service,) = units.glob("*.service")
    assert r"50%% of $$HOME \"quoted\"/my plan.yaml" in service.read_text()


def test_a_name_that_systemd_run_would_expand_is_refused(export: Exporter, tmp_path: Path) -> None:
    export.folder = tmp_path / "a$b"
    export.folder.mkdir()
    export.write('id: a, cron: "0 1 * * *", overlap: queue')
    answer = export("systemd")
    assert answer.code == 2
    assert "systemd-run cannot hold the name" in answer.err
    answer = export("systemd", "--user", "x\nExecStart=y")
    assert answer.code == 2
    assert "is no account" in answer.err


def test_names_are_escaped_as_systemd_does_it() -> None:
    (escape,) = need("systemd-escape")
    for name in ("my plan", "ä", "a\\b", "a@b", "x:y.z_1"):
        out = subprocess.run([escape, name], capture_output=True, text=True, check=True).stdout.strip()
        assert unit_name("p", name) == f"p-{out}"


def test_left_over_units_are_told(export: Exporter, tmp_path: Path) -> None:
    export.write('id: a, cron: "0 1 * * *"\nid: b, cron: "0 1 * * *"')
    units = tmp_path / "units"
    export("systemd", "--out", str(units))
    (units / "other.timer").write_text("[Timer]\nOnCalendar=daily\n")
    assert "was exported before" not in export("systemd", "--out", str(units), "--item", "a").err
    export.write('id: a, cron: "0 1 * * *"')
    told = [line for line in export("systemd", "--out", str(units)).err.splitlines() if "exported before" in line]
    assert [line.split()[1] for line in told] == [
        f"{units}/aetherflow-scheduler-b.service",
        f"{units}/aetherflow-scheduler-b.timer",
    ]


def test_another_files_units_are_not_replaced(export: Exporter, tmp_path: Path) -> None:
    units = tmp_path / "units"
    export.write('id: b-c, cron: "0 1 * * *"', name="a.yaml")
    assert export("systemd", "--out", str(units)).code == 0
    export.write('id: c, cron: "0 1 * * *"', name="a-b.yaml")
    answer = export("systemd", "--out", str(units))
    assert answer.code == 2
    assert "aetherflow-a-b-c.service exists and was not exported from" in answer.err
    assert "give another --prefix" in answer.err
    answer = export("systemd", "--prefix", "p" * 250)
    assert answer.code == 2
    assert "is longer than 247 characters" in answer.err


CASES = [(zone, expression) for zone in ZONES for expression in EXPRESSIONS]


def test_timers_fire_when_the_slots_are(export: Exporter) -> None:
    """Over both changes of the clock; where a timer asks the ledger, it may fire more often."""
    items: dict[str, tuple[str, str]] = {}
    for number, case in enumerate(sample(CASES, len(CASES) if full() else 36, "systemd")):
        items[f"i{number}"] = case
    export.write("\n".join(f'id: {name}, cron: "{cron}", timezone: {zone}' for name, (zone, cron) in items.items()))
    files = export("systemd", "--json").json()["files"]
    year = dt.datetime.now(dt.UTC).year + 1
    wrong = []
    for name, (key, text) in items.items():
        zone, cron = ZoneInfo(key), Cron.parse(text)
        lines = on_calendar(files[f"aetherflow-scheduler-{name}.timer"])
        exact = "tick" not in files[f"aetherflow-scheduler-{name}.service"].split("ExecStart=")[1]
        for change in changes(zone, year):
            at = change.at.replace(tzinfo=dt.UTC)
            start, end = at - dt.timedelta(days=1, hours=7), at + dt.timedelta(days=2)
            slots = set(cron.between(start + dt.timedelta(seconds=1), end, zone))
            found = fires(lines, start, end, len(slots) + 3 if exact else 400)
            if found != slots if exact else not slots <= found:
                wrong.append((key, text, sorted(map(str, slots ^ found))))
    assert wrong == []


@pytest.mark.parametrize("expression", ["0 12 * * 5", "0 12 1 * 5", "0 12 1-7 * */2", "0 12 29 2 *", "59 23 31 12 *"])
def test_days_of_month_and_weekdays(export: Exporter, expression: str) -> None:
    export.write(f'id: a, cron: "{expression}", timezone: UTC')
    lines = on_calendar(export("systemd", "--json").json()["files"]["aetherflow-scheduler-a.timer"])
    start = dt.datetime(2027, 1, 1, tzinfo=dt.UTC)
    end = start + dt.timedelta(days=1200)
    slots = set(Cron.parse(expression).between(start + dt.timedelta(seconds=1), end, ZoneInfo("UTC")))
    assert fires(lines, start, end, len(slots) + 3) == slots
