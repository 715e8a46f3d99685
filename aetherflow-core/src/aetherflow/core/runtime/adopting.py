"""Letting the run index say of a state what that says, also where the state is older than the index knows."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from aetherflow.core.base import durable
from aetherflow.core.kernel.state.chain import add_head, digest_of
from aetherflow.core.kernel.state.records import now_ms
from aetherflow.core.kernel.state.sql import insert, update
from aetherflow.core.kernel.state.values import to_json
from aetherflow.core.records.migration import open_state
from aetherflow.core.records.older import ACCEPTED, LOST, KnownEnd, is_older, last_ends
from aetherflow.core.records.reading import read_store
from aetherflow.core.records.registry_chain import Sealed, add_root_heads
from aetherflow.core.records.registry_file import Registered, add_runs, change_after, changing, runs_in


class Held(NamedTuple):
    """What a state holds: its runs, and the chain of their ends."""

    runs: list[Registered]
    chains: list[str]
    """Of its `heads`, the first one first."""


def older_end(root: Path, path: Path) -> KnownEnd | None:
    """The end that a state lacks; None if it lacks none, or there is no index. StateError."""
    try:
        last = last_ends(root, [str(path)]).get(str(path))
    except (sqlite3.Error, OSError):
        return None
    return last if last is not None and is_older(path, last) else None


def adopt(root: Path, path: Path) -> list[Registered]:
    """Let the index say of a state what that says; returns the runs whose known ends the state lacks, which stay."""
    lost: list[Registered] = []

    def change(index: durable.Database, held: Held, _: bool) -> None:
        lost[:] = _lost_ends(index, path, held)
        index.execute("DELETE FROM runs WHERE state_path=?", (str(path),))
        add_runs(index, [*held.runs, *lost])
        add_root_heads(index, "adopted", str(path), [(Sealed(held.chains[-1] if held.chains else ""), "", "")])

    change_after(root, "register runs", lambda _: _held_in(path), change)
    return lost


def accept(root: Path, path: Path, *, actor: str, host: str, reason: str) -> list[Registered]:
    """Take an older state for what it is, and write into it and the index who did that, when and why.

    Returns the runs whose known ends it lacks. Raises sqlite3.Error, OSError, StateError.
    """
    with closing(open_state(path)) as store, durable.transaction(store.connection, "accept state"):
        store.connection.await_turn("heads")
        at = store.connection.now_ms()
        row = (f"{ACCEPTED}_{at}", to_json({"actor": actor, "host": host, "reason": reason, "at": at}))
        store.connection.execute("INSERT INTO meta (name, value) VALUES (?, ?)", row)
        add_head(store.connection, ACCEPTED, "", "", 0, "", digest_of(row))
    lost = adopt(root, path)
    with changing(root, "accept state") as index:
        told = {"state": str(path), "lost": [[run.flow_id, run.run_id] for run in lost]}
        values = (row[0], to_json({**json.loads(row[1]), **told}))
        index.execute("INSERT INTO shared (name, value) VALUES (?, ?) ON CONFLICT (name) DO NOTHING", values)
    return lost


def close(root: Path, run: Registered, *, actor: str, host: str, reason: str) -> None:
    """Note that a run which only the index knows needs nobody any more, and who said so. sqlite3.Error, OSError."""
    if run.settled is not None:
        return
    key = {"flow_id": run.flow_id, "run_id": run.run_id, "state_path": run.state_path}
    with changing(root, "close run") as index:
        update(index, "runs", {"settled": "resolve"}, key)
        who = {"status": run.status, "actor": actor, "host": host, "reason": reason, "at": now_ms()}
        insert(index, "forgotten", {**key, **who})


def _held_in(path: Path) -> Held:
    """What a state holds, of whatever schema. Raises sqlite3.Error, OSError, StateError."""

    def select(db: durable.Database) -> list[str]:
        if "heads" not in db.tables():  # of 1.0.0
            return []
        return [chain for (chain,) in db.execute("SELECT chain FROM heads ORDER BY seq")]

    return Held(runs_in(path), read_store(path, select))


def _lost_ends(index: durable.Database, path: Path, held: Held) -> list[Registered]:
    """The runs of a state of which the index knows an end that the state lacks, marked as `LOST`."""
    query = "SELECT event, flow_id, run_id, head FROM heads WHERE state_path=? ORDER BY seq"
    rows = index.execute(query, (str(path),)).fetchall()
    # rows of before it was begun again are of another state
    first = held.chains[0] if held.chains else None
    since = max((at for at, row in enumerate(rows) if row[3] == first), default=0)
    ends = {(flow_id, run_id): head for event, flow_id, run_id, head in rows[since:] if event == "ended"}
    known = set(held.chains)
    lost = {key for key, head in ends.items() if head and head not in known}
    names = ", ".join(Registered._fields)
    query = f"SELECT {names} FROM runs WHERE state_path=? AND ended_at IS NOT NULL AND status<>'RUNNING'"  # noqa: S608 ours
    ended = (Registered(*row) for row in index.execute(query, (str(path),)).fetchall())
    there = {(run.flow_id, run.run_id): run.ended_at for run in held.runs}
    return [
        run._replace(reason_code=LOST, open_claims=None)
        for run in ended
        if (key := (run.flow_id, run.run_id)) in lost or run.reason_code == LOST
        if there.get(key) != run.ended_at  # a copied state has a chain of its own, and the same ends
    ]
