"""Failpoints around what a flow does at a peer, and nights of a flow that picks up files there, killed anywhere."""

import functools
import json
import os
import shutil
from dataclasses import dataclass
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
        child = self.bench.fork(*run, failpoint=failpoint, before=points_at_the_peer)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
