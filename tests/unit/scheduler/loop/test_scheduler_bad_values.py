"""One bad value, or one bad plugin, is found in the document or fails its slot: it never ends the scheduler."""

from typing import TYPE_CHECKING

import pytest
from scheduler_bad_values import Faulty

from aetherflow.core.api import AetherflowError
from aetherflow.core.base.errors import StateError
from aetherflow.scheduler.document.checking import check_schedule
from aetherflow.scheduler.launchers import Launcher
from aetherflow.scheduler.ledger.slots import Slots
from aetherflow.scheduler.loop.loop import Scheduler
from aetherflow.scheduler.runs.run_requests import reason_of
from aetherflow.scheduler.runs.watching import Watch
from aetherflow.scheduler.schedule.policy import Status, Verdict

if TYPE_CHECKING:
    from scheduler_bench import Bench

EVERY_MINUTE = {"cron": "* * * * *", "overlap": "allow"}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("params", r'{p: "a\0b"}'),
        ("params", r'{p: [{"deep\0": 1}]}'),
        ("flow_job", r'"a\0b"'),
        ("bundle_manifest", r'"a\0b.yaml"'),
    ],
)
def test_text_that_no_program_takes_is_refused_at_its_place(bench: "Bench", key: str, value: str) -> None:
    bench.flow(["true"])
    bench.write(f'timezone: UTC\nitems:\n  - id: a\n    cron: "* * * * *"\n    flow: flow.yaml\n    {key}: {value}\n')
    found = check_schedule(bench.file)
    assert found.schedule is None
    (problem,) = [each for each in found.problems.errors if "which no program can be given" in each.message]
    assert (problem.af, problem.location.line) == ("AF1103", 6)
    problem.as_text().encode()


@pytest.mark.parametrize("line", ["lease_seconds: .inf", "lease_seconds: 1.0e+10", "max_running: 10000000000"])
def test_numbers_of_the_file_have_bounds_too(bench: "Bench", line: str) -> None:
    bench.write(f"timezone: UTC\n{line}\nitems: []\n")
    (problem,) = check_schedule(bench.file).problems.errors
    assert problem.location.line == 2


@pytest.mark.parametrize("where", ["constructor", "start", "nothing", "poll", "outcome", "terminate"])
def test_a_launcher_that_raises_fails_its_slot_alone(bench: "Bench", where: str) -> None:
    bad = {**EVERY_MINUTE, "launcher": "bad", "timeout_seconds": 5, "retry": {"max_attempts": 2}}
    bench.schedule_of({"id": "bad", **bad}, {"id": "good", **EVERY_MINUTE})
    faulty = Faulty(where, KeyError("\ud800 key"))

    def load(name: str) -> Launcher:
        if name != "bad":
            return bench.launcher
        if where == "constructor":
            raise faulty.error
        return faulty

    made = Scheduler(bench.load(), clock=bench.clock, events=bench.events(), launchers=load)
    bench.clock.until, bench.clock.at_end = bench.clock.mono + 150, made.stop.stop
    assert made.run() == 0
    assert bench.rows("SELECT DISTINCT status, attempts FROM slots WHERE item='bad'") == [("FAILED", 1)]
    assert bench.rows("SELECT DISTINCT status FROM slots WHERE item='good'") == [("SUCCESS",)]
    assert all("the launcher 'bad' has a fault" in (reason or "") for reason in bench.reasons("bad").values())


@pytest.mark.parametrize("error", [OSError("out of processes"), StateError("full", fix="")])
@pytest.mark.parametrize("where", ["start", "poll"])
def test_faults_that_launchers_may_have_are_tried_again(bench: "Bench", where: str, error: AetherflowError) -> None:
    bench.schedule_of({"id": "bad", **EVERY_MINUTE, "retry": {"max_attempts": 3}})
    faulty = Faulty(where, error)
    made = Scheduler(bench.load(), clock=bench.clock, events=bench.events(), launchers=lambda _: faulty)
    bench.clock.until, bench.clock.at_end = bench.clock.mono + 50, made.stop.stop
    assert made.run() == 0
    assert bench.rows("SELECT status, attempts FROM slots") == [("FAILED", 3)]
    assert faulty.starts == 3


def test_slots_by_hand_are_never_late(bench: "Bench") -> None:
    bench.schedule_of({"id": "a", "cron": "* * * * *", "late_after_seconds": 1})
    item, now = bench.load().item("a"), bench.clock.now_ms()
    with bench.ledger() as ledger:
        slots = Slots(ledger)
        with ledger.transaction("claim"):
            for minutes, trigger in enumerate(("manual", "backfill", "schedule"), 2):
                slots.claim("a", [Verdict(now // 60_000 * 60_000 - minutes * 60_000, Status.WAITING)], trigger=trigger)
        Watch(ledger, bench.events()).check_late(lambda _: item)
        assert [row.trigger for row in slots.active() if row.late] == ["schedule"]


def test_the_reason_of_a_run_fits_into_the_ledger() -> None:
    reason = reason_of({"error": {"job": "j", "step": "s", "message": f"no file \ud800{'x' * 999}\nmore"}})
    assert reason is not None
    assert len(reason.encode()) == 500
    assert reason.startswith("j.s: no file ?x")
