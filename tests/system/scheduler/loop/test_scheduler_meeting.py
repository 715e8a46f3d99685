"""Processes that meet at a slot: what is somebody's stays so, and what is nobody's is taken."""

import contextlib
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from scheduler_meeting import enter_slot, midnight, ms, somebody

from aetherflow.scheduler.ledger.leader import Leadership
from aetherflow.scheduler.ledger.slots import Slots
from aetherflow.scheduler.ledger.store import Ledger
from aetherflow.scheduler.schedule.policy import Status
from aetherflow.scheduler.time.clock import Clock

if TYPE_CHECKING:
    from scheduler_bench import Bench


@pytest.fixture
def daily(bench: "Bench") -> "Bench":
    bench.flow(["true"])
    bench.schedule_of({"id": "daily", "cron": "0 0 * * *"})
    return bench


# Backfills


def backfill(bench: "Bench", *options: str, days: int = 1, code: int = 0) -> str:
    span = ("--from", f"{midnight(days):%Y-%m-%d}", "--to", f"{midnight():%Y-%m-%d}")
    return bench.command("backfill", "scheduler.yaml", "daily", *span, *options, code=code)


def dead(bench: "Bench", *statuses: Status) -> None:
    """A slot of a process that ends without giving anything back."""
    with contextlib.closing(Ledger(bench.folder / "ledger.sqlite", Clock())) as ledger:
        ledger.enter("backfill")
        enter_slot(Slots(ledger), ms(midnight(1)), *statuses)


@pytest.mark.parametrize("statuses", [(), (Status.RUNNING,)])
def test_a_backfill_goes_on_with_what_a_dead_process_left(daily: "Bench", statuses: tuple[Status, ...]) -> None:
    dead(daily, *statuses)
    assert "1 slots of daily would run" in backfill(daily, "--dry-run")
    assert "1 of 1 slots have run, 0 of them failed" in backfill(daily)
    assert daily.rows("SELECT status, trigger, batch FROM slots") == [("SUCCESS", "backfill", 1)]


def test_a_backfill_leaves_alone_what_a_live_process_has(daily: "Bench") -> None:
    with somebody(daily) as slots:
        enter_slot(slots, ms(midnight(1)))
        assert "0 of 0 slots have run" in backfill(daily)
        assert "left out, it is WAITING" in daily.errors


def test_what_waits_for_nobody_is_left_to_a_scheduler_that_runs(daily: "Bench") -> None:
    with somebody(daily) as slots:
        enter_slot(slots, ms(midnight(1)))
    with somebody(daily, "scheduler") as slots, contextlib.closing(Leadership(slots.ledger, 60)) as leader:
        assert leader.take()
        assert "0 slots of daily would run" in backfill(daily, "--dry-run")
    assert "1 of 1 slots have run" in backfill(daily)


@pytest.mark.parametrize("status", [Status.FAILED, Status.UNKNOWN, Status.INTERRUPTED])
def test_failed_means_all_that_ended_badly(daily: "Bench", status: Status) -> None:
    with somebody(daily) as slots:
        enter_slot(slots, ms(midnight(1)), Status.RUNNING, status)
    assert "1 slots of daily would run" in backfill(daily, "--dry-run", "--include", "failed")


def test_a_backfill_does_not_wait_for_other_items(daily: "Bench") -> None:
    daily.schedule_of({"id": "first", "cron": "0 0 * * *"}, {"id": "daily", "after": "first"})
    assert "1 of 1 slots have run" in backfill(daily)
    assert daily.rows("SELECT item, status FROM slots") == [("daily", "SUCCESS")]


def test_a_run_anew_that_does_not_get_to_run_leaves_the_slot_as_it_was(
    daily: "Bench", until: Callable[..., Any]
) -> None:
    columns = "status, reason, run_id, batch, trigger, started_at, exit_code, attempts"
    query = f"SELECT {columns} FROM slots WHERE slot=?"
    backfill(daily)
    before = daily.rows(query, ms(midnight(1)))
    with somebody(daily) as slots:  # another slot runs meanwhile
        other = enter_slot(slots, ms(midnight(2)), Status.RUNNING)
        assert other is not None
        span = ("--from", f"{midnight(1):%Y-%m-%d}", "--to", f"{midnight():%Y-%m-%d}")
        process = daily.start("backfill", "scheduler.yaml", "daily", *span, "--include", "all", "--reason", "test")
        until(lambda: daily.rows(query, ms(midnight(1)))[0][0] == "WAITING")
        assert daily.stop(process, signal.SIGINT) == 130
        with slots.ledger.transaction("test"):
            slots.end(other, Status.SUCCESS, None, 0, {})
    assert daily.rows(query, ms(midnight(1))) == before
    assert "1 of 1 slots have run" in backfill(daily, "--include", "all", "--reason", "test")
    again = daily.rows("SELECT status, batch, run_id FROM slots WHERE slot=?", ms(midnight(1)))
    assert again == [("SUCCESS", 2, f"{before[0][2]}-b2")]
