"""What the scheduler tells `aetherflow status`, and that it only looks."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from aetherflow.core.cli import main
from aetherflow.core.testing import HookSuite
from aetherflow.scheduler.hooks import StatusHook
from aetherflow.scheduler.ledger.known import KnownSchedule, known_schedules
from old_data import DATA

if TYPE_CHECKING:
    from scheduler_bench import Bench

ONCE = {"id": "f", "cron": "1 12 * * *"}


class TestStatusHook(HookSuite):
    plugin = StatusHook


@pytest.fixture
def root(bench: "Bench", monkeypatch: pytest.MonkeyPatch) -> Path:
    found = bench.folder / "state"
    monkeypatch.setenv("AETHERFLOW_STATE_ROOT", str(found))
    return found


def files(folder: Path) -> dict[str, str]:
    found = [path for path in folder.rglob("*") if path.is_file() and not path.name.endswith(("-shm", "-wal"))]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


def test_slots_that_need_a_person(bench: "Bench", root: Path) -> None:
    bench.schedule_of(ONCE, {"id": "g", "after": "f"}, {**ONCE, "id": "m", "misfire_grace_time": 5})
    bench.launcher.codes = {"f": [1]}
    bench.minutes(0.2)
    bench.clock.pass_time(60)
    bench.minutes(1)
    before = files(bench.folder)
    found = {need.name: need for need in StatusHook().aetherflow_needs_person(root)}
    assert files(bench.folder) == before
    assert {name: (need.status, need.holds_up, need.times) for name, need in found.items()} == {
        "f": ("FAILED", ("g",), 1),
        "m": ("MISSED", (), 1),
    }
    assert found["f"].run_id == "f-20260302T120100Z"
    assert found["m"].run_id is None
    for name, need in found.items():
        slot = "2026-03-02T12:01:00Z"
        leave = f"aetherflow-scheduler ack {bench.file} m --slot {slot} --reason TEXT"
        again = f"aetherflow-scheduler run-item {bench.file} {name} --slot {slot}"
        assert need.commands == ((again, leave) if name == "m" else (again,))
        assert need.slot == slot


def test_a_ledger_of_1_0_has_no_notes(bench: "Bench", root: Path) -> None:
    for path in (DATA / "ledger").glob("scheduler.sqlite*"):
        if path.is_file():
            shutil.copy(path, bench.folder / path.name.replace("scheduler", "ledger"))
    known = KnownSchedule(bench.file, bench.folder / "ledger.sqlite")
    note = root / "engine/scheduler/schedules/a.json"
    note.parent.mkdir(parents=True)
    note.write_text(json.dumps({"document": str(known.document), "ledger": str(known.ledger)}))
    assert known_schedules(root) == [known]
    assert StatusHook().aetherflow_run_notes(root, "a-20260302T120100Z") == []


def test_each_missed_slot_is_one_with_one_command_for_those_of_an_item(bench: "Bench", root: Path) -> None:
    bench.schedule_of({"id": "m", "cron": "* * * * *", "misfire_grace_time": 5})
    bench.minutes(1)
    bench.clock.pass_time(600)
    bench.minutes(0.2)
    found = StatusHook().aetherflow_needs_person(root)
    assert {(need.status, need.times, need.reason_code) for need in found} == {("MISSED", 1, "misfire")}
    assert [need.slot for need in found] == [f"2026-03-02T12:{minute:02}:00Z" for minute in range(2, 12)]
    span = "--from 2026-03-02T12:02:00Z --to 2026-03-02T12:11:01Z"
    leave = "--before 2026-03-02T12:11:01Z --reason TEXT"
    assert {need.commands for need in found} == {
        (
            f"aetherflow-scheduler backfill {bench.file} m {span}",
            f"aetherflow-scheduler ack {bench.file} m {leave}",
        )
    }


def test_items_that_were_missed_at_one_time_are_counted_each(
    bench: "Bench", root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.schedule_of(*({**ONCE, "id": name, "misfire_grace_time": 5} for name in ("a", "b", "c")))
    bench.minutes(0.2)
    bench.clock.pass_time(120)
    bench.minutes(0.2)
    assert main(["status", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)["needs_person"]
    assert {(need["name"], need["slot"]) for need in found} == {(name, "2026-03-02T12:01:00Z") for name in "abc"}
    assert main(["status"]) == 1
    assert " 3 need a person\n" in capsys.readouterr().out
    assert main(["status", "--format", "prometheus"]) == 0
    told = capsys.readouterr().out
    assert [f'aetherflow_flow_open_failures{{flow="{name}"}} 1' in told for name in "abc"] == [True] * 3
    page = bench.folder / "status.html"
    assert main(["status", "--html", str(page)]) == 0
    assert page.read_text().count("<h3>") == 3


def test_missed_slots_of_an_item_are_shown_as_one_and_counted_each(
    bench: "Bench", root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.schedule_of({"id": "m", "cron": "* * * * *", "misfire_grace_time": 90})
    bench.minutes(1)
    bench.clock.pass_time(600)
    bench.minutes(0.2)
    assert main(["status"]) == 1
    told = capsys.readouterr().out
    count = len(StatusHook().aetherflow_needs_person(root))
    assert count > 5
    assert f" {count} need a person\n" in told
    assert f", and {count - 1} older slots from " in " ".join(told.split())
    assert (told.count("MISSED"), told.count("next: aetherflow-scheduler backfill")) == (1, 1)


def test_removed_items_need_nobody(bench: "Bench", root: Path) -> None:
    bench.schedule_of(ONCE)
    bench.launcher.codes = {"f": [1]}
    bench.minutes(1)
    assert len(StatusHook().aetherflow_needs_person(root)) == 1
    bench.schedule_of({**ONCE, "id": "other"})
    bench.minutes(1)
    assert StatusHook().aetherflow_needs_person(root) == []


def test_what_failed_before_the_ledger_was_migrated_counts(bench: "Bench", root: Path) -> None:
    bench.schedule_of(ONCE)
    bench.launcher.codes = {"f": [1]}
    bench.minutes(1)
    with bench.ledger() as ledger, ledger.transaction("as a migration leaves it"):
        at = str(bench.clock.now_ms() + 1)
        ledger.db.execute("INSERT INTO meta (name, value) VALUES ('migrated_at', ?)", (at,))
    (need,) = StatusHook().aetherflow_needs_person(root)
    assert need.status == "FAILED"


def test_what_goes_on_by_itself_needs_nobody_for_a_while(bench: "Bench", root: Path) -> None:
    bench.schedule_of(ONCE)
    bench.launcher.seconds = {"f": 60}
    bench.minutes(1, drain_seconds=0)
    assert bench.slots() == {"f 12:01": "INTERRUPTED"}
    # by the clock of the system, which is the hook's, all that was months ago, and nobody came
    (need,) = StatusHook().aetherflow_needs_person(root)
    assert (need.status, need.reason_code) == ("INTERRUPTED", "drained")


def test_a_ledger_that_is_gone_is_left_out_and_not_made_anew(bench: "Bench", root: Path) -> None:
    bench.schedule_of(ONCE)
    bench.minutes(1)
    assert known_schedules(root) == [KnownSchedule(bench.file, bench.folder / "ledger.sqlite")]
    for path in bench.folder.glob("ledger.sqlite*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert StatusHook().aetherflow_needs_person(root) == []
    assert not (bench.folder / "ledger.sqlite").exists()


def test_a_ledger_that_cannot_be_read_is_told_of(bench: "Bench", root: Path) -> None:
    bench.schedule_of(ONCE)
    bench.minutes(1)
    (bench.folder / "ledger.sqlite").write_bytes(b"no database" * 100)
    (need,) = StatusHook().aetherflow_needs_person(root)
    assert need.status == "UNREADABLE"
    assert str(bench.folder / "ledger.sqlite") in need.cause


def test_notes_that_are_damaged_are_left_out(root: Path) -> None:
    folder = root / "engine/scheduler/schedules"
    folder.mkdir(parents=True)
    for name, text in {"a": "{", "b": "[]", "c": json.dumps({"document": 1}), "d": "\0"}.items():
        (folder / f"{name}.json").write_text(text)
    assert known_schedules(root) == []


def test_where_it_cannot_be_noted_the_schedule_runs(bench: "Bench", root: Path) -> None:
    root.write_text("a file, and no folder")
    bench.schedule_of(ONCE)
    bench.minutes(1)
    assert bench.slots() == {"f 12:01": "SUCCESS"}
    assert "where the ledger is cannot be noted" in bench.told.getvalue()
