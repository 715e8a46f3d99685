"""States that a test has changed behind the engine's back, chained again: as if the engine had written them so."""

from contextlib import closing
from pathlib import Path

from aetherflow.core.base import durable
from aetherflow.core.kernel.state.store import StateStore
from aetherflow.core.records.amending import amend


def chain_again(path: Path) -> None:
    """Chain what the runs of a state are now; their journals stay as they are."""
    with closing(StateStore(path)) as store, durable.transaction(store.connection, "chain again"):
        for run in store.connection.execute("SELECT flow_id, run_id FROM runs").fetchall():
            amend(store.connection, *run)
