"""The chain of a copied state: what held in the source is chained again, in the order in which it came to the copy.

One state has one chain of `heads`, and a copy may hold less than its source, or the runs of several. So its rows are
chained as those of a new state, after the source's own chain was found to hold.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from aetherflow.core.base import durable
from aetherflow.core.base.errors import StateError
from aetherflow.core.kernel.state.chain import add_head, append, digest_of, facts_of, seal, tail_of
from aetherflow.core.kernel.state.transitions import Status
from aetherflow.core.kernel.state.values import to_json
from aetherflow.core.records.pruning import ledger_marks
from aetherflow.core.runtime.proof.chains import broken_places

KEPT = "ledger_kept"
_MIGRATED = "SELECT name, value FROM meta WHERE name LIKE 'migrated%' ORDER BY name DESC"


def require_chain(db: durable.Database, state_path: str) -> None:
    """Raise StateError for a state that is not what its chain says: a copy would hide that."""
    if (found := next(broken_places(db), None)) is not None:
        message = f"{state_path} is not what its chain says, and was not copied: {found.where}: {found.what}"
        raise StateError(
            message, fix="look with `state check` at what else is not as it was written, or restore a backup"
        )


def begin_chain(sources: Iterable[durable.Database], target: durable.Database) -> None:
    """Let a target without runs say of which version its first source with a state of before was."""
    with durable.transaction(target, "begin chain"):
        if target.execute("SELECT 1 FROM heads LIMIT 1").fetchone() is not None:
            return
        found = next((rows for db in sources if (rows := db.execute(_MIGRATED).fetchall())), None)
        if found is not None:
            facts = [tuple(row) for row in found]
            target.executemany("INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO NOTHING", facts)
            version = int(dict(facts)["migrated_from"])
            add_head(target, "migrated", "", "", version, "0", digest_of(sum(facts, ())))


def chained_anew(names: list[str], rows: Iterable[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
    """Rows of the journal of one run, the first one first."""
    places = [names.index(name) for name in ("flow_id", "run_id", "at", "event", "detail")]
    at, previous = names.index("chain"), ""
    for row in rows:
        previous = digest_of((previous, *(row[place] for place in places)))
        yield (*row[:at], previous, *row[at + 1 :])


def seal_copied(db: durable.Database, flow_id: str) -> None:
    """Chain the ends of all runs of a flow that are not, and what its ledgers hold."""
    runs = db.execute("SELECT run_id, status FROM runs WHERE flow_id=? ORDER BY started_at, run_id", (flow_id,))
    statuses = dict(runs.fetchall())
    for run_id, status in statuses.items():
        key = (flow_id, run_id)
        query = "SELECT head, facts FROM heads WHERE flow_id=? AND run_id=? ORDER BY seq DESC LIMIT 1"
        last = db.execute(query, key).fetchone()
        if last is None or tuple(last) != (tail_of(db, *key), facts_of(db, *key)):
            with durable.transaction(db, "seal copy"):
                _keep(db, *key)
                if status != Status.RUNNING:
                    seal(db, *key, "ended")
    owners = db.execute("SELECT DISTINCT run_id FROM ledger WHERE flow_id=? ORDER BY run_id", (flow_id,))
    for (run_id,) in owners.fetchall():
        if run_id not in statuses:  # pruned in the source
            with durable.transaction(db, "seal copy"):
                if _keep(db, flow_id, run_id):
                    add_head(db, "pruned", flow_id, run_id, 0, tail_of(db, flow_id, run_id), "")


def _keep(db: durable.Database, flow_id: str, run_id: str) -> bool:
    """Write down what stands in ledgers from a run; False if that is there."""
    query = "SELECT detail FROM journal WHERE flow_id=? AND run_id=? AND event=?"
    known = {detail for (detail,) in db.execute(query, (flow_id, run_id, KEPT)).fetchall()}
    marks = ledger_marks(db, flow_id, [run_id]).get(run_id, {}).items()
    details = [to_json({"ledger": namespace, "keys": keys}) for namespace, keys in marks]
    wanted = [detail for detail in details if detail not in known]
    for detail in wanted:
        append(db, flow_id, run_id, db.now_ms(), KEPT, detail)
    return bool(wanted)
