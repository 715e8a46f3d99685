"""What policies make of slots, on a clock that obeys the test."""

import datetime as dt
import itertools
from typing import TYPE_CHECKING

import pytest

from aetherflow.scheduler.cli import main

if TYPE_CHECKING:
    from scheduler_bench import Bench

MINUTELY = {"id": "a", "cron": "* * * * *"}


def test_a_slot_is_expected_from_when_the_item_is_first_seen(bench: "Bench") -> None:
    bench.schedule_of(MINUTELY)
    bench.minutes(3)
    assert bench.slots("a") == {"12:01": "SUCCESS", "12:02": "SUCCESS", "12:03": "SUCCESS"}
    assert bench.launcher.started() == [f"a-20260302T120{n}00Z" for n in (1, 2, 3)]
    starts = [at for _, at in bench.launcher.lines("start")]
    assert starts == ["2026-03-02T12:01:00", "2026-03-02T12:02:00", "2026-03-02T12:03:00"]


def test_the_order_names_slot_run_id_and_parameters(bench: "Bench") -> None:
    bench.schedule_of({**MINUTELY, "params": {"n": 5, "list": ["x", 1], "text": "a b"}, "job": "j"})
    bench.minutes(1)
    arguments = list(bench.launcher.runs[0].request.arguments)
    assert arguments[:3] == ["run", "--flow-yaml", str(bench.folder / "flow.yaml")]
    pairs = list(itertools.pairwise(arguments))
    for pair in (
        ("--run-id", "a-20260302T120100Z"), ("--slot", "2026-03-02T12:01:00Z"), ("--if-busy", "wait"),
        ("--trigger", "scheduler"), ("--flow-job", "j"), ("--param", "n=5"), ("--param", 'list=["x", 1]'),
        ("--param", "text=a b"),
    ):  # fmt: skip
        assert pair in pairs


def test_since_makes_slots_of_the_past_expected(bench: "Bench") -> None:
    bench.schedule_of({**MINUTELY, "since": "2026-03-02T11:50Z", "misfire": "last"})
    bench.minutes(1)
    slots = bench.slots("a")
    assert list(slots) == [f"11:{n}" for n in range(50, 60)] + ["12:00", "12:01"]
    assert slots["12:00"] == "SUCCESS"
    assert set(bench.reasons("a").values()) == {"coalesced", None}


@pytest.mark.parametrize(
    ("misfire", "statuses", "reason"),
    [
        ("skip", ["MISSED"] * 2 + ["MISSED"] * 5 + ["SUCCESS"], "coalesced"),
        ("last", ["MISSED"] * 7 + ["SUCCESS"], "coalesced"),
        ("all", ["MISSED"] * 4 + ["SUCCESS"] * 4, "max_catch_up"),
    ],
)
def test_slots_that_are_too_late(bench: "Bench", misfire: str, statuses: list[str], reason: str) -> None:
    bench.schedule_of({**MINUTELY, "misfire": misfire, "max_catch_up": 4, "overlap": "queue"})
    bench.minutes(1)
    bench.clock.pass_time(8 * 60)  # nobody was there for 8 minutes, the grace is 5
    bench.minutes(0.3)
    slots = bench.slots("a")
    assert list(slots.values()) == ["SUCCESS", *statuses]
    assert reason in set(bench.reasons("a").values())
    if misfire == "skip":
        assert bench.reasons("a")["12:02"] == "not started in time: 7 min late (misfire: skip)"


def test_catching_up_is_spaced_and_in_order(bench: "Bench") -> None:
    bench.schedule_of({**MINUTELY, "misfire": "all", "spacing_seconds": 5, "max_catch_up": 3})
    bench.minutes(1)
    bench.clock.pass_time(6 * 60)
    bench.minutes(0.4)
    starts = bench.launcher.lines("start")[1:]
    assert [run_id for run_id, _ in starts] == [f"a-20260302T120{n}00Z" for n in (5, 6, 7)]
    times = [dt.datetime.fromisoformat(at) for _, at in starts]
    assert all(5 <= (after - before).total_seconds() <= 7 for before, after in itertools.pairwise(times))


@pytest.mark.parametrize("overlap", ["skip", "kill_old"])
@pytest.mark.parametrize("missed", [1, 5])
def test_slots_that_come_due_while_older_ones_catch_up_are_queued(bench: "Bench", overlap: str, missed: int) -> None:
    bench.schedule_of({"id": "a", "cron": "*/10 * * * *", "misfire": "all", "overlap": overlap})
    bench.launcher.seconds = {"a": 8 * 60}
    bench.minutes(5)
    bench.clock.pass_time(missed * 600)
    bench.minutes(300)
    assert bench.clock.now().hour >= 17
    assert set(bench.slots("a").values()) <= {"SUCCESS", "INTERRUPTED", "WAITING"}
    assert set(list(bench.slots("a").values())[:-1]) == {"SUCCESS"}  # it has caught up


def test_an_item_that_never_catches_up_waits_for_max_catch_up_slots_at_most(bench: "Bench") -> None:
    bench.schedule_of({"id": "a", "cron": "*/10 * * * *", "misfire": "all", "max_catch_up": 3})
    bench.launcher.seconds = {"a": 20 * 60}
    bench.minutes(5)
    bench.clock.pass_time(2 * 600 + 60)
    bench.minutes(200)
    found = list(bench.slots("a").values())
    assert "SKIPPED" in found
    assert found.count("WAITING") <= 3


def test_validate_warns_where_catching_up_meets_skipping(bench: "Bench", capsys: pytest.CaptureFixture[str]) -> None:
    bench.flow(["true"])
    for more, warned in (({}, True), ({"overlap": "queue"}, False), ({"overlap": "kill_old"}, False)):
        bench.schedule_of({"id": "a", "cron": "*/10 * * * *", "misfire": "all", **more})
        assert main(["validate", str(bench.file)]) == 0
        told = capsys.readouterr()
        assert ("AF8016" in told.out + told.err) == warned
        assert ("add `overlap: queue`" in told.out + told.err) == warned


@pytest.mark.parametrize(
    ("overlap", "statuses"),
    [
        ("skip", {"12:01": "SUCCESS", "12:02": "SKIPPED", "12:03": "SUCCESS"}),
        ("queue", {"12:01": "SUCCESS", "12:02": "SUCCESS", "12:03": "INTERRUPTED"}),
        ("allow", {"12:01": "SUCCESS", "12:02": "SUCCESS", "12:03": "INTERRUPTED"}),
        ("kill_old", {"12:01": "FAILED", "12:02": "FAILED", "12:03": "INTERRUPTED"}),
    ],
)
def test_overlap(bench: "Bench", overlap: str, statuses: dict[str, str]) -> None:
    bench.schedule_of({**MINUTELY, "overlap": overlap})
    bench.launcher.seconds = {"a": 80 if overlap != "skip" else 90}
    bench.minutes({"skip": 3.9, "kill_old": 3.2}.get(overlap, 2.9), drain_seconds=0)
    found = bench.slots("a")
    if overlap == "skip":
        assert found["12:01"] == "SUCCESS"
        assert found["12:02"] == "SKIPPED"
        assert bench.reasons("a")["12:02"] == "overlap: the slot 2026-03-02T12:01:00Z still runs"
        assert found["12:03"] != "SKIPPED"
    elif overlap == "queue":
        assert bench.launcher.started() == ["a-20260302T120100Z", "a-20260302T120200Z"]
        assert found == {"12:01": "SUCCESS", "12:02": "INTERRUPTED", "12:03": "WAITING"}
    elif overlap == "allow":
        starts = [at[11:19] for _, at in bench.launcher.lines("start")]
        assert starts == ["12:01:00", "12:02:00", "12:03:00"]
    else:
        assert found == statuses
        assert bench.reasons("a")["12:01"] == "replaced by the slot 2026-03-02T12:02:00Z"


def test_max_running_and_pools(bench: "Bench") -> None:
    items = [{"id": f"i{n}", "cron": "1 12 * * *", "pool": "db" if n < 3 else None} for n in range(6)]
    items = [{name: value for name, value in item.items() if value} for item in items]
    bench.schedule_of(*items, max_running=3, pools={"db": 1})
    bench.launcher.seconds = {f"i{n}": 10 for n in range(6)}
    bench.minutes(0.6, drain_seconds=0)
    assert sorted(bench.slots().values()) == ["INTERRUPTED"] * 3 + ["WAITING"] * 3
    assert len(bench.launcher.started()) == 3
    assert sum(name.startswith(("i0", "i1", "i2")) for name in bench.launcher.started()) == 1


def test_all_that_wait_for_room_run_in_the_end(bench: "Bench") -> None:
    bench.schedule_of(*[{"id": f"i{n:02}", "cron": "1 12 * * *"} for n in range(40)], max_running=4)
    bench.minutes(2)
    assert list(bench.slots().values()) == ["SUCCESS"] * 40
    assert len(set(bench.launcher.started())) == len(bench.launcher.started()) == 40
    edges = [(at, 1) for _, at in bench.launcher.lines("start")] + [(at, -1) for _, at in bench.launcher.lines("done")]
    now = 0
    for _, step in sorted(edges, key=lambda edge: (edge[0], edge[1])):
        now += step
        assert now <= 4


def test_retry_with_backoff_under_the_same_run_id(bench: "Bench") -> None:
    retry = {"max_attempts": 3, "backoff_seconds": 5, "backoff_multiplier": 2}
    bench.schedule_of({"id": "a", "cron": "1 12 * * *", "retry": retry})
    bench.launcher.codes = {"a": [1, -11, 0]}
    bench.minutes(1.5)
    assert bench.slots("a") == {"12:01": "SUCCESS"}
    assert bench.launcher.started() == ["a-20260302T120100Z"] * 3
    times = [dt.datetime.fromisoformat(at) for _, at in bench.launcher.lines("start")]
    gaps = [(after - before).total_seconds() for before, after in itertools.pairwise(times)]
    assert 7 <= gaps[0] <= 9
    assert 12 <= gaps[1] <= 14
    attempts = bench.rows("SELECT attempt, status, exit_code, reason FROM attempts ORDER BY attempt")
    assert attempts == [
        (1, "FAILED", 1, "exit code 1"),
        (2, "FAILED", 139, "killed by SIGSEGV"),
        (3, "SUCCESS", 0, None),
    ]


@pytest.mark.parametrize(("codes", "starts"), [([1, 1, 1, 1], 3), ([2], 1)])
def test_retries_end(bench: "Bench", codes: list[int], starts: int) -> None:
    bench.schedule_of({"id": "a", "cron": "1 12 * * *", "retry": {"max_attempts": 3}})
    bench.launcher.codes = {"a": list(codes)}
    bench.minutes(1.5)
    assert bench.slots("a") == {"12:01": "FAILED"}
    assert len(bench.launcher.started()) == starts


def test_a_run_that_cannot_be_started_has_failed(bench: "Bench") -> None:
    bench.schedule_of({"id": "a", "cron": "1 12 * * *"})
    bench.launcher.refuse = True
    bench.minutes(1)
    assert bench.reasons("a") == {"12:01": "cannot be started: out of processes"}


def test_timeout_ends_a_run(bench: "Bench") -> None:
    bench.schedule_of({"id": "a", "cron": "1 12 * * *", "timeout_seconds": 20})
    bench.launcher.seconds = {"a": 3600}
    bench.minutes(1)
    assert bench.launcher.runs[0].signals == ["TERM"]
    assert bench.slots("a") == {"12:01": "FAILED"}
    assert bench.reasons("a")["12:01"] == "timeout: it ran for more than 20 s"


def test_late_and_overdue_are_told_once(bench: "Bench") -> None:
    bench.schedule_of({"id": "a", "cron": "1 12 * * *", "late_after_seconds": 20, "max_duration_seconds": 30})
    bench.launcher.seconds = {"a": 50}
    bench.minutes(2)
    assert bench.rows("SELECT status, late, overdue FROM slots") == [("SUCCESS", 1, 1)]
    assert bench.told.getvalue().count("has not ended 20 s after its slot") == 1
    assert bench.told.getvalue().count("runs for more than 30 s") == 1


@pytest.mark.parametrize(("code", "status"), [(0, "SUCCESS"), (1, "SKIPPED")])
def test_after_waits_for_the_other_item(bench: "Bench", code: int, status: str) -> None:
    bench.schedule_of({"id": "b", "after": "a"}, {"id": "a", "cron": "1 12 * * *"})
    bench.launcher.seconds, bench.launcher.codes = {"a": 20}, {"a": [code]}
    bench.minutes(1.5)
    assert bench.slots("b") == {"12:01": status}
    if code:
        assert bench.reasons("b")["12:01"] == "after a: FAILED"
    else:
        assert bench.launcher.lines("start")[1][1] >= bench.launcher.lines("done")[0][1]


def test_after_waits_while_the_other_is_tried_again(bench: "Bench") -> None:
    retry = {"max_attempts": 2, "backoff_seconds": 10}
    bench.schedule_of({"id": "a", "cron": "1 12 * * *", "retry": retry}, {"id": "b", "after": "a"})
    bench.launcher.codes = {"a": [1]}
    bench.minutes(1.5)
    assert bench.slots() == {"a 12:01": "SUCCESS", "b 12:01": "SUCCESS"}


def test_a_chain_of_missed_slots(bench: "Bench") -> None:
    bench.schedule_of({"id": "a", "cron": "1 12 * * *"}, {"id": "b", "after": "a", "misfire": "last"})
    bench.minutes(0.2)
    bench.clock.pass_time(3600)
    bench.minutes(0.5)
    assert bench.slots() == {"a 12:01": "MISSED", "b 12:01": "SKIPPED"}
    assert bench.reasons("b") == {"12:01": "after a: MISSED"}


def test_pauses_calendars_and_blackouts_are_recorded(bench: "Bench") -> None:
    from aetherflow.scheduler.ledger.epochs import Pauses

    blackout = {"from": "2026-03-02T12:02", "until": "2026-03-02T12:03", "reason": "freeze"}
    bench.schedule_of(
        {**MINUTELY, "blackouts": [blackout]},
        {"id": "h", "cron": "* * * * *", "calendar": {"holidays": ["2026-03-02"]}},
    )
    now = bench.clock.wall
    with bench.ledger() as ledger, ledger.transaction("test"):
        Pauses(ledger).begin("a", now + 150_000, now + 180_000, "move", "me")
    bench.minutes(3)
    assert bench.slots("a") == {"12:01": "SUCCESS", "12:02": "SKIPPED", "12:03": "SKIPPED"}
    assert bench.reasons("a") == {"12:01": None, "12:02": "blackout: freeze", "12:03": "paused: move"}
    assert set(bench.reasons("h").values()) == {"calendar: 2026-03-02 is a holiday"}


def test_a_changed_cron_begins_a_new_epoch(bench: "Bench") -> None:
    bench.schedule_of(MINUTELY)
    bench.minutes(2)
    bench.clock.pass_time(120)
    bench.schedule_of({"id": "a", "cron": "*/5 * * * *"})
    bench.minutes(6)
    assert bench.slots("a") == {
        "12:01": "SUCCESS", "12:02": "SUCCESS", "12:03": "MISSED", "12:04": "MISSED", "12:05": "SUCCESS",
        "12:10": "SUCCESS",
    }  # fmt: skip
    assert bench.reasons("a")["12:03"] == "the schedule of the item was changed"
    epochs = bench.rows("SELECT json_extract(definition, '$.cron'), until IS NULL FROM epochs ORDER BY since")
    assert epochs == [("* * * * *", 0), ("*/5 * * * *", 1)] or [until for _, until in epochs] == [0, 1]


def test_a_disabled_item_is_not_expected(bench: "Bench") -> None:
    bench.schedule_of(MINUTELY)
    bench.minutes(1)
    bench.schedule_of({**MINUTELY, "enabled": False})
    bench.minutes(2)
    bench.schedule_of(MINUTELY)
    bench.minutes(1)
    assert bench.slots("a") == {"12:01": "SUCCESS", "12:04": "SUCCESS"}


def test_a_clock_that_goes_back_doubles_nothing(bench: "Bench") -> None:
    bench.schedule_of(MINUTELY)

    def back() -> None:
        bench.clock.wall -= 3 * 60_000

    bench.clock.at(dt.timedelta(minutes=4), back)
    bench.minutes(9)
    assert list(bench.slots("a")) == [f"12:0{n}" for n in range(1, 7)]
    assert len(bench.launcher.started()) == len(set(bench.launcher.started())) == 6


def test_a_clock_that_jumped_ahead_by_mistake_loses_nothing(bench: "Bench") -> None:
    bench.schedule_of(MINUTELY)

    def ahead() -> None:
        bench.clock.wall += 86_400_000

    def back() -> None:
        bench.clock.wall -= 86_400_000

    bench.clock.at(dt.timedelta(minutes=2, seconds=10), ahead)
    bench.clock.at(dt.timedelta(minutes=2, seconds=20, days=1), back)
    bench.minutes(5)
    today = bench.rows("SELECT slot, status FROM slots WHERE slot < ? ORDER BY slot", bench.clock.wall)
    assert [status for _, status in today] == ["SUCCESS"] * 5
    assert len(bench.launcher.started()) == len(set(bench.launcher.started()))


def test_a_clock_that_is_set_back_to_before_the_items_begin_leaves_nothing_missed(bench: "Bench") -> None:
    bench.schedule_of({**MINUTELY, "since": "2026-03-02T12:00:30Z", "misfire": "skip", "misfire_grace_time": 60})

    def set_clock(minutes: int) -> None:
        bench.clock.wall += minutes * 60_000

    bench.clock.at(dt.timedelta(minutes=1), lambda: set_clock(60))  # by mistake
    bench.clock.at(dt.timedelta(minutes=62), lambda: set_clock(-65))
    bench.minutes(15)
    today = bench.rows("SELECT slot, status FROM slots WHERE slot < ? ORDER BY slot", bench.clock.wall)
    assert [status for _, status in today] == ["SUCCESS"] * len(today)
    assert len(today) == (bench.clock.wall - today[0][0]) // 60_000 + 1
    assert len(bench.launcher.started()) == len(set(bench.launcher.started()))


def test_a_machine_that_slept(bench: "Bench") -> None:
    bench.schedule_of({**MINUTELY, "misfire": "last"})

    def sleep() -> None:
        bench.clock.wall += 3 * 3_600_000  # the monotonic clock stands still meanwhile

    bench.clock.at(dt.timedelta(minutes=1, seconds=10), sleep)
    bench.minutes(3)
    slots = list(bench.slots("a").items())
    assert len(slots) == 183
    assert [status for _, status in slots].count("MISSED") >= 178
    assert len(bench.launcher.started()) <= 5


@pytest.mark.parametrize("misfire", ["skip", "last", "all"])
def test_a_month_of_minutes_is_accounted_for(bench: "Bench", misfire: str) -> None:
    item = {**MINUTELY, "since": "2026-02-02T12:00:00Z", "misfire": misfire, "max_catch_up": 3}
    bench.schedule_of(item)
    bench.minutes(0.3)
    counts = dict(bench.rows("SELECT status, count(*) FROM slots GROUP BY status"))
    run = {"skip": 1, "last": 1, "all": 3}[misfire]
    assert counts == {"MISSED": 28 * 1440 + 1 - run, "SUCCESS": run}
    assert bench.rows("SELECT count(DISTINCT slot) FROM slots") == [(28 * 1440 + 1,)]
    assert bench.launcher.started()[-1] == "a-20260302T120000Z"


def test_a_slot_does_not_wait_for_one_that_was_stopped_by_hand(bench: "Bench") -> None:
    bench.schedule_of({"id": "a", "cron": "1 12 * * *"}, {"id": "b", "after": "a"})
    bench.launcher.codes = {"a": [143]}
    bench.minutes(1.5)
    assert bench.slots() == {"a 12:01": "INTERRUPTED", "b 12:01": "SKIPPED"}
    assert bench.reasons("b")["12:01"] == "after a: INTERRUPTED, stopped by SIGTERM from outside"
    bench.minutes(0.3)  # the next start resumes it
    assert bench.slots()["a 12:01"] == "SUCCESS"


def test_many_restarts_lose_and_double_nothing(bench: "Bench") -> None:
    bench.schedule_of({**MINUTELY, "overlap": "queue"}, {"id": "b", "after": "a", "overlap": "queue"})
    for _ in range(12):
        bench.minutes(0.45, drain_seconds=0)
    bench.minutes(0.5)
    slots = bench.slots()
    assert set(slots.values()) == {"SUCCESS"}
    assert len(slots) == 2 * len(bench.slots("a")) >= 10
    done = bench.launcher.done()
    assert len(done) == len(set(done)) == len(slots)


def test_what_waits_says_what_for(bench: "Bench") -> None:
    items = [{"id": f"i{n}", "cron": "1 12 * * *"} for n in range(3)]
    bench.schedule_of(*items, {"id": "z", "after": "i0"}, max_running=1)
    bench.launcher.seconds = {"i0": 600}
    bench.minutes(1, drain_seconds=0)
    reasons = [bench.reasons(name)["12:01"] for name in ("i1", "i2", "z")]
    assert reasons == ["max_running is full", "max_running is full", "after i0: RUNNING"]


def test_a_slot_that_was_entered_as_running_and_never_started_is_started(bench: "Bench") -> None:
    """A disk that fails between the commit and the start leaves such a slot to a scheduler that goes on."""
    bench.schedule_of({"id": "a", "cron": "1 12 * * *"})
    made = bench.scheduler()

    def fail() -> None:
        with bench.ledger() as ledger, ledger.transaction("test"):
            owner = ledger.db.execute("SELECT name FROM owners").fetchone()[0]
            values = ("a", bench.clock.wall - 60_000, "RUNNING", "a-lost", "scheduler", "h", owner, 0, 1, 1)
            marks = ", ".join("?" * len(values))
            names = "item, slot, status, run_id, trigger, host, owner, claimed_at, started_at, attempts"
            ledger.db.execute(f"INSERT INTO slots ({names}) VALUES ({marks})", values)

    bench.clock.at(dt.timedelta(seconds=10), fail)
    bench.clock.until = bench.clock.mono + 20
    bench.clock.at_end = made.stop.stop
    assert made.run() == 0
    assert bench.launcher.done() == ["a-lost"]
