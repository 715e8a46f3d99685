"""Nights of a flow that picks up files, loads each into a table and then does something that may fail."""

import json
import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aetherflow.core.testing.project import Ran
from transfer_peers import Peer

TABLE = "files"
"""Its rows: name and line of the file, and the load's id."""


@dataclass
class Nights:
    """One flow over a peer and an SQLite database; each night is a run of its own."""

    peer: Peer
    after: str = "keep"
    folder: Path | None = None
    """Where the database is; without one, the work root of the peer's project."""

    @property
    def database(self) -> Path:
        """The file of the database."""
        return (self.folder or self.peer.project.work) / "warehouse.sqlite"

    def prepare(self) -> None:
        """Make the table, and write the flow."""
        self.database.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(self.database)) as db:
            db.execute(f"CREATE TABLE {TABLE} (name TEXT, line TEXT)")
        self.write()

    def write(self, **inputs: Any) -> None:
        """Write the flow; `inputs` are further ones of listing and downloading."""
        path = self.peer.project.folder / "flow.yaml"
        path.write_text(json.dumps(self.flow(**inputs)), encoding="utf-8")

    def flow(self, **inputs: Any) -> dict[str, Any]:
        """List, download, load each by its claim; `fail` names where the night is to break."""
        peer, base = self.peer, self.peer.base
        to = {"move_to": f"{base}/done"} if self.after == "move" else {}
        listing = peer.step("list", remote_dir=f"{base}/in", pattern="*.csv", new_only=True, **inputs)
        fetching: dict[str, Any] = {
            "files": "{{steps.list.files}}",
            "dest_dir": "got",
            "new_only": True,
            "after": self.after,
        }
        load = {"resource": "warehouse", "table": TABLE, "path": "{{item.file}}", "load_id": "{{item.claim}}"}
        take = [listing | {"on_no_data": "skip_job"}, peer.step("download", **fetching, **to, **inputs)]
        take[1]["outputs"] = {"files": "{{result.taken}}"}
        loading = [
            breaks("early"),
            {"id": "load", "type": "db_load", "for_each": "{{jobs.take.outputs.files}}", "inputs": load},
            breaks("late"),
        ]
        return {
            "version": 1,
            "flow": {
                "id": "flow",
                "workspace": {"root": str(peer.project.work), "cleanup_policy": "never"},
                "params": {"fail": {"type": "string", "default": "never"}},
            },
            "resources": {
                "peer": peer.resource,
                "warehouse": {"kind": "db", "driver": "sqlite3", "config": {"path": str(self.database)}},
            },
            "jobs": [{"id": "take", "steps": take}, {"id": "load", "depends_on": ["take"], "steps": loading}],
        }

    def run(self, fail: str = "never", **options: Any) -> Ran:
        return self.peer.project.run(params={"fail": fail}, **options)

    def put(self, name: str, *lines: str) -> None:
        """The partner puts a file."""
        self.peer.put(f"in/{name}", "\n".join(["name,line", *(f"{name},{line}" for line in lines), ""]))

    def loaded(self) -> dict[str, int]:
        """How often each line has arrived, as `name line`."""
        with closing(sqlite3.connect(self.database)) as db:
            return dict(Counter(f"{name} {line}" for name, line in db.execute(f"SELECT name, line FROM {TABLE}")))

    def open_claims(self) -> list[str]:
        """Runs that hold claims which are not final."""
        return [run for (run,) in self.peer.project.rows("SELECT run_id FROM claims WHERE state = 'open'")]


def breaks(where: str) -> dict[str, Any]:
    """A step that fails in nights which are to break there."""
    return {
        "id": where,
        "type": "assert",
        "inputs": {"condition": f'params.fail != "{where}"', "message": "a bad night"},
    }
