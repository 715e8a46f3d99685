"""Processes that meet at a slot: what is somebody's stays so, and what is nobody's is taken."""

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from scheduler_meeting import enter_slot, midnight, ms, somebody

from aetherflow.core.base.errors import RunBusyError
from aetherflow.scheduler.ledger.store import Ledger
from aetherflow.scheduler.loop.single import run_item
from aetherflow.scheduler.loop.tick import TickResult
from aetherflow.scheduler.schedule.policy import Status

if TYPE_CHECKING:
    from scheduler_bench import Bench


@pytest.fixture
def daily(bench: "Bench") -> "Bench":
    bench.flow(["true"])
    bench.schedule_of({"id": "daily", "cron": "0 0 * * *"})
    return bench


def just_before(monkeypatch: pytest.MonkeyPatch, name: str, what: Callable[[], object]) -> None:
    """Do something once, right before a transaction of that name begins."""
    plain, left = Ledger.transaction, [what]

    def transaction(self: Ledger, title: str, *, fenced: bool = True) -> contextlib.AbstractContextManager[None]:
        if title == name and left:
            left.pop()()
        return plain(self, title, fenced=fenced)

    monkeypatch.setattr(Ledger, "transaction", transaction)


def test_a_slot_that_another_process_takes_in_between_is_busy(daily: "Bench", monkeypatch: pytest.MonkeyPatch) -> None:
    with somebody(daily) as slots:
        just_before(monkeypatch, "claim slot", lambda: enter_slot(slots, ms(midnight()), Status.RUNNING))
        with pytest.raises(RunBusyError, match="is RUNNING"):
            run_item(daily.load(), "daily", events=daily.events())
        assert daily.rows("SELECT status, attempts, owner FROM slots") == [("RUNNING", 1, slots.ledger.me)]


def test_a_slot_that_ends_in_between_is_not_run_again(daily: "Bench", monkeypatch: pytest.MonkeyPatch) -> None:
    with somebody(daily) as slots:
        ended = (Status.RUNNING, Status.SUCCESS)
        just_before(monkeypatch, "claim slot", lambda: enter_slot(slots, ms(midnight()), *ended))
        done = run_item(daily.load(), "daily", slot=midnight(), events=daily.events())
    assert done.row is not None
    assert (done.ran, done.row.status, done.row.attempts, done.exit_code) == (False, "SUCCESS", 1, 0)


@pytest.mark.parametrize(("status", "code"), [(Status.SUCCESS, 0), (Status.INTERRUPTED, 1)])
def test_a_pass_whose_run_was_stopped_from_outside_has_failed(daily: "Bench", status: Status, code: int) -> None:
    with somebody(daily, "tick") as slots:
        row = enter_slot(slots, ms(midnight()), Status.RUNNING, status)
    assert row is not None
    assert TickResult([row], []).exit_code == code


@pytest.mark.parametrize(
    ("status", "waits", "code"),
    [
        (Status.SUCCESS, False, 0), (Status.FAILED, False, 1), (Status.INTERRUPTED, False, 143),
        (Status.SUCCESS, True, 143),
    ],
)  # fmt: skip
def test_a_signal_that_comes_when_all_is_done_changes_no_exit_code(
    daily: "Bench", status: Status, waits: bool, code: int
) -> None:
    with somebody(daily, "tick") as slots:
        row = enter_slot(slots, ms(midnight()), Status.RUNNING, status)
        waiting = enter_slot(slots, ms(midnight(1)))
    assert row is not None
    assert waiting is not None
    assert TickResult([row], [waiting] if waits else [], signal=15).exit_code == code
