"""The retention as its page types it, in a crontab, on a state and a ledger of 400 days."""

import contextlib
import dataclasses
import re
import sqlite3
import sys
import time
from pathlib import Path

from docs_pages import ROOT, Sandbox, blocks
from services import faketime
from warm import shims

PAGE = ROOT / "docs/how-to/history.md"
DAY = 86_400_000
DAYS = (401, 399, 40, 1)
FLOW = """\
version: 1
flow: {id: nightly}
jobs: [{id: main, steps: [{id: say, type: external.process, inputs: {command: ["true"]}}]}]
"""
SCHEDULE = """\
timezone: UTC
state: ledger.sqlite
items: [{id: a, cron: "0 12 * * *", flow: nightly.yaml}]
"""


def weekly() -> str:
    """The command of the crontab that the page shows."""
    (line,) = re.findall(r"^0 5 \* \* 0  (.*)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return str(line)


def slots_aged(folder: Path) -> None:
    """Let as many slots be of those days."""
    now = time.time_ns() // 1_000_000
    with contextlib.closing(sqlite3.connect(folder / "ledger.sqlite")) as db, db:
        db.execute("DELETE FROM slots")
        for days in DAYS:
            at = now - days * DAY
            db.execute(
                "INSERT INTO slots (item, slot, status, run_id, trigger, host, claimed_at, started_at, finished_at)"
                " VALUES ('a', ?, 'SUCCESS', ?, 'schedule', 'here', ?, ?, ?)",
                (at, f"a-{days}", at, at, at + 1000),
            )


def left(folder: Path) -> tuple[set[str], set[str], set[str]]:
    """The days of which there are a run, the log of a run, a slot."""
    found = []
    for name, query in (
        ("state/nightly.sqlite", "SELECT substr(run_id, 2) FROM runs"),
        ("ledger.sqlite", "SELECT substr(run_id, 3) FROM slots"),
    ):
        with contextlib.closing(sqlite3.connect(folder / name)) as db:
            found.append({str(row[0]) for row in db.execute(query)})
    logs = {path.stem[1:] for path in (folder / "state/nightly.sqlite.d/logs/nightly").glob("*.jsonl")}
    return found[0], logs, found[1]


def test_the_line_of_the_crontab_keeps_what_the_page_says(tmp_path: Path) -> None:
    sandbox = Sandbox(tmp_path, programs=shims(), instead={"/srv/flows": str(tmp_path)})
    project = next(block.text for block in blocks(PAGE) if block.file == "aetherflow.yaml")
    for name, text in {"aetherflow.yaml": project, "nightly.yaml": FLOW, "scheduler.yaml": SCHEDULE}.items():
        sandbox.write(name, text)
    (policy,) = [
        command for block in blocks(PAGE, "console") for command, _ in block.commands if command.startswith("echo 'ret")
    ]
    # the chain of a run would show that somebody had set back its rows: the days are those of its clock
    clock = " ".join(f"{name}={value}" for name, value in faketime().items())
    began = f"{clock} NO_FAKE_STAT=1 aetherflow run nightly.yaml"
    runs = [f"FAKETIME=-{days}d {began} --run-id d{days} -q" for days in DAYS]
    started = dataclasses.replace(sandbox, programs=Path(sys.executable).parent)
    assert sandbox.run(policy) == (0, "")
    assert [started.run(command) for command in runs] == [(0, "")] * len(runs)
    assert sandbox.run("aetherflow-scheduler tick scheduler.yaml -q") == (0, "")
    slots_aged(tmp_path)
    every = {str(days) for days in DAYS}
    assert left(tmp_path) == (every, every, every)
    assert sandbox.run(weekly()) == (0, "")
    assert left(tmp_path) == ({"40", "1"}, {"1"}, every - {"401"})
    assert sandbox.run(weekly()) == (0, "")
    assert sandbox.run("aetherflow state check nightly.yaml --read-data")[0] == 0
