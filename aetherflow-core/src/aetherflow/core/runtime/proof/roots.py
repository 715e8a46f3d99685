"""Whether states and logs are what the registry of their state root says of them."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from aetherflow.core.base import durable
from aetherflow.core.base.actor import hostname
from aetherflow.core.base.engine_files import REGISTRY
from aetherflow.core.kernel.state.chain import digest_of
from aetherflow.core.records.checking import StateFinding
from aetherflow.core.records.history import side_of
from aetherflow.core.records.reading import read
from aetherflow.core.records.registry_file import read_registry
from aetherflow.core.runtime.logs.log_hash import log_hash
from aetherflow.core.runtime.proof.chains import heads_of


class RootHead(NamedTuple):
    """A row of `heads` in the registry."""

    seq: int
    event: str
    state_path: str
    flow_id: str
    run_id: str
    head: str
    log_size: int
    logs: str
    at: int
    chain: str


_NAMES = ", ".join(RootHead._fields)


_ENDS = ("ended", "pruned")
_ENDED = "SELECT flow_id, run_id FROM runs WHERE status<>'RUNNING'"


def root_heads(db: durable.Database) -> list[RootHead]:
    """The rows, the first one first."""
    return [RootHead(*row) for row in db.execute(f"SELECT {_NAMES} FROM heads ORDER BY seq")]  # noqa: S608 names are ours


def read_root_heads(root: Path) -> list[RootHead]:
    """Those of the registry of a state root. Raises sqlite3.Error, OSError; FileNotFoundError if there is none."""
    return read_registry(root, root_heads)


def first_broken_of(heads: list[RootHead], previous: str = "") -> RootHead | None:
    """The first of these rows that does not follow from those before it."""
    for head in heads:
        previous = digest_of((previous, *head[1:-1]))
        if head.chain != previous:
            return head
    return None


def check_against_registry(root: Path, path: Path, *, read_data: bool = False) -> list[StateFinding]:
    """Where a state file, and with `read_data` the logs beside it, differ from what the registry has seen of them.

    Nothing where there is no registry, or an older one. Of a state in a server those logs are read that stand on this
    host: of runs that have ended here. Raises StateError.
    """
    try:
        heads = read_root_heads(root)
    except (sqlite3.Error, OSError):
        return []
    if (broken := first_broken_of(heads)) is not None:
        what = f"row {broken.seq} of heads ({broken.event}) is not what was written, or one before it was taken out"
        return [StateFinding(what, str(durable.engine_store(root, REGISTRY)))]
    own = read(path, heads_of)
    here = [head for head in heads if head.state_path == str(path)]
    # rows of before it was restored, or was begun again, are of another file
    first = own[0].chain if own else None
    since = max((at for at, head in enumerate(here) if head.event == "adopted" or head.head == first), default=0)
    known = {head.chain for head in own}
    for head in here[since:]:
        if head.head and head.head not in known:
            what = "the registry has seen its end, and the state has not: its last rows are cut off, or the file is old"
            return [StateFinding(what, f"{head.flow_id}/{head.run_id}")]
    return list(_logs(path, here[since:])) if read_data else []


def _logs(path: Path, heads: list[RootHead]) -> Iterator[StateFinding]:
    latest = {(head.flow_id, head.run_id): head.chain for head in read(path, heads_of) if head.event in _ENDS}
    query, values = (_ENDED, ()) if durable.server_at(path) is None else (f"{_ENDED} AND host=?", (hostname(),))
    ended = set(read(path, lambda db: db.execute(query, values).fetchall()))
    for key, head in {(head.flow_id, head.run_id): head for head in heads}.items():
        if not head.logs or key not in ended or latest.get(key) != head.head:
            continue  # it goes on and writes, has ended again since, or it or its logs were pruned
        try:
            same = log_hash(side_of(path) / "logs" / head.flow_id, head.run_id, head.log_size)[1] == head.logs
        except OSError as error:
            yield StateFinding(f"a log of the run cannot be read: {error}", "/".join(key))
        else:
            if not same:
                yield StateFinding("the logs of the run are not what they were at its end", "/".join(key))
