"""What a killed process leaves where no scheduler runs: it holds nobody up for longer than its run lasts."""

import json
import os
import shutil
import signal
from collections.abc import Callable
from typing import Any

import pytest

from scheduler_bench import Bench, day

pytestmark = pytest.mark.xdist_group("waiting")  # one worker waits, while the others work


def fill(bench: "Bench", item: str, before: int) -> str:
    """A backfill of one day, to its end."""
    return bench.command("backfill", "scheduler.yaml", item, "--from", day(before), "--to", day(before - 1))


@pytest.fixture
def left(bench: "Bench", until: Callable[..., Any]) -> Callable[..., int]:
    """Has a backfill of an item's slot of three days ago killed in the middle; the pid of its run."""

    def kill(item: str = "daily", *, orphan: bool) -> int:
        process = bench.start("backfill", "scheduler.yaml", item, "--from", day(3), "--to", day(2))
        begun = bench.folder / "begun"
        until(begun.exists)
        query = "SELECT pid FROM slots WHERE item=? AND status='RUNNING' AND pid IS NOT NULL"
        (pid,) = until(lambda: bench.rows(query, item))[0]
        assert isinstance(pid, int)
        process.kill()
        process.wait()
        if not orphan:
            os.killpg(pid, signal.SIGKILL)
            until(lambda: not os.path.exists(f"/proc/{pid}"))  # noqa: PTH110
        return pid

    return kill


def slow_schedule(bench: "Bench", **top: Any) -> None:
    """The slot of three days ago takes until the file `go` is there; others take no time."""
    wait = f'case "$1" in {day(3)}*) touch begun; while ! test -e go; do sleep 0.05; done;; esac; echo "$1" >> ran'
    bench.flow(["sh", "-c", wait, "sh", "{{run.slot}}"])
    flow = bench.folder / "flow.yaml"
    flow.write_text(flow.read_text().replace('"inputs": {', f'"inputs": {{"cwd": "{bench.folder}", '))
    items = [{"id": name, "cron": "0 0 * * *", "misfire": "last"} for name in ("daily", "other")]
    bench.schedule_of(*items, **top)


def test_a_backfill_does_not_wait_for_what_a_killed_one_left(bench: "Bench", left: Callable[..., int]) -> None:
    slow_schedule(bench)
    left(orphan=False)
    assert "1 of 1 slots have run" in fill(bench, "daily", 1)
    assert "its scheduler ended without a word" in bench.errors
    assert bench.rows("SELECT status, reason FROM slots ORDER BY slot") == [
        ("INTERRUPTED", "its scheduler ended without a word"),
        ("SUCCESS", None),
    ]
    (bench.folder / "go").touch()
    bench.command("tick", "scheduler.yaml", "-q")  # and it is lost for nobody
    assert bench.rows("SELECT status FROM slots WHERE status<>'SUCCESS'") == []
    assert (bench.folder / "ran").read_text().count(day(3)) == 1


def later_backfill_waits(bench: "Bench", until: Callable[..., Any]) -> None:
    """Until the run of the earlier slot, which has the word `go` to wait for, has ended."""
    process = bench.start("backfill", "scheduler.yaml", "daily", "--from", day(1), "--to", day(0))
    until(lambda: "waits; overlap: the slot" in bench.told_so_far())
    assert bench.rows("SELECT status FROM slots ORDER BY slot") == [("RUNNING",), ("WAITING",)]
    (bench.folder / "go").touch()
    assert process.wait(60) == 0
    assert [line[:10] for line in (bench.folder / "ran").read_text().split()] == [day(3), day(1)]


def test_a_run_that_goes_on_without_its_process_is_waited_for(
    bench: "Bench", left: Callable[..., int], until: Callable[..., Any]
) -> None:
    slow_schedule(bench)
    left(orphan=True)
    later_backfill_waits(bench, until)


@pytest.mark.parametrize("kind", ["room", "by hand", "trigger"])
def test_nothing_else_waits_for_it_either(bench: "Bench", left: Callable[..., int], kind: str) -> None:
    slow_schedule(bench, max_running=1)
    left(orphan=False)
    if kind == "room":
        assert "1 of 1 slots have run" in fill(bench, "other", 1)
    elif kind == "by hand":
        assert "SUCCESS" in bench.command("run-item", "scheduler.yaml", "daily")
    else:
        assert "SUCCESS" in bench.command("run-item", "scheduler.yaml", "other", "--trigger", "cron")


def test_a_slot_that_waits_for_nobody_holds_no_one_up(bench: "Bench", until: Callable[..., Any]) -> None:
    """Its retry was due in an hour when its process was killed; the slots after it are asked for by hand."""
    bench.flow(["false"])
    retry = {"max_attempts": 3, "backoff_seconds": 3600}
    bench.schedule_of({"id": "daily", "cron": "0 0 * * *", "retry": retry})
    process = bench.start("backfill", "scheduler.yaml", "daily", "--from", day(3), "--to", day(2))
    until(lambda: bench.rows("SELECT 1 FROM slots WHERE status='WAITING' AND attempts=1"))
    process.kill()
    process.wait()
    bench.flow(["true"])
    assert "1 of 1 slots have run" in fill(bench, "daily", 1)
    assert bench.rows("SELECT status FROM slots ORDER BY slot") == [("WAITING",), ("SUCCESS",)]


def test_an_audit_finds_it_also_where_no_slot_was_expected(bench: "Bench", left: Callable[..., int]) -> None:
    slow_schedule(bench)
    bench.command("tick", "scheduler.yaml", "-q")
    assert bench.command("audit", "scheduler.yaml") == "no gap in 0 expected slots\n"
    left(orphan=False)
    shown = bench.command("audit", "scheduler.yaml", code=1)
    assert "RUNNING, and the process that had it has ended" in shown
    assert "1 gaps in 0 expected slots" in shown
    (gap,) = json.loads(bench.command("audit", "scheduler.yaml", "--from", day(3), "--json", code=1))["gaps"]
    assert (gap["item"], gap["slot"][:10]) == ("daily", day(3))
    assert bench.command("audit", "scheduler.yaml", "--from", day(2)) == "no gap in 0 expected slots\n"
    (bench.folder / "go").touch()
    bench.command("tick", "scheduler.yaml", "-q")
    assert bench.command("audit", "scheduler.yaml") == "no gap in 0 expected slots\n"


def killed_at(bench: "Bench", point: str, nth: int, *arguments: str) -> None:
    """Run a command that is killed when it passes a failpoint; which one that is, a rehearsal on a new ledger tells."""

    def forget() -> None:
        for path in bench.folder.glob("ledger.sqlite*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    forget()
    points, go = bench.folder / "points", bench.folder / "go"
    go.touch()
    bench.command(
        *arguments, AETHERFLOW_TESTS_FAILPOINT=f"log:{points}", AETHERFLOW_STATE_ROOT=f"{bench.folder}/rehearsal"
    )
    found = [number for number, name in enumerate(points.read_text().splitlines(), 1) if name.startswith(point)]
    forget()
    for path in (go, bench.folder / "begun", bench.folder / "ran"):
        path.unlink(missing_ok=True)
    bench.command(*arguments, code=-signal.SIGKILL, AETHERFLOW_TESTS_FAILPOINT=f"{found[nth - 1]}:kill")


def test_a_run_whose_process_nobody_wrote_down_is_waited_for(bench: "Bench", until: Callable[..., Any]) -> None:
    slow_schedule(bench)
    killed_at(bench, "begin slot processes", 1, "backfill", "scheduler.yaml", "daily", "--from", day(3), "--to", day(2))
    until((bench.folder / "begun").exists)
    assert bench.rows("SELECT status, pid FROM slots") == [("RUNNING", None)]
    later_backfill_waits(bench, until)
    assert bench.rows("SELECT status FROM slots ORDER BY slot") == [("INTERRUPTED",), ("SUCCESS",)]
    bench.command("tick", "scheduler.yaml", "-q")
    assert (bench.folder / "ran").read_text().count(day(3)) == 1, "its run had ended well"


def test_the_process_of_a_run_is_written_down_before_the_next_run_starts(bench: "Bench") -> None:
    bench.flow(["true"])
    bench.schedule_of(*({"id": f"i{n}", "cron": "0 0 * * *", "since": day(0), "misfire": "last"} for n in range(3)))
    killed_at(bench, "spawn ", 3, "tick", "scheduler.yaml", "-q")
    rows = bench.rows("SELECT status, pid IS NOT NULL, birth IS NOT NULL FROM slots ORDER BY item")
    assert rows == [("RUNNING", 1, 1), ("RUNNING", 1, 1), ("RUNNING", 0, 0)]
    bench.command("tick", "scheduler.yaml", "-q")
    assert bench.rows("SELECT DISTINCT status FROM slots") == [("SUCCESS",)]
