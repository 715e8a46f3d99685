"""Late heartbeats of schedulers: rows of both statuses, and quiet after a planned stop."""

import json
from typing import TYPE_CHECKING, Any

import pytest

from aetherflow.core.cli.app import main as core
from aetherflow.scheduler.audit.late import LATE_LEASES, late_heartbeats
from aetherflow.scheduler.audit.needs import needs_of
from aetherflow.scheduler.cli.app import main
from aetherflow.scheduler.hooks import StatusHook
from aetherflow.scheduler.ledger.known import note_schedule
from aetherflow.scheduler.ledger.leader import Leadership
from aetherflow.scheduler.ledger.slots import Slots
from aetherflow.scheduler.ledger.store import Ledger
from aetherflow.scheduler.ledger.truth import Truth
from aetherflow.scheduler.schedule.policy import Status, Verdict

if TYPE_CHECKING:
    from scheduler_bench import Bench

DAILY = {"id": "a", "cron": "30 3 * * *"}
MINUTELY = {"id": "a", "cron": "* * * * *"}
LEASE = 10.0


@pytest.fixture
def here(bench: "Bench", monkeypatch: pytest.MonkeyPatch) -> "Bench":
    bench.enter(monkeypatch)
    bench.flow(["true"])
    bench.schedule_of(DAILY)
    return bench


def codes(bench: "Bench") -> list[str | None]:
    with bench.ledger() as ledger:
        return [late.reason.code for late in late_heartbeats(ledger, bench.file)]


def killed(bench: "Bench", kind: str = "scheduler") -> None:
    """A process that has entered the ledger ends without a word."""
    ledger = Ledger(bench.folder / "ledger.sqlite", bench.clock)
    ledger.enter(kind)
    ledger.close()


def test_a_scheduler_that_was_stopped_is_quiet_and_so_is_a_tick(here: "Bench") -> None:
    here.minutes(2)
    here.clock.pass_time(7 * 86400)
    assert codes(here) == []
    assert main(["tick", "scheduler.yaml", "-q"]) == 0
    assert codes(here) == []


def test_a_scheduler_that_ended_without_a_stop_is_late_until_one_starts(here: "Bench") -> None:
    killed(here)
    here.clock.pass_time(LEASE * LATE_LEASES - 5)
    assert codes(here) == []  # a standby or a service manager may still replace it
    here.clock.pass_time(10)
    assert codes(here) == ["leader_late"]
    for kind in ("run-item", "backfill", "tick"):
        with here.ledger() as ledger:
            ledger.enter(kind)
            ledger.leave()
    assert codes(here) == ["leader_late"]  # none of these starts what is due from now on
    here.minutes(1)
    assert codes(here) == []


def test_a_tick_that_was_killed_is_no_scheduler(here: "Bench") -> None:
    killed(here, "tick")
    here.clock.pass_time(7200)
    assert codes(here) == []


@pytest.mark.parametrize("seconds", [-86400, 86400])
def test_a_clock_that_jumps_hides_nothing(here: "Bench", seconds: int) -> None:
    killed(here)
    here.clock.wall += seconds * 1000
    assert codes(here) == ["leader_late"]


def test_both_statuses_and_the_page_of_json_show_it(here: "Bench", capsys: pytest.CaptureFixture[str]) -> None:
    here.clock.wall = 1_700_000_000_000  # long ago by the clock of the commands
    killed(here)
    note_schedule(here.load())
    capsys.readouterr()
    assert main(["status", "scheduler.yaml"]) == 1
    told = capsys.readouterr().out
    assert "1 needs a person\nLATE: no scheduler leads; the last one, pid " in told
    assert f"next: aetherflow-scheduler run {here.file}" in told
    assert main(["status", "scheduler.yaml", "--json"]) == 1
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    (row,) = found["needs_person"]
    assert (found["ok"], row["status"], row["reason_code"], row["item"]) == (False, "LATE", "leader_late", None)
    (need,) = StatusHook().aetherflow_needs_person(here.folder / "state")
    assert (need.status, need.name, need.reason_code) == ("LATE", "scheduler.yaml", "leader_late")
    assert need.commands == (f"aetherflow-scheduler run {here.file}",)


def test_a_leader_that_enters_nothing_is_late(here: "Bench") -> None:
    here.schedule_of(MINUTELY)
    here.minutes(2)
    with here.ledger() as ledger:
        leadership = Leadership(ledger, 3600.0)
        assert leadership.take()
        here.clock.pass_time(210)
        (late,) = late_heartbeats(ledger, here.file)
        assert late.reason.code == "behind"
        assert "the slot 2026-03-02T12:03:00Z of a is due for" in str(late.reason)
        leadership.close()


def test_the_next_slot_is_never_in_the_past(here: "Bench", capsys: pytest.CaptureFixture[str]) -> None:
    here.schedule_of({"id": "a", "cron": "0 3 1 1 *", "since": "2020-01-01"})
    here.minutes(1)
    with here.ledger() as ledger, ledger.transaction("back"):
        ledger.db.execute("UPDATE items SET cursor=cursor - 86400000 * 3")
    main(["status", "scheduler.yaml", "--json"])
    (item,) = json.loads(capsys.readouterr().out)["items"]
    assert item["next"] > "2026-12-02"


def test_prometheus_counts_it_under_the_name_of_the_document(here: "Bench", capsys: pytest.CaptureFixture[str]) -> None:
    here.clock.wall = 1_700_000_000_000
    killed(here)
    note_schedule(here.load())
    capsys.readouterr()
    assert core(["status", "--format", "prometheus"]) == 0
    assert 'aetherflow_flow_open_failures{flow="scheduler.yaml"} 1' in capsys.readouterr().out.splitlines()


def test_a_slot_that_a_killed_command_left_before_its_run_began_needs_somebody(here: "Bench") -> None:
    slot = here.clock.now_ms() // 60_000 * 60_000
    ledger = Ledger(here.folder / "ledger.sqlite", here.clock)
    ledger.enter("run-item")
    with ledger.transaction("claim"):
        Slots(ledger).claim("a", [Verdict(slot, Status.WAITING)], trigger="manual", owner=ledger.me)
        row = Slots(ledger).find("a", slot)
        assert row is not None
        assert Slots(ledger).begin(row, "manual", "log") is not None
    ledger.close()
    here.clock.pass_time(299)
    with here.ledger() as known:
        assert needs_of(known, Truth(dict, here.folder / "state"), here.file) == []
        here.clock.pass_time(2)
        (need,) = needs_of(known, Truth(dict, here.folder / "state"), here.file)
    assert (need.status, need.row.reason_code) == ("INTERRUPTED", "left")
    assert need.commands == (f"aetherflow-scheduler run-item {here.file} a --slot 2026-03-02T12:00:00Z",)
