"""Makes `tests/data/1.0.0` and `a88dc872`: what a machine with an older AetherFlow leaves behind, by its own code.

It is kept to show how the data was made; later versions only read the data. Commit 9d6e775 made 1.0.0; a88dc872 was the
last one that kept the engine's files beside the states. Paths, host and user name stand in the data, so the code is
laid out below a fixed folder, and the host name is set in a namespace of its own:

    mkdir -p /tmp/aetherflow-1.0.0/code && git archive 9d6e775 | tar x -C /tmp/aetherflow-1.0.0/code
    make -C /tmp/aetherflow-1.0.0/code .venv/.installed
    unshare --user --map-root-user --uts sh -c 'hostname data && python3 tests/data/make_old.py tests/data/1.0.0'

The documents of 1.0.0 and `documents` in the given folder are read; everything beside it is written again. Takes about
a minute.
"""

import contextlib
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

OUTPUT = Path(sys.argv[1]).absolute()
ROOT = Path(f"/tmp/aetherflow-{OUTPUT.name}")
BIN = ROOT / "code" / ".venv" / "bin"
PROJECT, EFFECTS, STATES = ROOT / "documents", ROOT / "effects", ROOT / "home/.local/state/aetherflow/state"
KEPT = ("home", "working", "effects", "ledger", "release")
"""Folders of ROOT that are collected, beside the documents."""
ENV = {
    "HOME": str(ROOT / "home"),
    "USER": "operator",
    "LOGNAME": "operator",
    "PATH": f"{BIN}:/usr/bin:/bin",
    "LANG": "C.UTF-8",
    "TZ": "UTC",
    "EFFECTS": str(EFFECTS),
    "API_TOKEN": "token-of-the-test-data",
    "AETHERFLOW_WORK_ROOT": str(ROOT / "working"),
    "AETHERFLOW_STOP_GRACE_SECONDS": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
}


def start(*command: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([BIN / command[0], *command[1:]], cwd=PROJECT, env=ENV, start_new_session=True)


def call(code: int, *command: str) -> None:
    found = start(*command).wait()
    if found != code:
        raise SystemExit(f"{' '.join(command)}: exit code {found}, expected {code}")


def run(code: int, flow: str, run_id: str, *more: str) -> None:
    call(code, "aetherflow", "run", f"{flow}.yaml", "--run-id", run_id, "-q", *more)


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 60
    while not path.exists():
        if time.monotonic() > deadline:
            raise SystemExit(f"waited in vain for {path}")
        time.sleep(0.05)


@contextlib.contextmanager
def hanging(flow: str, *command: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A command whose flow has come to the step that hangs; what it leaves behind is ended."""
    mark = EFFECTS / f"{flow}.hangs"
    mark.unlink(missing_ok=True)
    process = start(*command)
    wait_for(mark)
    yield process
    process.wait()
    end_left()


def end_left() -> None:
    """End what still works for this data: the runs of a scheduler that was killed, and their steps."""
    own = f"EFFECTS={EFFECTS}".encode()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                if own in (entry / "environ").read_bytes().split(b"\0"):
                    os.kill(int(entry.name), signal.SIGKILL)


def run_and(number: signal.Signals, flow: str, run_id: str, *more: str) -> None:
    with hanging(flow, "aetherflow", "run", f"{flow}.yaml", "--run-id", run_id, "-q", *more) as process:
        os.kill(process.pid, number)


def child_of(pid: int) -> int:
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(found[0])


# Runs


def make_runs() -> None:
    run(0, "good", "good-1", "--param", "city=007", "--slot", "2026-11-26T06:00:00Z")
    run(0, "good", "good-2", "--param", "limit=11", "--flow-job", "main")
    run(1, "failed", "failed-1")
    run_and(signal.SIGKILL, "killed", "killed-1")
    run_and(signal.SIGKILL, "checkpointed", "checkpointed-1")
    run_and(signal.SIGKILL, "payment", "payment-1")
    run(1, "payment", "payment-1")
    run_and(signal.SIGKILL, "asked", "asked-1")
    run_and(signal.SIGKILL, "items", "items-1")
    run(1, "retried", "retried-1")
    run(1, "retried", "retried-1")
    run_and(signal.SIGKILL, "locked", "locked-1")
    run(1, "parent", "parent-1")
    outbox = ROOT / "working/pickup/partner/outbox"
    outbox.mkdir(parents=True)
    (outbox / "a.csv").write_text("1\n")
    (outbox / "b.csv").write_text("2\n")
    run(1, "pickup", "pickup-1")
    shop = ROOT / "working/extract/shop.sqlite"
    shop.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.closing(sqlite3.connect(shop)) as db:
        db.execute("CREATE TABLE orders (id INTEGER, amount TEXT)")
        db.executemany("INSERT INTO orders VALUES (?, ?)", [(1, "1.10"), (2, "007")])
        db.commit()
    run(1, "extract", "extract-1")
    run(1, "large", "large-1")
    run(1, "scalars", "scalars-1")
    run(1, "secret", "secret-1")
    run(1, "retried", "retried-2", "--trigger", "manual")
    params = ("--param", "city=Oslo", "--param", "days=7")
    document = PROJECT / "stopped.yaml"
    text = document.read_text()
    document.write_text(text.replace('"before {{params.city}}"', '"{{params.city}}"').replace(", hang]", ", fail]"))
    run(1, "stopped", "stopped-1", *params)
    document.write_text(text)
    run_and(signal.SIGTERM, "stopped", "stopped-1", "--accept-changes", "--reason", "only the wording")


def make_bundles() -> None:
    shutil.copytree(PROJECT / "release-1", ROOT / "release")
    call(1, "aetherflow", "run", "-m", "bundle.yaml", "--run-id", "orders-1", "-q")
    (ROOT / "release/sql/orders.sql").write_text("select 2;\n")
    call(0, "aetherflow", "bundle", "sync", "-m", "bundle.yaml")
    call(1, "aetherflow", "run", "-m", "bundle.yaml", "--run-id", "orders-2", "-q")


def make_engine_files() -> None:
    """A start that was refused, a message that cannot be delivered, and a ledger at its default place."""
    call(2, "aetherflow", "run", "refused.yaml", "-q")
    run(1, "failed", "failed-2", "--config", "notifying.yaml")
    wait_for_row(STATES / "notify.sqlite", "SELECT 1 FROM messages WHERE tries > 0")
    call(0, "aetherflow-scheduler", "tick", "own-schedule.yaml")


# Slots


def make_slots() -> None:
    scheduler, document, older = "aetherflow-scheduler", "schedule.yaml", ("--slot", "2026-11-24T06:00:00Z")

    def tick(code: int, *items: str) -> None:
        named = (("--item", item) if item[0] != "-" else (item,) for item in items)
        call(code, scheduler, "tick", document, *(part for parts in named for part in parts))

    call(0, scheduler, "pause", document, "paused", "--reason", "migration")
    tick(1, "works", "breaks", "follows", "late", "all", "holiday", "blackout", "paused", "given")
    slot = "2026-11-23T06:00:00Z"
    call(0, scheduler, "run-item", document, "given", "--slot", slot, "--reason", "asked for")
    call(0, scheduler, "backfill", document, "works", "--from", "2026-11-21", "--to", "2026-11-23")
    with hanging("hangs", scheduler, "run-item", document, "overlaps", *older) as process:
        tick(0, "overlaps")
        os.kill(process.pid, signal.SIGTERM)
    with hanging("hangs", scheduler, "run-item", document, "replaced", *older) as process, second_ends(process):
        tick(1, "replaced", "--wait")
    call(143, scheduler, "run-item", document, "slow", *older)
    with hanging("pays", scheduler, "run-item", document, "pays", *older) as process:
        os.kill(child_of(process.pid), signal.SIGKILL)
    call(1, scheduler, "run-item", document, "pays", *older)
    with hanging("hangs", scheduler, "run-item", document, "outside", *older) as process:
        os.kill(child_of(process.pid), signal.SIGKILL)
    with hanging("hangs", scheduler, "run-item", document, "outside", "--slot", slot) as process:
        os.kill(child_of(process.pid), signal.SIGTERM)
    day = time.strftime("%Y-%m-%d", time.gmtime(time.time() - 6 * 3600))
    run(0, "works", f"before-{day.replace('-', '')}T060000Z", "--slot", f"{day}T06:00:00Z")
    tick(0, "before")
    retrying = start(scheduler, "tick", document, "--item", "retries")
    wait_for_status("retries", "WAITING")
    os.kill(retrying.pid, signal.SIGKILL)
    retrying.wait()
    with hanging("hangs", scheduler, "tick", document, "--item", "drained") as process:
        os.kill(process.pid, signal.SIGTERM)
    with hanging("hangs", scheduler, "run-item", document, "left", *older) as process:
        os.kill(process.pid, signal.SIGKILL)
    call(0, scheduler, "run-item", document, "works", "--slot", slot)
    killed = "killed-schedule.yaml"
    with hanging("hangs", scheduler, "run", killed) as process:
        time.sleep(1)
        os.kill(process.pid, signal.SIGKILL)


@contextlib.contextmanager
def second_ends(process: "subprocess.Popen[bytes]") -> Iterator[None]:
    """Let the run that takes the place of another come to its step, then end both."""
    mark = EFFECTS / "hangs.hangs"
    mark.unlink(missing_ok=True)

    def end() -> None:
        wait_for(mark)
        process.wait()
        end_steps()

    thread = threading.Thread(target=end)
    thread.start()
    yield
    thread.join()


def end_steps() -> None:
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            if (entry / "cmdline").read_bytes() == b"sleep\x00600\x00":
                os.kill(int(entry.name), signal.SIGKILL)


def wait_for_status(item: str, status: str) -> None:
    query = "SELECT 1 FROM slots WHERE item=? AND status=? AND reason IS NOT NULL"
    wait_for_row(ROOT / "ledger/scheduler.sqlite", query, item, status)


def wait_for_row(path: Path, query: str, *values: str) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with (
            contextlib.suppress(sqlite3.Error),
            contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db,
        ):
            if db.execute(query, values).fetchone():
                return
        time.sleep(0.1)
    raise SystemExit(f"waited in vain for {query} {values}")


# What is expected


def tables(path: Path) -> dict[str, list[dict[str, Any]]]:
    """All rows of a database, of its copy: the file itself is left as its process left it."""
    copy = ROOT / "copy"
    copy.mkdir(exist_ok=True)
    for suffix in ("", "-wal"):
        (copy / f"x{suffix}").unlink(missing_ok=True)
        if (found := path.with_name(path.name + suffix)).exists():
            shutil.copy(found, copy / f"x{suffix}")
    rows: dict[str, list[dict[str, Any]]] = {}
    with contextlib.closing(sqlite3.connect(copy / "x")) as db:
        db.row_factory = sqlite3.Row
        names = [row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type='table' ORDER BY name")]
        for name in names:
            if not name.startswith("sqlite_"):
                rows[name] = [dict(row) for row in db.execute(f"SELECT * FROM {name}")]
        rows["user_version"] = [dict(db.execute("PRAGMA user_version").fetchone())]
    shutil.rmtree(copy)
    return rows


def as_text(expected: dict[str, dict[str, list[dict[str, Any]]]]) -> str:
    """JSON with a line for each row."""
    files = []
    for file, found in expected.items():
        parts = []
        for table, rows in found.items():
            lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
            parts.append(f"{json.dumps(table)}: [\n{lines}\n]" if rows else f"{json.dumps(table)}: []")
        files.append(f"{json.dumps(file)}: {{\n" + ",\n".join(parts) + "\n}")
    return "{\n" + ",\n".join(files) + "\n}\n"


def main() -> None:
    if socket.gethostname() != "data":
        raise SystemExit("run it as its docstring says: the host is not called `data`")
    for name in ("documents", *KEPT):
        shutil.rmtree(ROOT / name, ignore_errors=True)
    for folder in (OUTPUT.with_name("1.0.0"), OUTPUT):
        shutil.copytree(folder / "documents", PROJECT, dirs_exist_ok=True)
    (ROOT / "home").mkdir()
    try:
        make_runs()
        make_bundles()
        make_slots()
        if (PROJECT / "notifying.yaml").exists():
            make_engine_files()
    finally:
        end_left()
    for name in ("checkpointed", "asked", "items", "locked", "hangs"):  # others keep their -wal
        with contextlib.closing(sqlite3.connect(STATES / f"{name}.sqlite")) as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    databases = [path for name in ("home", "ledger") for path in sorted((ROOT / name).rglob("*.sqlite"))]
    expected = {str(path.relative_to(ROOT)): tables(path) for path in databases}
    for name in KEPT:
        shutil.rmtree(OUTPUT / name, ignore_errors=True)
        ignored = shutil.ignore_patterns("*-shm", "__pycache__")
        shutil.copytree(ROOT / name, OUTPUT / name, symlinks=True, ignore=ignored)
    (OUTPUT / "expected.json").write_text(as_text(expected), encoding="utf-8")


if __name__ == "__main__":
    main()
