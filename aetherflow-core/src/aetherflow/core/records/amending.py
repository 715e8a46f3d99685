"""Changes of a run that has ended, which another process may go on with: held, and chained."""

from aetherflow.core.base import durable
from aetherflow.core.kernel.state.chain import seal

_RUN = "flow_id=? AND run_id=?"


def hold(db: durable.Database, flow_id: str, run_id: str) -> None:
    """Within a transaction, before it changes a run that another process may own: no other one does it meanwhile."""
    db.await_turn("heads")
    db.execute(f"SELECT generation FROM runs WHERE {_RUN}{db.row_lock}", (flow_id, run_id))  # noqa: S608 names are ours


def amend(db: durable.Database, flow_id: str, run_id: str) -> None:
    """Within a transaction, after `hold`: what a run that had ended is now is chained; nothing for one that goes on."""
    query = f"""SELECT 1 FROM runs LEFT JOIN heads USING (flow_id, run_id) WHERE {_RUN}
        AND (heads.generation=runs.generation OR (heads.seq IS NULL AND status<>'RUNNING')) LIMIT 1"""  # noqa: S608 ours
    if db.execute(query, (flow_id, run_id)).fetchone() is not None:
        seal(db, flow_id, run_id, "amended")
