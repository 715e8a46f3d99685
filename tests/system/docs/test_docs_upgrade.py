"""The upgrade as the page types it, over what 1.0.0 left behind: nothing is lost, and the copies lead back."""

import contextlib
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from docs_pages import ROOT, Sandbox, blocks
from old_data import OldData, unpack
from warm import shims

PAGE = ROOT / "docs/how-to/upgrade.md"


@pytest.fixture
def data(tmp_path: Path) -> Iterator[OldData]:
    memory = Path("/dev/shm")
    usable = memory.is_dir() and os.access(memory, os.W_OK)
    folder = Path(tempfile.mkdtemp(dir=memory if usable else tmp_path))
    yield unpack(folder)
    shutil.rmtree(folder)


def schema(path: Path) -> int:
    with contextlib.closing(sqlite3.connect(path)) as db:
        return int(db.execute("PRAGMA user_version").fetchone()[0])


def test_the_commands_of_the_page_upgrade_what_1_0_0_left(data: OldData) -> None:
    first, *others = blocks(PAGE, "console")
    assert first.commands[0][0] == "aetherflow run good.yaml -q"  # here 1.0.0 has run it
    sandbox = Sandbox(data.documents, data.env, programs=shims())
    told = {}
    for command in [command for block in others for command, _ in block.commands]:
        code, told[command] = sandbox.run(command)
        assert code in ((0, 1) if "-scheduler" in command else (0,)), (command, told[command])
    states = sorted(
        path for path in data.states.glob("*.sqlite") if path.name not in ("locks.sqlite", "registry.sqlite")
    )
    assert len(states) > 10
    for path in states:
        assert (path.name, schema(path)) == (path.name, 3)
        copy = path.with_name(f"{path.name}.v2.bak")
        assert schema(copy) == 2
        with contextlib.closing(sqlite3.connect(copy)) as db:
            runs = [row[0] for row in db.execute("SELECT run_id FROM runs ORDER BY run_id")]
        with contextlib.closing(sqlite3.connect(path)) as db:
            kept = [row[0] for row in db.execute("SELECT run_id FROM runs ORDER BY run_id")]
        before = sorted(str(row["run_id"]) for row in data.expected(path.stem)["runs"])
        assert runs == kept == before, path
    ledger = data.folder / "ledger/scheduler.sqlite"
    assert (schema(ledger), schema(ledger.with_name("scheduler.sqlite.v2.bak"))) == (3, 2)
    assert "OK: " in told["aetherflow state check good.yaml --read-data"]
    told_of_all = [
        line.removeprefix("  do: ") for line in told[next(iter(told))].splitlines() if "ack --before" in line
    ]
    assert told_of_all == ["aetherflow runs ack --before DATE --reason TEXT"]
    assert "before the upgrade" in sandbox.run("aetherflow status")[1]
    assert sandbox.run(told_of_all[0].replace("DATE", "2099-01-01").replace("TEXT", "over"))[0] == 0
    assert "before the upgrade" not in sandbox.run("aetherflow status")[1]
