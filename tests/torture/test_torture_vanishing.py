"""V1: the files of a run are removed or replaced while it works: AF4001, no SUCCESS that nobody else sees."""

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from aetherflow.core.kernel.state.unit import Unit
from torture_bench import Bench, warm_up
from torture_tier import sample, sized, suite

pytestmark = pytest.mark.slow

FLOW = """\
version: 1
flow:
  id: f
  workspace: {cleanup_policy: never}
  locks: {scope: flow}
jobs:
  - id: a
    steps:
      - {id: one, type: torture_effect}
      - {id: each, type: torture_effect, for_each: [1, 2]}
  - {id: b, depends_on: [a], steps: [{id: two, type: torture_effect}]}
"""
PLAIN = FLOW.replace("  locks: {scope: flow}\n", "")
ENDINGS = ("", "-wal", "-shm")


def remove(file: Path) -> None:
    """As `rm state.sqlite*` does."""
    for ending in ENDINGS:
        file.with_name(file.name + ending).unlink(missing_ok=True)


def remove_folder(file: Path) -> None:
    """As `rm -r` of the folder does."""
    shutil.rmtree(file.parent)


def remove_log(file: Path) -> None:
    """As somebody does who takes the log beside a database for rubbish."""
    for ending in ENDINGS[1:]:
        file.with_name(file.name + ending).unlink(missing_ok=True)


def replace_by_copy(file: Path) -> None:
    """As a backup that is copied back, or an editor, does: the same bytes in another file."""
    copy = file.with_name("copy")
    shutil.copyfile(file, copy)
    copy.replace(file)


def replace_by_empty(file: Path) -> None:
    """Another file under the name."""
    new = file.with_name("new")
    new.touch()
    new.replace(file)


CHANGES = (remove, remove_folder, remove_log, replace_by_copy, replace_by_empty)


def disturbed(bench: Bench, point: int, change: Callable[[Path], None], file: Path) -> int | None:
    """Exit code of a run whose file is changed at a failpoint; None if the change has nothing to change there."""
    stopped = bench.until_stopped(f"{point}:stop")
    assert stopped is not None, "the run did not come to its failpoint"
    there = [file.with_name(file.name + ending) for ending in ENDINGS[1 if change is remove_log else 0 :]]
    if not all(each.exists() for each in there):
        bench.end(stopped)
        return None
    change(file)
    os.kill(stopped, signal.SIGCONT)
    return os.waitstatus_to_exitcode(os.waitpid(stopped, 0)[1])


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_state_that_vanishes(bench: Bench, change: Callable[[Path], None]) -> None:
    bench.write(FLOW)
    warm_up(bench)
    names = bench.points()
    first, last = 1, names.index("committed run SUCCESS") + 1
    if (
        change is remove_log
    ):  # it is known from the first commit on; SQLite still writes back what the last one put there
        first, last = names.index("committed create schema") + 2, names.index("begin run SUCCESS") + 1
    bench.forget()
    points = sample(range(first, last + 1), sized(4, last), f"V1-{change.__name__}")
    with suite(f"V1 {change.__name__}", 1, 4) as counted:
        for point in points:
            with counted.case(f"{change.__name__} at {point}, {names[point - 1]}"):
                code = disturbed(bench, point, change, bench.state)
                if code is not None:
                    _check(bench, code, change)
            bench.forget()


def _check(bench: Bench, code: int, change: Callable[[Path], None]) -> None:
    told = bench.error_text()
    assert (code, "AF4001" in told) == (4, True), f"exit {code}: {told}"
    assert "Traceback" not in told, told
    if change in (remove, remove_folder):
        assert not bench.state.exists(), "the run that lost its state made another one"
    ran = bench.ran()
    assert bench.attempt() == 0, bench.error_text()
    assert bench.rows("SELECT status FROM runs") == [("SUCCESS",)]
    assert set(bench.ran()) >= {"one", "each", "two"}
    assert bench.ran()[: len(ran)] == ran


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_lock_store_that_vanishes(bench: Bench, change: Callable[[Path], None]) -> None:
    bench.write(FLOW)
    warm_up(bench)
    names = bench.points()
    first = names.index("committed take lock") + 1
    last = len(names) - names[::-1].index("begin step SUCCESS") - 1  # from then on the work under the lock is done
    bench.forget()
    points = sample(range(first, last + 1), sized(3, last), f"V1-lock-{change.__name__}")
    with suite(f"V1 lock store, {change.__name__}", 5) as counted:
        for point in points:
            with counted.case(f"{change.__name__} at {point}, {names[point - 1]}"):
                code = disturbed(bench, point, change, bench.states / "engine/locks.sqlite")
                if code is not None:
                    assert code != 0, f"the lock was lost, and the run ended SUCCESS; {bench.error_text()}"
                    assert "Traceback" not in bench.error_text(), bench.error_text()
                    assert bench.attempt() == 0, bench.error_text()
                    assert bench.rows("SELECT status FROM runs") == [("SUCCESS",)]
            bench.forget()


def test_a_run_lock_that_vanishes(bench: Bench) -> None:
    bench.write(PLAIN)
    warm_up(bench)
    with suite("V1 run lock, removed", 4) as counted:
        points = _points_of_the_run(bench)
        for point, name in sample(points, sized(4, len(points)), "V1-run-lock"):
            with counted.case(f"lock removed at {point}, {name}"):
                _overtaken(bench, point)
            bench.forget()


def test_it_would_be_noticed_if_nobody_asked_whose_run_it_is(bench: Bench) -> None:
    bench.write(PLAIN)
    warm_up(bench)
    ((point, _),) = sample(_points_of_the_run(bench), 1, "V1-run-lock")
    with pytest.raises(AssertionError, match="went on"):
        _overtaken(bench, point, lambda: setattr(Unit, "_require_ownership", lambda _: None))


def _points_of_the_run(bench: Bench) -> list[tuple[int, str]]:
    """Points at which the run is entered and not yet ended."""
    names = bench.points()
    bench.forget()
    first, last = names.index("committed begin run") + 1, names.index("begin run SUCCESS") + 1
    # not inside a transaction: it keeps everybody else out
    free = [point for point in range(first, last + 1) if not names[point - 1].startswith("commit ")]
    return [(point, names[point - 1]) for point in free]


def _overtaken(bench: Bench, point: int, bug: Callable[[], object] | None = None) -> None:
    """A run stands still, loses its lock file, and another process takes it over; then it goes on."""
    stopped = bench.until_stopped(f"{point}:stop", before=bug)
    assert stopped is not None, "the run did not come to its failpoint"
    (bench.states / "f.sqlite.d/runs/f/r.lock").unlink()
    assert bench.attempt() == 0, bench.error_text()
    before = bench.rows("SELECT event, detail FROM journal ORDER BY seq"), bench.ran()
    os.kill(stopped, signal.SIGCONT)
    code = os.waitstatus_to_exitcode(os.waitpid(stopped, 0)[1])
    after = bench.rows("SELECT event, detail FROM journal ORDER BY seq"), bench.ran()
    assert after[0] == before[0], "the run that was overtaken went on writing"
    assert len(after[1]) <= len(before[1]) + 1, f"the run that was overtaken went on: {after[1]}"
    assert bench.rows("SELECT status, generation FROM runs") == [("SUCCESS", 2)]
    assert code == 4, f"exit {code}"
