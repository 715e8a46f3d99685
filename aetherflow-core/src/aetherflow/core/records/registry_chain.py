"""The heads of the states of one state root, chained: rows `heads` of the registry.

A row is written when a run has ended (`ended`), before its logs alone are deleted in order (`logs_pruned`), and when a
state was restored, accepted or migrated (`adopted`): what the registry has said of it before is no matter any more.
`head` is the chain of the last row of the state's own `heads` then; `logs` the hash of the run's logs, of whose first
file `log_size` bytes count. `chain` is the sha256 of the lines previous, event, state_path, flow_id, run_id, head,
log_size, logs, at, as in `chain.py`. A row that could not be written is missing, and nothing else: the state's own
chain goes on.
"""

import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from aetherflow.core.base import durable
from aetherflow.core.base.errors import StateError
from aetherflow.core.kernel.state.chain import digest_of
from aetherflow.core.kernel.state.records import now_ms
from aetherflow.core.kernel.state.sql import insert_many


class Sealed(NamedTuple):
    """What a run leaves when it has ended."""

    head: str
    log_size: int = 0
    logs: str = ""


def add_root_heads(db: durable.Database, event: str, state_path: str, ends: Iterable[tuple[Sealed, str, str]]) -> None:
    """Within a transaction of the registry: write a row for each of the ends, with the ids of its flow and run."""
    last, at, rows = db.execute(NEWEST).fetchone(), now_ms(), []
    chain = last[0] if last else ""
    for sealed, flow_id, run_id in ends:
        named = {"event": event, "state_path": state_path, "flow_id": flow_id, "run_id": run_id}
        values: dict[str, Any] = {**named, **sealed._asdict(), "at": at}
        chain = digest_of((chain, *values.values()))
        rows.append({**values, "chain": chain})
    insert_many(db, "heads", rows)


NEWEST = "SELECT chain FROM heads ORDER BY seq DESC LIMIT 1"
_KNOWN = """SELECT (SELECT head FROM heads WHERE state_path=? AND event<>'logs_pruned' ORDER BY seq DESC LIMIT 1),
    (SELECT run_id FROM runs WHERE run_id=? AND flow_id=? AND state_path=? AND ended_at IS NOT NULL
    AND status<>'RUNNING')"""


def agrees(index: durable.Database, state: durable.Database, key: tuple[str, str], state_path: str) -> bool:
    """Whether a state (of a run's key: flow id, run id) is as the index knows it, at first sight: two statements."""
    last, ended = index.execute(_KNOWN, (state_path, key[1], key[0], state_path)).fetchone()
    newest = ask_state(state, NEWEST)
    return ended is None and (not last or newest is None or newest[0] == last)


def ask_state(state: durable.Database, query: str, *values: str | int | None) -> Any:
    """The first row of a query on a state; its errors, which are not those of the index, as StateError."""
    try:
        return state.execute(query, values).fetchone()
    except (sqlite3.Error, OSError) as error:
        raise StateError(f"the state cannot be compared with the run index: {error}") from error


def comparable(root: Path, state_path: str) -> bool:
    """False for a file where the index is in a server: each host may have a file of that path."""
    return durable.in_server(state_path) or not durable.in_server(root)
