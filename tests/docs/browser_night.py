"""Real pages to open: of runs, of the status, of a schedule whose night is put where a night is."""

import contextlib
import datetime as dt
import sqlite3
from pathlib import Path
from typing import NamedTuple

from core_project import Project
from docs_pages import HOME

HOSTILE = """\
version: 1
flow: {id: hostile, owner: "<script>alert(1)</script>", workspace: {root: work}}
jobs:
  - id: say
    steps:
      - id: s
        type: external.process
        for_each: ["</pre><img src=x onerror=alert(1)>", '"onmouseover="alert(1)', "\\u202etxt.exe", "{{env.LONG}}"]
        inputs: {command: [printf, '%s\\n%b', "{{item}}", '\\033[31m\\001\\377']}
  - {id: no, steps: [{id: s, type: fail, inputs: {message: "</script><script>alert(1)</script>"}}]}
"""
ORDERS = """\
version: 1
flow:
  id: orders
  description: Orders of the shop, every night
  owner: data team
  runbook_url: https://wiki.example.com/orders
  workspace: {root: work, cleanup_policy: never}
  params:
    city: {default: Bonn}
resources:
  shop: {kind: db, driver: sqlite3, config: {path: "{{env.SHOP:shop.db}}"}}
jobs:
  - id: fetch
    steps:
      - id: orders
        type: file_write
        inputs: {path: orders.csv, content: "id,amount\\n1,10.5\\n2,20\\n3,4.5\\n"}
        outputs: {file: "{{result.path}}"}
      - id: look
        type: external.process
        inputs: {command: [sh, -c, "echo reading orders of $0; sleep 0.3; echo 3 orders", "{{params.city}}"]}
  - id: load
    depends_on: [fetch]
    steps:
      - id: table
        type: db_execute
        inputs: {resource: shop, sql: "CREATE TABLE IF NOT EXISTS orders (id INTEGER PRIMARY KEY, amount REAL)"}
      - id: orders
        type: db_load
        inputs: {resource: shop, path: "{{jobs.fetch.outputs.file}}", table: orders, mode: truncate}
      - id: verify
        type: external.process
        retry: {max_attempts: 3, backoff_seconds: 0.1}
        inputs: {command: [sh, -c, "echo counting; sleep 0.2; echo sum 35.0, expected 36.5; exit $0", "{{env.CODE:0}}"]}
  - {id: report, depends_on: [load], steps: [{id: write, type: external.process, inputs: {command: [echo, done]}}]}
  - id: archive
    when: params.city == 'Kiel'
    steps: [{id: keep, type: external.process, inputs: {command: [echo, kept]}}]
"""
SCHEDULE = """\
version: 1
timezone: Europe/Berlin
state: ledger.sqlite
items:
  - {id: stock, since: "DAY 00:00", cron: "30 1 * * *", command: ["true"], deadline: "05:00"}
  - {id: orders, since: "DAY 00:00", cron: "0 2 * * *", command: ["false"], deadline: "06:00"}
  - id: prices
    since: "DAY 00:00"
    cron: "15 2 * * 1-5"
    command: ["true"]
    calendar: {business_days: true, holidays: [YEAR-01-01, YEAR-05-01, YEAR-10-03, YEAR-12-25, YEAR-12-26]}
  - {id: invoices, since: "DAY 00:00", cron: "0 3 * * *", command: ["true"], deadline: "04:30"}
  - {id: clean, since: "DAY 00:00", cron: "0 */3 * * *", command: ["true"]}
  - {id: report, since: "DAY 00:00", cron: "0 5 * * *", after: [stock, orders], command: ["true"], deadline: "07:00"}
"""
TOOK = {"stock": 55, "orders": 80, "prices": 25, "invoices": 100, "clean": 10}
"""Minutes that a run of an item is made to have taken."""


class Pages(NamedTuple):
    """The files to open."""

    failed: Path
    well: Path
    hostile: Path
    status: Path
    schedule: Path
    flow: Path


def make_pages(project: Project) -> Pages:
    """Run flows and a schedule, and write their pages."""
    folder = project.folder
    project.write(ORDERS, "orders.yaml")
    for number, code in enumerate([0, 0, 0, 3, 0, 0, 0]):
        project.command("run", "orders.yaml", "-q", "--run-id", f"2026-11-{20 + number}", env={"CODE": str(code)})
    failed = ("run", "orders.yaml", "-q", "--run-id", "2026-11-27", "--param", "city=Köln")
    assert project.command(*failed, env={"CODE": "3"}).code == 1
    for name in ("stock", "prices", "customers"):
        project.write(ORDERS.replace("id: orders\n", f"id: {name}\n"), f"{name}.yaml")
        for number in range(5):
            assert project.command("run", f"{name}.yaml", "-q", "--run-id", f"{name}-{number}").code == 0
    project.write(HOSTILE, "hostile.yaml")
    assert project.command("run", "hostile.yaml", "-q", "--run-id", "h", env={"LONG": "x" * 100_000}).code == 1
    for arguments in (
        ("runs", "show", "2026-11-27", "--html", "failed.html"),
        ("runs", "show", "2026-11-26", "--html", "well.html"),
        ("runs", "show", "h", "--html", "hostile.html"),
        ("status", "--html", "status.html"),
        ("graph", "orders.yaml", "--format", "svg", "-o", "flow.svg"),
    ):
        done = project.command(*arguments)
        assert done.code == 0, done.err
    _night(project)
    pages = Pages(*(folder / name for name in (
        "failed.html", "well.html", "hostile.html", "status.html", "schedule.html", "flow.svg"
    )))  # fmt: skip
    for page in pages:  # the docs show pictures of them
        page.write_text(page.read_text(encoding="utf-8").replace(str(folder), HOME), encoding="utf-8")
    return pages


def _night(project: Project) -> None:
    """The slots of the last night, run now and then moved to where they should have been."""
    now = dt.datetime.now(dt.UTC).replace(hour=20, minute=40)  # an evening, so that the next night is to come
    now -= dt.timedelta(days=now > dt.datetime.now(dt.UTC))
    text = SCHEDULE.replace("DAY", f"{now - dt.timedelta(days=1):%Y-%m-%d}").replace("YEAR", str(now.year))
    project.write(text, "scheduler.yaml")

    def run(*words: str) -> None:
        used = "import datetime; from aetherflow.scheduler.time.clock import Clock"
        code = f"{used}; from aetherflow.scheduler.cli.app import main; Clock.now = lambda _: {now!r}"
        project.python(f"{code}; main({list(words)!r})")

    run("tick", "scheduler.yaml")
    ledger = project.folder / "ledger.sqlite"
    with contextlib.closing(sqlite3.connect(ledger)) as db:
        slots = db.execute("SELECT item, slot FROM slots WHERE status='MISSED' ORDER BY slot").fetchall()
    day = int((now - dt.timedelta(hours=22)).timestamp() * 1000)
    for item, slot in slots:
        if item in TOOK and slot > day:
            at = dt.datetime.fromtimestamp(slot / 1000, dt.UTC).strftime("%Y-%m-%dT%H:%MZ")
            run("run-item", "scheduler.yaml", item, "--slot", at)
    with contextlib.closing(sqlite3.connect(ledger)) as db, db:
        for item, minutes in TOOK.items():
            began, ended = f"slot + {minutes * 3000}", f"slot + {minutes * 63000}"
            at = f"started_at={began}, finished_at={ended}"
            db.execute(f"UPDATE slots SET {at}, trigger='scheduler' WHERE item=? AND attempts>0", (item,))
            db.execute(f"UPDATE attempts SET {at} WHERE item=?", (item,))
    run("status", "scheduler.yaml", "--html", "schedule.html")
