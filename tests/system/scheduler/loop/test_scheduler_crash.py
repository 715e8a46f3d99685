"""The scheduler is killed at every lasting effect, and started again: no slot is lost, none runs twice."""

import contextlib
import os
import shutil
import signal
import traceback
from collections import Counter

import pytest

from aetherflow.core.testing.failpoints import arm
from aetherflow.scheduler.ledger.known import note_schedule
from scheduler_bench import Bench, day
from torture_tier import sample, sized

MINUTES = 3.0
EXPECTED = {
    "a 12:01": "SUCCESS", "a 12:02": "SUCCESS", "a 12:03": "SUCCESS",
    "b 12:01": "SUCCESS", "b 12:02": "SUCCESS", "b 12:03": "SUCCESS",
    "c 12:02": "SUCCESS",
    "d 12:01": "SKIPPED", "d 12:02": "SKIPPED", "d 12:03": "SKIPPED",
}  # fmt: skip


def prepare(bench: "Bench") -> None:
    bench.schedule_of(
        {"id": "a", "cron": "* * * * *", "misfire": "all", "overlap": "queue"},
        {"id": "b", "after": "a", "misfire": "all", "overlap": "queue"},
        {"id": "c", "cron": "2 12 * * *", "misfire": "last", "retry": {"max_attempts": 2, "backoff_seconds": 3}},
        {"id": "d", "cron": "* * * * *", "calendar": {"holidays": ["2026-03-02"]}},
        lease_seconds=60,
    )


def forked(bench: "Bench", setting: str, minutes: float) -> int:
    """A scheduler in a forked process with one failpoint set; its exit code, or minus its signal."""
    child = os.fork()
    if child == 0:  # pragma: no cover
        code = 99
        try:
            arm(setting)
            bench.launcher.codes = {} if "start c-20260302T120200Z" in launched(bench) else {"c": [1]}
            bench.minutes(minutes)
            code = 0
        except BaseException:  # noqa: BLE001 whatever it is, the parent has to see it
            (bench.folder / "broken").write_text(traceback.format_exc())
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def launched(bench: "Bench") -> str:
    return bench.launcher.file.read_text() if bench.launcher.file.exists() else ""


def advance(bench: "Bench") -> None:
    """What the killed process has seen of the time is lost with it: go on where the ledger ends."""
    with contextlib.suppress(Exception):
        latest = bench.rows("SELECT max(claimed_at) FROM slots")[0][0]
        if latest is not None:
            bench.clock.wall = max(bench.clock.wall, latest)


def check(bench: "Bench", label: str, kills: int) -> None:
    broken = bench.folder / "broken"
    assert not broken.exists(), (label, broken.read_text())
    assert bench.slots() == EXPECTED, label
    assert bench.rows("PRAGMA integrity_check") == [("ok",)], label
    done = Counter(bench.launcher.done())
    assert set(done.values()) == {1}, (label, done)
    assert len(done) == 7, (label, done)
    starts = Counter(bench.launcher.started())
    starts["c-20260302T120200Z"] -= 1  # it fails once
    assert max(starts.values()) <= 1 + kills, (label, starts)
    cursors = dict(bench.rows("SELECT item, cursor FROM items"))
    assert set(cursors) == {"a", "b", "c", "d"}, label
    left = bench.rows("SELECT count(*) FROM attempts WHERE finished_at IS NULL")
    assert left == [(0,)], label
    assert bench.rows("SELECT count(*) FROM owners") == [(0,)], label
    assert list((bench.folder / "ledger.sqlite.d" / "owners").iterdir()) == [], label


def forget(bench: "Bench", start: int) -> None:

    for path in bench.folder.glob("ledger.sqlite*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    bench.launcher.file.unlink(missing_ok=True)
    bench.clock.wall = start


def points_of(bench: "Bench", minutes: float) -> list[str]:
    names = bench.folder / "points"
    names.unlink(missing_ok=True)
    assert forked(bench, f"log:{names}", minutes) == 0, (bench.folder / "broken").read_text()
    return names.read_text().splitlines()


def finish(bench: "Bench", start: int) -> None:
    advance(bench)
    left = start + MINUTES * 60_000 - bench.clock.wall
    assert forked(bench, "", max(left, 0) / 60_000 + 0.3) == 0, (bench.folder / "broken").read_text()


@pytest.fixture
def prepared(bench: "Bench") -> "Bench":
    prepare(bench)
    note_schedule(bench.load())  # once for all lives, so that the points of each are the same
    return bench


def test_kill_9_at_the_points(prepared: "Bench") -> None:
    bench, start = prepared, prepared.clock.wall
    names = points_of(bench, MINUTES)
    check(bench, "undisturbed", 0)
    words = {"commit plan", "commit slot start", "commit slot processes", "commit slot SUCCESS", "commit take the lead"}
    assert words <= set(names)
    assert len(names) > 100
    for point in sample(list(range(1, len(names) + 1)), sized(25, 10_000), "scheduler kill"):
        forget(bench, start)
        label = f"kill at {point}, {names[point - 1]}"
        assert forked(bench, str(point), MINUTES) == -signal.SIGKILL, label
        finish(bench, start)
        check(bench, label, 1)


@pytest.mark.parametrize("kind", ["enospc", "eio"])
def test_errors_at_the_points(prepared: "Bench", kind: str) -> None:
    """The disk is full for a moment: the scheduler goes on by itself, or ends and is started again."""
    bench, start = prepared, prepared.clock.wall
    names = points_of(bench, MINUTES)
    for point in sample(list(range(1, len(names) + 1)), sized(8, 10_000), f"scheduler {kind}"):
        forget(bench, start)
        label = f"{kind} at {point}, {names[point - 1]}"
        code = forked(bench, f"{point}:{kind}", MINUTES)
        broken = bench.folder / "broken"
        if code == 99:  # before or after the loop: the command ends with the error
            text = broken.read_text()
            assert "StateError" in text or "OSError" in text, (label, text)
            broken.unlink()
        finish(bench, start)
        check(bench, label, 1)


def test_killed_twice(prepared: "Bench") -> None:
    bench, start = prepared, prepared.clock.wall
    number = len(points_of(bench, MINUTES))
    pairs = [(first, second) for first in range(3, number, 7) for second in range(2, 60, 5)]
    for first, second in sample(pairs, sized(5, 300), "scheduler kill twice"):
        forget(bench, start)
        label = f"kill at {first}, then at {second}"
        assert forked(bench, str(first), MINUTES) == -signal.SIGKILL, label
        advance(bench)
        left = start + MINUTES * 60_000 - bench.clock.wall
        kills = 1 + (forked(bench, str(second), max(left, 0) / 60_000) == -signal.SIGKILL)
        finish(bench, start)
        check(bench, label, kills)


def test_kill_9_of_a_real_pass_with_real_runs(bench: "Bench") -> None:
    """Its runs outlive it; the next pass finds them, and no effect is there twice."""
    bench.forks_runs = False
    item = {"id": "a", "cron": "0 0 * * *", "since": day(1), "misfire": "all"}
    script = f"echo $AETHERFLOW_RUN_ID >> {bench.folder}/effects; sleep 0.3"
    bench.flow(["sh", "-c", script], "flow")
    bench.schedule_of(item, {"id": "b", "after": "a", "since": item["since"], "misfire": "all"})
    names = bench.folder / "points"
    bench.command("tick", "scheduler.yaml", AETHERFLOW_TESTS_FAILPOINT=f"log:{names}")
    number = len(names.read_text().splitlines())
    assert number > 60
    for point in sample(list(range(1, number + 1)), sized(3, 10_000), "scheduler real kill"):
        for path in [*bench.folder.glob("ledger.sqlite*"), bench.folder / "state", bench.folder / "effects"]:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        # Runs that end together share a transaction: the last few points do not come in every pass.
        code = -signal.SIGKILL if point <= number - 8 else None
        bench.command("tick", "scheduler.yaml", code=code, AETHERFLOW_TESTS_FAILPOINT=str(point))
        bench.command("tick", "scheduler.yaml")
        label = f"kill at {point}"
        assert bench.rows("SELECT status FROM slots") == [("SUCCESS",)] * 4, label
        effects = (bench.folder / "effects").read_text().splitlines()
        assert len(effects) == len(set(effects)) == 4, (label, effects)
