"""Whether a state is older than the run index knows: a file that was put back by an older copy, a restored server.

Of each run that ends, the index keeps the chain of the state's `heads` then (registry_chain.py). That row is durable in
the state before the index gets it. So the index is never ahead of its state, wherever a process or the machine stops:
a state without the row is older. Two cases are not compared: a state without any `heads`, which was begun again, and
a file where the index is in a server, since each host may have a file of that path.

Ends that an accepted state lacks stay in the index as `LOST`: their runs are not executed again, and stay shown until
somebody closes them.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from aetherflow.core.base import durable
from aetherflow.core.base.errors import OlderStateError
from aetherflow.core.base.times import iso
from aetherflow.core.base.typed import typed_here
from aetherflow.core.records.reading import read
from aetherflow.core.records.registry_chain import NEWEST, ask_state, comparable
from aetherflow.core.records.registry_file import Registered, read_registry

LOST = "not_in_state"
"""`reason_code` in the index of a run whose end an accepted state lacks."""
ACCEPTED = "accepted"
"""Event of `heads` in a state: somebody accepted it although it is older; the row of `meta` says who, when and why."""
_LAST = """SELECT flow_id, run_id, head, at, (SELECT ended_at FROM runs r WHERE r.run_id=h.run_id
    AND r.flow_id=h.flow_id AND r.state_path=h.state_path) FROM heads h WHERE state_path=? AND event<>'logs_pruned'
    ORDER BY seq DESC LIMIT 1"""
_ENDED = """SELECT status, ended_at, reason_code FROM runs WHERE run_id=? AND flow_id=? AND state_path=?
    AND ended_at IS NOT NULL AND status<>'RUNNING'"""
_THERE = """SELECT 1 FROM runs WHERE flow_id=? AND run_id=?
    UNION ALL SELECT 1 FROM heads WHERE flow_id=? AND run_id=? AND event='pruned' LIMIT 1"""


class KnownEnd(NamedTuple):
    """The last row of a state's `heads` that the index knows, and the run that ended with it."""

    flow_id: str
    run_id: str
    head: str
    at: int
    ended_at: int | None
    """Of the run, as the index knows it."""


def require_current(index: durable.Database, run: Registered, state: durable.Database) -> None:
    """Where `registry_chain.agrees` says no: OlderStateError if the state lacks the run's end, or that of another."""
    last = index.execute(_LAST, (run.state_path,)).fetchone()
    if last is not None and _lacks(state, KnownEnd(*last)):
        raise older_error(run.state_path, KnownEnd(*last))
    known = index.execute(_ENDED, (run.run_id, run.flow_id, run.state_path)).fetchone()
    key = (run.flow_id, run.run_id)
    if known is not None and (known[2] == LOST or ask_state(state, _THERE, *key, *key) is None):
        message = (
            f"run {run.run_id} of flow {run.flow_id} isn't executed again: the run index knows that it ended "
            f"{known[0]} at {iso(known[1])}, and the state {run.state_path} doesn't"
        )
        raise OlderStateError(message, fix="start it under another --run-id")


def older_error(path: str, last: KnownEnd) -> OlderStateError:
    """What `run` and `resume` say of a state that is older."""
    fix = f"put the newer state back, or accept this one: {typed_here('state', 'accept', path, '--reason', 'TEXT')}"
    return OlderStateError(f"the state {path} is older than the run index knows: {lacking(last)}", fix=fix)


def lacking(last: KnownEnd) -> str:
    """What an older state lacks, in words."""
    what = f"the end of run {last.run_id} of flow {last.flow_id}" if last.run_id else "what was accepted or restored"
    return f"{what} at {iso(last.at)} isn't in it"


def last_ends(root: Path, paths: Iterable[str]) -> dict[str, KnownEnd]:
    """What the index knows last of each of these states, for `is_older`; nothing of those that are not compared.

    Raises sqlite3.Error, OSError; FileNotFoundError where there is no index.
    """
    wanted = [path for path in paths if comparable(root, path)]
    found = read_registry(root, lambda db: [(path, db.execute(_LAST, (path,)).fetchone()) for path in wanted])
    return {path: KnownEnd(*row) for path, row in found if row is not None and row[2]}


def is_older(path: Path, last: KnownEnd) -> bool:
    """Whether a state lacks what the index knows last of it. StateError."""
    return read(path, lambda db: _lacks(db, last))


def _lacks(state: durable.Database, last: KnownEnd) -> bool:
    newest = ask_state(state, NEWEST)
    if not last.head or newest is None or newest[0] == last.head:
        return False
    # where the state was amended since, it is near the end; a copied state has a chain of its own, and the same ends
    if ask_state(state, "SELECT 1 FROM heads WHERE chain=? ORDER BY seq DESC LIMIT 1", last.head) is not None:
        return False
    same = (last.flow_id, last.run_id, last.ended_at)
    return ask_state(state, "SELECT 1 FROM runs WHERE flow_id=? AND run_id=? AND finished_at=?", *same) is None
