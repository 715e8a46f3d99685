"""`audit --against`: lost, doubled, late and unknown starts of the old cron; each is found, and none is invented."""

import datetime as dt
import json
import random
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from aetherflow.scheduler.audit.against import compare
from aetherflow.scheduler.audit.start_log import Start, StartLog
from aetherflow.scheduler.cli import main
from aetherflow.scheduler.importing.crontab import CrontabImport, Table
from aetherflow.scheduler.importing.document import written
from aetherflow.scheduler.launchers import load_launcher
from aetherflow.scheduler.loop.loop import Scheduler
from aetherflow.scheduler.schedule.slots import expected
from torture_tier import SEED, sized

if TYPE_CHECKING:
    from scheduler_bench import Bench

CRONTAB = """\
*/5 * * * * /usr/bin/poll
17 * * * * /usr/bin/hourly --quiet
30 2 * * * /usr/bin/backup >> /var/log/backup.log 2>&1
0 6 * * 1 /usr/bin/weekly
15 3 * * * /usr/bin/twice
45 15 * * * /usr/bin/twice
* * * * * /usr/bin/minute
"""
BEGIN = dt.datetime(2026, 3, 23, tzinfo=dt.UTC)
END = BEGIN + dt.timedelta(days=7)
"""The clock of Berlin is set forward on the last day."""
SECOND = dt.timedelta(seconds=1)


def shadow(bench: "Bench") -> None:
    """The crontab as a schedule that observes."""
    work = CrontabImport("Europe/Berlin", None)
    work.add(Table("crontab", CRONTAB, system=False, user="root"))
    bench.write(written(work.found).replace("timezone:", "state: ledger.sqlite\ntimezone:", 1))


def what_cron_did(bench: "Bench", rng: random.Random) -> tuple[list[Start], Counter[tuple[str, str | None]]]:
    """The starts of a week with faults, and the faults: kind and item, each as often as it was done."""
    starts: list[Start] = []
    faults: Counter[tuple[str, str | None]] = Counter()
    for item in bench.load().items:
        line = str(item.spec.replaces)
        near = item.id in ("minute", "poll")  # what is late there might be a start of the next slot
        for slot in expected(item, BEGIN, END):
            at = slot.at + SECOND * rng.randint(0, 3)
            fate = rng.choices(["well", "lost", "doubled", "late"], [0.95, 0.02, 0.015, 0 if near else 0.015])[0]
            if near and fate != "well" and (slot.at.minute % 30 or rng.random() < 0.5):
                fate = "well"  # apart from each other: a lost and a doubled one side by side are a late one
            if fate != "well":
                faults[fate, item.id] += 1
            if fate == "late":
                at = slot.at + SECOND * rng.randint(60, 299)
            if fate != "lost":
                starts.append(Start(at, line))
            if fate == "doubled":
                starts.append(Start(at + SECOND * rng.randint(0, 20), line))
    for _ in range(rng.randint(0, 5)):
        starts.append(Start(BEGIN + SECOND * rng.randrange(7 * 86400), "(root) CMD (/usr/bin/stranger)"))
        faults["unknown", None] += 1
    return starts, faults


@pytest.mark.parametrize("number", range(sized(1, 200)))
def test_each_fault_of_a_week_is_found_and_none_invented(bench: "Bench", number: int) -> None:
    shadow(bench)
    starts, faults = what_cron_did(bench, random.Random(f"{SEED}-shadow-{number}"))
    log = StartLog(sorted(starts), BEGIN, END)
    found = compare(bench.load(), log, BEGIN, END)
    assert Counter((each.kind, each.item) for each in found.findings) == faults
    slots = sum(1 for item in bench.load().items for _ in expected(item, BEGIN, END))
    assert found.expected == slots
    assert found.in_time == slots - sum(n for (kind, _), n in faults.items() if kind in ("lost", "late"))


def test_a_second_start_at_the_beginning_is_not_that_of_a_slot_before_it(bench: "Bench") -> None:
    shadow(bench)
    line = next(str(item.spec.replaces) for item in bench.load().items if item.id == "minute")
    log = StartLog([Start(BEGIN + SECOND * at, line) for at in (1, 9)], BEGIN, BEGIN + 60 * SECOND)
    found = compare(bench.load(), log, BEGIN, BEGIN + 60 * SECOND)
    assert ("doubled", "minute") in [(each.kind, each.item) for each in found.findings]


def test_a_shadow_starts_nothing_and_accounts_for_all(bench: "Bench", capsys: pytest.CaptureFixture[str]) -> None:
    shadow(bench)
    bench.write(bench.file.read_text().replace("* * * * *", "50 * * * *"))
    begin = bench.clock.now()
    made = Scheduler(bench.load(), clock=bench.clock, events=bench.events(), launchers=load_launcher)
    bench.clock.until, bench.clock.at_end = bench.clock.mono + 1200, made.stop.stop
    assert made.run() == 0
    counts = dict(bench.rows("SELECT reason_code, count(*) FROM slots WHERE status='SUCCESS' GROUP BY 1"))
    wanted = sum(1 for item in bench.load().items for _ in expected(item, begin, bench.clock.now()))
    assert counts == {"observed": wanted}
    assert wanted == 4 + 1
    assert bench.launcher.started() == []
    assert "WARNING" not in bench.told.getvalue()
    end = f"{bench.clock.now():%Y-%m-%dT%H:%M:%SZ}"
    assert main(["audit", str(bench.file), "--to", end, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["gaps"], report["counts"]) == ([], {"SUCCESS": wanted})


def lines(*starts: tuple[str, str]) -> str:
    return "".join(f"2026-03-23 {time} host CRON[1]: {what}\n" for time, what in starts)


def audited(bench: "Bench", capsys: pytest.CaptureFixture[str], *options: str, code: int) -> Any:
    capsys.readouterr()
    assert main(["audit", str(bench.file), "--against", str(bench.folder / "log"), *options]) == code
    return capsys.readouterr()


BACKUP, WEEKLY = "(root) CMD (/usr/bin/backup >> /var/log/backup.log 2>&1)", "(root) CMD (/usr/bin/weekly)"


@pytest.fixture
def nightly(bench: "Bench") -> "Bench":
    shadow(bench)
    text = bench.file.read_text()
    for name in ("poll", "hourly", "minute"):
        text = text.replace(f"- id: {name}\n", f"- id: {name}\n    enabled: false\n")
    bench.write(text)
    return bench


def test_what_is_printed(nightly: "Bench", capsys: pytest.CaptureFixture[str]) -> None:
    nightly.write(
        lines(
            ("00:00:00", "(root) CMD (/usr/bin/stranger)"),
            ("02:30:01", BACKUP),
            ("02:30:09", BACKUP),
            ("03:16:30", "(root) CMD (/usr/bin/twice)"),
            ("07:00:00", "(root) CMD (/usr/bin/stranger)"),
            ("09:30:00", BACKUP),
            ("10:00:00", "(root) CMD (/usr/bin/stranger)"),
        ),
        "log",
    )
    shown = audited(nightly, capsys, code=1)
    assert shown.out.splitlines() == [
        "KIND     ITEM    SLOT                  STARTED",
        "doubled  backup  2026-03-23T01:30:00Z  2026-03-23T01:30:09Z",
        "late     twice   2026-03-23T02:15:00Z  2026-03-23T02:16:30Z",
        "lost     weekly  2026-03-23T05:00:00Z  -",
        "UNKNOWN  FIRST                 START",
        "2        2026-03-22T23:00:00Z  (root) CMD (/usr/bin/stranger)",
        "1        2026-03-23T08:30:00Z  (root) CMD (/usr/bin/backup >> /var/log/backup.log 2>&1)",
    ] + [
        "2026-03-22T23:00:00Z to 2026-03-23T08:59:00Z: 1 of 3 slots in time, 1 lost, 1 doubled, 1 late, 3 unknown starts"  # noqa: E501
    ]
    report = json.loads(audited(nightly, capsys, "--json", code=1).out)
    assert report["counts"] == {"lost": 1, "doubled": 1, "late": 1, "unknown": 3}
    assert report["findings"][-1] | {"start": ""} == {
        "kind": "unknown",
        "item": "backup",
        "slot": None,
        "started_at": "2026-03-23T08:30:00Z",
        "start": "",
    }
    assert (report["ok"], report["expected"], report["in_time"]) == (False, 3, 1)
    audited(nightly, capsys, "--fail-on", "none", code=0)
    audited(nightly, capsys, "--from", "2026-03-23T04:00", "--to", "2026-03-23T05:00", code=0)
    audited(nightly, capsys, "--from", "2026-03-23T04:00", "--to", "2026-03-23T07:00", "--fail-on", "late", code=0)
    assert "lost, doubled, late, unknown" in audited(nightly, capsys, "--fail-on", "failed", code=2).err
    assert "the logs cover no minute" in audited(nightly, capsys, "--from", "2026-03-24", code=2).err


def test_the_minute_in_which_a_log_begins_is_that_of_the_log_before(
    nightly: "Bench", capsys: pytest.CaptureFixture[str]
) -> None:
    nightly.write(lines(("02:30:12", "(root) CMD (/usr/bin/stranger)"), ("03:15:40", "x"), ("03:15:50", "x")), "log")
    assert audited(nightly, capsys, code=0).out.endswith("0 of 0 slots in time, no unknown start\n")


def test_all_well(nightly: "Bench", capsys: pytest.CaptureFixture[str]) -> None:
    text = nightly.file.read_text().replace('    replaces: "(root) CMD (/usr/bin/weekly)"\n', "")
    nightly.write(text.replace("(root) CMD (/usr/bin/backup", "CMD (/usr/bin/backup"))
    nightly.write(
        lines(("02:00:00", "x"), ("02:30:00", BACKUP), ("03:15:02", "(root) CMD (/usr/bin/twice)"), ("12:00:00", "x")),
        "log",
    )
    shown = audited(nightly, capsys, code=0)
    assert shown.out == "2026-03-23T01:00:00Z to 2026-03-23T10:59:00Z: 2 of 2 slots in time, no unknown start\n"
    assert shown.err == "note: without `replaces`, so no log tells of them: weekly\n"
