"""`prune` by the retention of the project file: which slots go on day 400, and which never."""

import json
import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from aetherflow.scheduler.cli.app import main
from aetherflow.scheduler.ledger.store import Ledger
from aetherflow.scheduler.time.clock import Clock

if TYPE_CHECKING:
    from scheduler_bench import Bench

DAY = 86_400_000
UNWELL = {"MISSED": "misfire", "FAILED": None, "UNKNOWN": None}


def day(number: int) -> int:
    """Noon of the day so many days ago; in UTC epoch milliseconds."""
    return (time.time_ns() // 1_000_000 // DAY - number) * DAY + DAY // 2


def fill(bench: "Bench", **special: str) -> None:
    """A slot a day of item `a`, from 420 days ago until two days ago; `special` are statuses by day (`d410`)."""
    ledger = Ledger(bench.folder / "ledger.sqlite", Clock())
    with ledger.transaction("test"):
        for number in range(420, 1, -1):
            status, at = special.get(f"d{number}", "SUCCESS"), day(number)
            ledger.db.execute(
                "INSERT INTO slots (item, slot, status, reason_code, run_id, trigger, host, claimed_at, started_at,"
                " finished_at) VALUES ('a', ?, ?, ?, ?, 'schedule', 'here', ?, ?, ?)",
                (at, status, UNWELL.get(status), f"a-{number}", at, at, at + 1000),
            )
    ledger.close()


@pytest.fixture
def old(bench: "Bench", monkeypatch: pytest.MonkeyPatch) -> "Bench":
    bench.enter(monkeypatch)
    bench.flow(["true"])
    bench.schedule_of({"id": "a", "cron": "0 12 * * *"})
    bench.write("{version: 1, retention: {slots: 400d}}", "aetherflow.yaml")
    return bench


def pruned(capsys: pytest.CaptureFixture[str], *options: str) -> dict[str, Any]:
    capsys.readouterr()
    assert main(["prune", "scheduler.yaml", "--json", *options]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_day_400(old: "Bench", capsys: pytest.CaptureFixture[str]) -> None:
    fill(old, d410="FAILED", d405="MISSED", d415="INTERRUPTED", d404="WAITING", d403="SKIPPED")
    kept = {day(number) for number in (410, 405, 415, 404)}
    before = {slot for (slot,) in old.rows("SELECT slot FROM slots")}
    told = pruned(capsys, "--dry-run")
    assert {slot for (slot,) in old.rows("SELECT slot FROM slots")} == before
    done = pruned(capsys)
    left = {slot for (slot,) in old.rows("SELECT slot FROM slots")}
    assert before - left == {slot for slot in before if slot < time.time_ns() // 1_000_000 - 400 * DAY} - kept
    assert (told["slots"], done["slots"]) == (len(before - left), len(before - left))
    assert [each["reason_code"] for each in done["kept"]] == ["needs_person"] * 3
    assert pruned(capsys)["slots"] == 0


def test_it_says_what_it_keeps(old: "Bench", capsys: pytest.CaptureFixture[str]) -> None:
    fill(old, d410="FAILED")
    assert main(["prune", "scheduler.yaml"]) == 0
    said, _, command = capsys.readouterr().out.splitlines()[-1].partition(": ")
    assert (said, command) == ("kept 1 slot for a person to look at", f"aetherflow-scheduler status {old.file}")
    assert main(shlex.split(command)[1:]) == 1
    assert "a" in capsys.readouterr().out


def test_by_a_time_a_person_decides(old: "Bench", capsys: pytest.CaptureFixture[str]) -> None:
    fill(old, d410="FAILED")
    assert pruned(capsys, "--before", f"{time.gmtime().tm_year - 1}-01-01")["kept"] == []


@pytest.mark.parametrize("text", ["{version: 1}", "{version: 1, retention: {runs: 90d}}", None])
def test_without_a_policy_it_says_how(old: "Bench", capsys: pytest.CaptureFixture[str], text: str | None) -> None:
    project: Path = old.folder / "aetherflow.yaml"
    project.unlink() if text is None else project.write_text(text)
    assert main(["prune", "scheduler.yaml"]) == 2
    told = capsys.readouterr().err
    assert "nothing says which slots may be forgotten" in told
    assert "`retention: {slots: 400d}`" in told
