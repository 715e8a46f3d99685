"""K4: Debian's cron runs an exported crontab; the ledger accounts for every minute of it."""

import contextlib
import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

import warm
from cron_daemon import clock_before_a_minute, cron_daemon
from torture_tier import sized, suite
from warm import true_start

pytestmark = pytest.mark.slow

MINUTES = sized(1, 3)
ITEMS = """\
version: 1
timezone: {zone}
state: ledger.sqlite
items:
  - {{id: here, cron: "* * * * *", flow: flow.yaml}}
  - {{id: follows, after: here, flow: flow.yaml}}
  - {{id: fails, cron: "*/1 * * * *", flow: fails.yaml}}
  - {{id: elsewhere, cron: "* * * * *", timezone: {other}, flow: flow.yaml, since: "{since}"}}
"""
FLOW = """\
version: 1
flow: {{id: {id}}}
jobs: [{{id: j, steps: [{{id: s, type: external.process, inputs: {{command: [{command}]}}}}]}}]
"""


@pytest.mark.parametrize("system", [True, False], ids=["cron.d", "crontab"])
def test_debians_cron_runs_an_exported_crontab(tmp_path: Path, system: bool) -> None:
    env = {name: value for name, value in os.environ.items() if not name.startswith("AETHERFLOW_")}
    env |= {"AETHERFLOW_STATE_ROOT": str(tmp_path / "state"), "AETHERFLOW_WORK_ROOT": str(tmp_path / "work")}
    effects = tmp_path / "effects"
    write = f"sh, -c, 'echo $AETHERFLOW_RUN_ID >> {effects}'"
    (tmp_path / "flow.yaml").write_text(FLOW.format(id="f", command=write))
    (tmp_path / "fails.yaml").write_text(FLOW.format(id="g", command="'false'"))
    zone = exported_zone(tmp_path, env)
    since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    other = "Asia/Kolkata" if zone != "Asia/Kolkata" else "Asia/Tokyo"
    (tmp_path / "scheduler.yaml").write_text(ITEMS.format(zone=zone, other=other, since=since))
    account = ["--user", "root"] if system else []
    table = command(tmp_path, env, "export", "crontab", "scheduler.yaml", *account).stdout
    with suite(f"K4 {'cron.d' if system else 'crontab'}", 12) as counted:
        clock = clock_before_a_minute(8)
        with cron_daemon(table, system=system, clock=clock) as cron:
            wanted = MINUTES * 4
            deadline = time.monotonic() + 60 * MINUTES + 60
            while (ended := ended_slots(tmp_path)) < wanted and time.monotonic() < deadline:
                time.sleep(0.2)
            log = cron.log()
        with counted.case("cron has started every line"):
            assert ended >= wanted, (ended, log)
        done = command(tmp_path, env | clock, "audit", "scheduler.yaml", "--fail-on", "none", "--json", code=None)
        with counted.case("audit"):
            assert done.returncode == 0, done.stdout
        report = json.loads(done.stdout)
        for status in ("SUCCESS", "FAILED"):
            for number in range(report["counts"].get(status, 0)):
                with counted.case(f"{status} {number}"):
                    assert report["gaps"] == []
        with counted.case("no slot ran twice"):
            lines = effects.read_text().splitlines()
            assert len(lines) == len(set(lines)) >= MINUTES * 3, lines


def exported_zone(folder: Path, env: Mapping[str, str]) -> str:
    """The zone of this machine, as the export has it."""
    (folder / "scheduler.yaml").write_text(
        'version: 1\ntimezone: UTC\nitems: [{id: a, cron: "* * * * *", flow: flow.yaml}]\n'
    )
    text = command(folder, env, "export", "crontab", "scheduler.yaml").stdout
    return text.splitlines()[0].rpartition("times in ")[2].rstrip(".")


def ended_slots(folder: Path) -> int:
    query = "SELECT count(*) FROM slots WHERE status IN ('SUCCESS', 'FAILED')"
    try:
        with contextlib.closing(sqlite3.connect(f"file:{folder}/ledger.sqlite?mode=ro", uri=True)) as db:
            return int(db.execute(query).fetchone()[0])
    except sqlite3.OperationalError:  # not there yet
        return 0


def command(
    folder: Path, env: Mapping[str, str], *arguments: str, code: int | None = 0
) -> "subprocess.CompletedProcess[str]":
    argv = [sys.executable, "-m", "aetherflow.scheduler", *arguments]
    run = true_start("under a clock of its own, which is preloaded").run if "LD_PRELOAD" in env else warm.run
    done = run(argv, cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=120)
    assert code is None or done.returncode == code, done.stderr
    return done
