"""What becomes of slots is decided on codes: it is the same whatever the words of the reasons are."""

import datetime as dt
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from aetherflow.scheduler.ledger.epochs import Pauses
from aetherflow.scheduler.ledger.truth import truth_of
from aetherflow.scheduler.loop.backfill import choose
from aetherflow.scheduler.reasons import SlotReason, columns, said
from aetherflow.scheduler.time.clock import from_ms
from scheduler_bench import Bench

if TYPE_CHECKING:
    from aetherflow.scheduler.loop.backfill import Include

MINUTELY = {"id": "a", "cron": "* * * * *"}
ONCE = {"id": "a", "cron": "1 12 * * *"}


def retries(bench: Bench) -> None:
    """Tried again after a failure and a kill, and not after a mistake; a timeout is tried again too."""
    retry = {"max_attempts": 3, "backoff_seconds": 5}
    bench.schedule_of(
        {**ONCE, "retry": retry},
        {**ONCE, "id": "b", "retry": retry},
        {**ONCE, "id": "c", "retry": retry, "timeout_seconds": 20},
    )
    bench.launcher.codes = {"a": [1, -11], "b": [2]}
    bench.launcher.seconds = {"c": 60}
    bench.minutes(3)


def replaced(bench: Bench) -> None:
    """A later slot ends the one before."""
    bench.schedule_of({**MINUTELY, "overlap": "kill_old"})
    bench.launcher.seconds = {"a": 80}
    bench.minutes(3.2)


def replaced_elsewhere(bench: Bench) -> None:
    """Another process, which cannot signal the run, has written down that it is replaced."""
    bench.schedule_of({**ONCE, "overlap": "kill_old"})
    bench.launcher.seconds = {"a": 600}

    def replace() -> None:
        why = columns(said(SlotReason.REPLACED, slot="2026-03-02T12:02:00Z"))
        with bench.ledger() as other, other.transaction("replace"):
            other.db.execute("UPDATE slots SET reason=:reason, reason_code=:reason_code", why)

    bench.clock.at(dt.timedelta(seconds=60), replace)
    bench.minutes(2)
    assert bench.launcher.runs[0].signals == ["TERM"]


def stopped_and_resumed(bench: Bench) -> None:
    """What was stopped with its scheduler goes on with the next one."""
    bench.schedule_of(ONCE, {"id": "b", "after": "a"})
    bench.launcher.seconds = {"a": 40}
    bench.minutes(0.8, drain_seconds=0)
    assert bench.slots() == {"a 12:01": "INTERRUPTED", "b 12:01": "WAITING"}
    bench.minutes(1.5)


def stopped_by_hand(bench: Bench) -> None:
    """What somebody stopped is waited for by nobody, and a running scheduler leaves it alone."""
    bench.schedule_of(ONCE, {"id": "b", "after": "a"})
    bench.launcher.codes = {"a": [143]}
    bench.minutes(3)


def waited_for(bench: Bench) -> None:
    """What was stopped with its scheduler is waited for, also while a pause keeps it from going on."""
    bench.schedule_of(ONCE, {"id": "b", "after": "a"})
    bench.launcher.seconds = {"a": 40}
    bench.minutes(0.8, drain_seconds=0)
    with bench.ledger() as ledger, ledger.transaction("test"):
        Pauses(ledger).begin("a", bench.clock.wall, bench.clock.wall + 60_000, "move", "me")
    bench.minutes(0.5)
    assert bench.slots() == {"a 12:01": "INTERRUPTED", "b 12:01": "WAITING"}
    bench.minutes(2)
    assert bench.slots() == {"a 12:01": "SUCCESS", "b 12:01": "SUCCESS"}


def left_by_a_pass(bench: Bench) -> None:
    """A scheduler that runs goes on with what a stopped `tick` left, and not with what a person stopped."""
    bench.schedule_of(ONCE, {**ONCE, "id": "b"})
    bench.launcher.codes = {"a": [143], "b": [143]}

    def leave() -> None:
        with bench.ledger() as other, other.transaction("leave"):
            query = "UPDATE slots SET reason=:reason, reason_code=:reason_code WHERE item='a'"
            other.db.execute(query, columns(said(SlotReason.DRAINED)))

    bench.clock.at(dt.timedelta(seconds=60), leave)
    bench.minutes(2)
    assert bench.slots() == {"a 12:01": "SUCCESS", "b 12:01": "INTERRUPTED"}


def adopted(bench: Bench) -> None:
    """What a scheduler that died had goes on."""
    bench.schedule_of(ONCE)
    bench.launcher.seconds = {"a": 40}
    bench.minutes(0.8, drain_seconds=0)
    with bench.ledger() as ledger, ledger.transaction("as a kill leaves it"):
        ledger.db.execute("UPDATE slots SET status='RUNNING', owner='gone.alive', reason=NULL, reason_code=NULL")
        ledger.db.execute("UPDATE attempts SET status='RUNNING', finished_at=NULL, reason=NULL, reason_code=NULL")
    bench.minutes(1)


def left_out(bench: Bench) -> None:
    """By overlap, by the item before, by calendar, blackout and pause, and by being late."""
    blackout = {"from": "2026-03-02T12:02", "until": "2026-03-02T12:03", "reason": "freeze"}
    bench.schedule_of(
        {**MINUTELY, "blackouts": [blackout]},
        {"id": "h", "cron": "* * * * *", "calendar": {"holidays": ["2026-03-02"]}},
        {"id": "o", "cron": "* * * * *", "overlap": "skip"},
        {"id": "f", "cron": "* * * * *"},
        {"id": "g", "after": "f"},
        {**MINUTELY, "id": "m", "misfire": "last"},
        max_running=4,
    )
    bench.launcher.codes, bench.launcher.seconds = {"f": [1] * 9}, {"o": 90}
    now = bench.clock.wall
    with bench.ledger() as ledger, ledger.transaction("test"):
        Pauses(ledger).begin("a", now + 150_000, now + 180_000, "move", "me")
    bench.minutes(3)
    bench.clock.pass_time(600)
    bench.minutes(0.4)


NIGHTS = [
    retries,
    replaced,
    replaced_elsewhere,
    stopped_and_resumed,
    stopped_by_hand,
    waited_for,
    left_by_a_pass,
    adopted,
    left_out,
]


def decided(bench: Bench) -> dict[str, Any]:
    """All that was decided; the words are not in it."""
    return {
        "slots": bench.rows(
            "SELECT item, slot, status, reason_code, run_id, attempts, failures, exit_code, late, queued FROM slots"
        ),
        "attempts": bench.rows("SELECT item, slot, attempt, status, reason_code, exit_code FROM attempts"),
        "started": bench.launcher.lines("start"),
        "backfilled": [backfilled(bench, include) for include in ("missing", "failed", "all")],
    }


def backfilled(bench: Bench, include: "Include") -> list[tuple[str, int, str]]:
    schedule = bench.load()
    first, last = from_ms(bench.clock.wall) - dt.timedelta(hours=1), from_ms(bench.clock.wall)
    with bench.ledger() as ledger:
        chosen = {
            item.id: choose(schedule.path, item, ledger, truth_of(schedule), first, last, include)
            for item in schedule.items
        }
    return [(name, each.slot, each.was) for name, (wanted, _) in chosen.items() for each in wanted]


@pytest.mark.parametrize("night", NIGHTS)
def test_the_words_decide_nothing(bench: Bench, scramble: Callable[[], None], night: Callable[[Bench], None]) -> None:
    night(bench)
    plain, words = decided(bench), bench.rows("SELECT reason FROM slots UNION SELECT reason FROM attempts")
    folder = bench.folder / "scrambled"
    folder.mkdir()
    scramble()
    other = Bench(folder)
    night(other)
    assert decided(other) == plain
    scrambled = {text for (text,) in other.rows("SELECT reason FROM slots UNION SELECT reason FROM attempts") if text}
    assert scrambled
    assert all(text.startswith("~") for text in scrambled)
    assert len(scrambled) == len({text for (text,) in words if text})


def test_every_reason_of_a_night_has_a_code(bench: Bench) -> None:
    left_out(bench)
    codes = {code for (code,) in bench.rows("SELECT reason_code FROM slots WHERE reason IS NOT NULL")}
    assert codes == {
        "calendar",
        "blackout",
        "paused",
        "overlap",
        "after",
        "coalesced",
        "misfire",
        "exit_code",
        "drained",
    }
