"""The heads of the states of one state root, chained: rows `heads` of the registry.

A row is written when a run has ended (`ended`), before its logs alone are deleted in order (`logs_pruned`), and when a
state file was restored or migrated (`adopted`): what the registry has said of it before is no matter any more. `head`
is the chain of the last row of the state's own `heads` then; `logs` the hash of the run's logs, of whose first file
`log_size` bytes count. `chain` is the sha256 of the lines previous, event, state_path, flow_id, run_id, head,
log_size, logs, at, as in `chain.py`. A row that could not be written is missing, and nothing else: the state's own
chain goes on.
"""

from typing import Any, NamedTuple

from aetherflow.core.base import durable
from aetherflow.core.kernel.state.chain import digest_of
from aetherflow.core.kernel.state.records import now_ms
from aetherflow.core.kernel.state.sql import insert


class Sealed(NamedTuple):
    """What a run leaves when it has ended."""

    head: str
    log_size: int = 0
    logs: str = ""


def add_root_head(
    db: durable.Database, event: str, state_path: str, sealed: Sealed, flow_id: str = "", run_id: str = ""
) -> None:
    """Within a transaction of the registry: write a row."""
    named = {"event": event, "state_path": state_path, "flow_id": flow_id, "run_id": run_id}
    values: dict[str, Any] = {**named, **sealed._asdict(), "at": now_ms()}
    last = db.execute("SELECT chain FROM heads ORDER BY seq DESC LIMIT 1").fetchone()
    insert(db, "heads", {**values, "chain": digest_of((last[0] if last else "", *values.values()))})
