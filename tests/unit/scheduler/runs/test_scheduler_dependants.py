"""Slots that were skipped for another one which has succeeded since, on a clock that obeys the test."""

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scheduler_bench import Bench

ONCE = {"id": "f", "cron": "1 12 * * *"}


def failed(bench: "Bench", **more: Any) -> None:
    """`f` fails, `g` and behind it `h` are skipped."""
    bench.schedule_of(ONCE, {"id": "g", "after": "f", **more}, {"id": "h", "after": "g", **more})
    bench.launcher.codes = {"f": [1]}
    bench.minutes(2)
    assert bench.slots() == {"f 12:01": "FAILED", "g 12:01": "SKIPPED", "h 12:01": "SKIPPED"}


def heal(bench: "Bench", code: str = "after_healed", status: str = "SUCCESS") -> None:
    with closing(sqlite3.connect(bench.folder / "ledger.sqlite")) as db:
        db.execute("UPDATE slots SET status=?, reason=NULL, reason_code=NULL WHERE item='f'", (status,))
        db.execute("UPDATE slots SET reason_code=? WHERE item='g'", (code,))
        db.commit()


def test_within_the_grace_they_run_one_after_the_other(bench: "Bench") -> None:
    failed(bench)
    heal(bench)
    bench.minutes(0.5)
    assert set(bench.slots().values()) == {"SUCCESS"}
    assert bench.launcher.started() == [f"{name}-20260302T120100Z" for name in "fgh"]
    assert "g 2026-03-02T12:01:00Z: waits again" in bench.told.getvalue()


def test_not_as_long_as_the_other_one_has_not_succeeded(bench: "Bench") -> None:
    failed(bench)
    heal(bench, status="FAILED")
    bench.minutes(0.5)
    assert bench.slots() == {"f 12:01": "FAILED", "g 12:01": "SKIPPED", "h 12:01": "SKIPPED"}


def test_after_it_they_stay(bench: "Bench") -> None:
    failed(bench, misfire_grace_time=60)
    heal(bench)
    bench.minutes(0.5)
    assert bench.slots() == {"f 12:01": "SUCCESS", "g 12:01": "SKIPPED", "h 12:01": "SKIPPED"}


def test_what_was_skipped_for_another_reason_stays(bench: "Bench") -> None:
    failed(bench)
    heal(bench, "paused")
    bench.minutes(0.5)
    assert bench.slots() == {"f 12:01": "SUCCESS", "g 12:01": "SKIPPED", "h 12:01": "SKIPPED"}


def test_a_retry_that_succeeds_notes_who_may_run(bench: "Bench") -> None:
    """They are told of at once, before a pass lets them wait again, and where none does."""
    failed(bench, misfire_grace_time=60)
    with bench.ledger() as ledger, ledger.transaction("as run-item leaves it"):
        ledger.db.execute("UPDATE slots SET status='WAITING', finished_at=NULL WHERE item='f'")
    bench.minutes(0.5)
    assert bench.slots() == {"f 12:01": "SUCCESS", "g 12:01": "SKIPPED", "h 12:01": "SKIPPED"}
    assert bench.rows("SELECT item, reason_code FROM slots ORDER BY item") == [
        ("f", None),
        ("g", "after_healed"),
        ("h", "after"),
    ]
