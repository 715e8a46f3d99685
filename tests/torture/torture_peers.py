"""Failpoints around what a flow does at a peer, and nights of a flow that picks up files there, killed anywhere."""

import functools
import json
import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aetherflow.core.base.durable.failpoint import hit
from aetherflow_builtins_transfer import journal
from aetherflow_builtins_transfer.connectors.local import LocalSession
from aetherflow_builtins_transfer.connectors.sftp.session import SftpSession
from aetherflow_builtins_transfer.connectors.smb.smbclient import SmbSession
from nights import Nights
from torture_bench import Bench

REQUESTS = ("entries", "stat", "fetch", "store", "store_all", "rename", "remove", "mkdir", "set_mtime")


def points_at_the_peer() -> None:
    """Make every request to the peer, and every local step of a transfer, pass a failpoint before and after."""

    def around(owner: Any, name: str) -> None:
        original = getattr(owner, name)

        @functools.wraps(original)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            hit(f"before {name}")
            result = original(*args, **kwargs)
            hit(f"after {name}")
            return result

        setattr(owner, name, wrapped)

    for session in (LocalSession, SftpSession, SmbSession):
        for name in REQUESTS:
            around(session, name)
    around(journal.Journal, "put_all")


@dataclass
class KilledNights:
    """A bench on which each night is a run of its own, whatever became of the one before."""

    bench: Bench
    nights: Nights
    number: int = 0

    def begin(self) -> None:
        """No run yet, three files at the partner, an empty table."""
        self.number = 0
        self.bench.forget()
        self.bench.work.mkdir(exist_ok=True)
        shutil.rmtree(self.nights.peer.disk)
        self.nights.peer.disk.mkdir()
        self.nights.database.unlink(missing_ok=True)
        self.nights.prepare()
        flow = self.nights.flow()
        flow["flow"] = {"id": "f", "workspace": {"cleanup_policy": "on_success"}, "params": flow["flow"]["params"]}
        self.bench.write(json.dumps(flow))
        for name in ("a", "b", "c"):
            self.nights.put(f"{name}.csv", name)

    def night(self, failpoint: str = "", fail: str = "never") -> int:
        """One more run; its exit code, or minus its signal."""
        self.number += 1
        run = ("run", "flow.yaml", "--run-id", f"night-{self.number}", "--param", f"fail={fail}")
        return self.bench.run(*run, failpoint=failpoint, before=points_at_the_peer if failpoint else None)


@dataclass
class KilledExtracts:
    """The same for an extract behind a watermark, and a load of its rows that can be repeated."""

    bench: Bench
    load: dict[str, Any]
    """How: inputs of `db_load`."""
    number: int = 0

    @property
    def database(self) -> Path:
        """Orders, and the table that they are loaded into."""
        return self.bench.work / "shop.sqlite"

    def begin(self) -> None:
        """No run yet, two orders."""
        self.number = 0
        self.bench.forget()
        self.bench.work.mkdir(exist_ok=True)
        self.database.unlink(missing_ok=True)
        with closing(sqlite3.connect(self.database)) as db:
            db.execute("CREATE TABLE orders (id INTEGER)")
            db.execute("CREATE TABLE copy (id INTEGER, load_id TEXT)")
        extract = {"sql": "SELECT id FROM orders WHERE id > :watermark ORDER BY id", "output": "new.csv"}
        extract |= {"watermark": {"column": "id", "initial": 0}}  # type: ignore[dict-item]  # inputs are of all types
        load = {"table": "copy", "path": "new.csv", "columns": ["id"], **self.load}
        steps = [
            {"id": "new", "type": "db_extract", "inputs": {"resource": "shop", **extract}},
            {"id": "load", "type": "db_load", "inputs": {"resource": "shop", **load}},
        ]
        flow = {
            "version": 1,
            "flow": {"id": "f", "workspace": {"cleanup_policy": "on_success"}},
            "resources": {"shop": {"kind": "db", "driver": "sqlite3", "config": {"path": str(self.database)}}},
            "jobs": [{"id": "main", "steps": steps}],
        }
        self.bench.write(json.dumps(flow))

    def night(self, failpoint: str = "") -> int:
        """Two more orders, and one more run; its exit code, or minus its signal."""
        self.number += 1
        with closing(sqlite3.connect(self.database)) as db, db:
            db.executemany("INSERT INTO orders VALUES (?)", [(2 * self.number - 1,), (2 * self.number,)])
        return self.bench.run("run", "flow.yaml", "--run-id", f"night-{self.number}", failpoint=failpoint)

    def copied(self) -> list[int]:
        """The orders in the copy."""
        with closing(sqlite3.connect(self.database)) as db:
            return [number for (number,) in db.execute("SELECT id FROM copy ORDER BY id")]
