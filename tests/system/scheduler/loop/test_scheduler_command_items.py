"""Items that run a command: real processes of it, with history, slot, lock, limit, and a scheduler that is killed."""

import datetime as dt
import json
import shlex
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import warm

if TYPE_CHECKING:
    from scheduler_bench import Bench

Until = Callable[..., Any]
SLOT = ("--slot", "2026-11-24T02:00Z")


def history(bench: "Bench", item: str, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(bench.folder / f"state/{item}.sqlite")) as db:
        return db.execute(sql).fetchall()


def document(bench: "Bench", *items: dict[str, Any], **top: Any) -> None:
    text = {
        "timezone": "UTC",
        "state": "ledger.sqlite",
        **top,
        "items": [{"cron": "0 2 * * *", **each} for each in items],
    }
    bench.write(json.dumps(text))


def lines(bench: "Bench", name: str = "out") -> list[str]:
    path = bench.folder / name
    return path.read_text().splitlines() if path.exists() else []


def test_a_command_that_fails_goes_on_under_its_slot(bench: "Bench") -> None:
    bench.write('#!/bin/sh\necho "$AETHERFLOW_SLOT $1" >> out\ntest -e ok || { echo no disk >&2; exit 7; }\n', "go.sh")
    (bench.folder / "go.sh").chmod(0o755)
    bench.write("FROM_FILE=there\n", "job.env")
    bench.write("env_files: [{type: dotenv, path: job.env}]\n", "aetherflow.yaml")
    document(
        bench, {"id": "backup", "command": ["./go.sh", "{{a}} b"]}, {"id": "env", "command": ["printenv", "FROM_FILE"]}
    )
    assert "OK" in bench.command("validate", "scheduler.yaml")
    assert "FAILED, wrap.command: exit code 7: no disk" in bench.command(
        "run-item", "scheduler.yaml", "backup", *SLOT, code=1
    )
    told = bench.command("status", "scheduler.yaml", code=1)
    again = f"run-item {bench.file} backup --slot 2026-11-24T02:00:00Z"
    assert f"  next: aetherflow-scheduler {again}\n" in told + "\n"
    bench.write("", "ok")
    assert "SUCCESS" in bench.command(*again.split())
    assert lines(bench) == ["2026-11-24T02:00:00Z {{a}} b"] * 2
    assert history(bench, "backup", "SELECT run_id, trigger, slot, status FROM runs") == [
        ("backup-20261124T020000Z", "manual", "2026-11-24T02:00:00Z", "SUCCESS")
    ]
    assert "ended before with SUCCESS" in bench.command(*again.split())
    bench.command("run-item", "scheduler.yaml", "env", *SLOT)
    bench.command("status", "scheduler.yaml")


def test_what_a_person_types_for_its_run_heals_the_slot(bench: "Bench") -> None:
    """Also where the ledger does not know where the run is recorded: its process was killed before it said so."""
    document(bench, {"id": "job", "command": ["test", "-e", "ok"]})
    bench.command("run-item", "scheduler.yaml", "job", *SLOT, code=1)
    bench.write("", "ok")
    with bench.ledger() as ledger, ledger.transaction("as a kill leaves it"):
        ledger.db.execute("UPDATE slots SET flow_id=NULL, state_path=NULL")
    core = [sys.executable, "-m", "aetherflow.core"]
    options: dict[str, Any] = {"cwd": bench.folder, "env": bench.env(), "capture_output": True, "text": True}
    shown = json.loads(warm.run([*core, "status", "--json"], check=False, **options).stdout)
    (need,) = shown["needs_person"]
    again = f"aetherflow-scheduler run-item {bench.file} job --slot 2026-11-24T02:00:00Z"
    assert (need["name"], need["commands"]) == ("job", [again])
    text = warm.run([*core, "runs", "show", need["run_id"]], check=False, **options).stdout
    assert "\ncommand  test -e ok\n" in text, "that of the document, not what the scheduler makes of it"
    assert text.endswith(f"\nnext: {again}\n")
    ((typed,),) = history(bench, "job", "SELECT command FROM runs")
    assert warm.run([*core, *shlex.split(typed)[1:]], check=False, **options).returncode == 0
    assert "need" not in bench.command("status", "scheduler.yaml")
    assert "ended before with SUCCESS" in bench.command("run-item", "scheduler.yaml", "job", *SLOT)


def test_a_backfill_gives_each_slot_to_the_command(bench: "Bench") -> None:
    document(bench, {"id": "load", "command": ["sh", "-c", "echo $AETHERFLOW_SLOT >> out"]})
    bench.command("backfill", "scheduler.yaml", "load", "--from", "2026-11-23", "--to", "2026-11-26")
    assert lines(bench) == [f"2026-11-{day}T02:00:00Z" for day in (23, 24, 25)]


def test_two_commands_with_one_lock_run_one_after_the_other(bench: "Bench", until: Until) -> None:
    script = "echo $0 on >> out; until test -e go; do sleep 0.05; done; echo $0 off >> out"
    document(
        bench,
        *({"id": name, "lock": "disk", "command": ["sh", "-c", script, name]} for name in "ab"),
    )
    one, two = (bench.start("run-item", "scheduler.yaml", name) for name in "ab")
    until(lambda: len(lines(bench)) == 1)
    until(lambda: bench.rows("SELECT count(*) FROM slots WHERE status='RUNNING'") == [(2,)])
    bench.write("", "go")
    assert (one.wait(60), two.wait(60)) == (0, 0)
    first, *_ = lines(bench)
    names = [first[0], "b" if first[0] == "a" else "a"]
    assert lines(bench) == [f"{name} {what}" for name in names for what in ("on", "off")]


def test_at_its_limit_nothing_of_it_is_left(bench: "Bench", until: Until) -> None:
    script = "echo $$ >> out; (trap '' TERM; echo $BASHPID >> out; sleep 300) & wait"
    item = {"id": "slow", "command": ["bash", "-c", script], "timeout_seconds": 2}
    document(bench, item)
    told = bench.command("run-item", "scheduler.yaml", "slow", *SLOT, code=None, AETHERFLOW_STOP_GRACE_SECONDS="1")
    assert "FAILED, timeout: it ran for more than 2 s" in told
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in lines(bench)))
    assert len(lines(bench)) == 2


def test_a_scheduler_that_is_killed_leaves_no_second_run(bench: "Bench", until: Until) -> None:
    """The next one starts the same run: it waits for the process that goes on, and finds that it was done."""
    script = "echo on >> out; until test -e go; do sleep 0.05; done; echo off >> out"
    document(
        bench,
        {"id": "job", "command": ["sh", "-c", script]},
    )
    one = bench.start("run-item", "scheduler.yaml", "job", *SLOT)
    until(lambda: lines(bench) == ["on"])
    bench.stop(one, 9)
    two = bench.start("run-item", "scheduler.yaml", "job", *SLOT)
    until(lambda: bench.rows("SELECT count(*) FROM attempts") == [(2,)])
    bench.write("", "go")
    assert two.wait(60) == 0
    assert lines(bench).count("off") == lines(bench).count("on")
    assert bench.rows("SELECT DISTINCT status FROM slots WHERE attempts>0") == [("SUCCESS",)]


def test_a_pass_starts_what_follows_when_all_have_ended(bench: "Bench") -> None:
    """One of two fails: what wants success is SKIPPED and says why, what wants any end runs after the slower one."""
    yesterday = (dt.datetime.now(dt.UTC) - dt.timedelta(days=1)).date().isoformat()
    usual = {"since": yesterday, "misfire": "last", "misfire_grace_time": 10**6}
    items = [
        {"id": "bad", "cron": "0 0 * * *", "command": ["sh", "-c", "touch ended; exit 1"]},
        {
            "id": "slow",
            "cron": "0 0 * * *",
            "command": ["sh", "-c", "until test -e ended; do sleep 0.02; done; echo slow >> out"],
        },
        {"id": "strict", "after": ["bad", "slow"], "command": ["sh", "-c", "echo strict >> out"]},
        {"id": "any", "after": ["bad", "slow"], "after_status": "any", "command": ["sh", "-c", "echo any >> out"]},
    ]
    bench.write(json.dumps({"timezone": "UTC", "state": "ledger.sqlite", "defaults": usual, "items": items}))
    bench.command("tick", "scheduler.yaml", "--wait", "-q", code=1)
    assert lines(bench) == ["slow", "any"]
    last = "SELECT item, status, reason FROM slots WHERE slot=(SELECT max(slot) FROM slots) ORDER BY item"
    assert bench.rows(last) == [
        ("any", "SUCCESS", None),
        ("bad", "FAILED", "wrap.command: exit code 1"),
        ("slow", "SUCCESS", None),
        ("strict", "SKIPPED", "after bad: FAILED"),
    ]
    assert "holds up strict" in bench.command("status", "scheduler.yaml", code=1)
