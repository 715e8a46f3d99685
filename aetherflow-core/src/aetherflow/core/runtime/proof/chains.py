"""Whether a state is what its chain says; `kernel/state/chain.py` tells what is chained."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from aetherflow.core.base import durable
from aetherflow.core.kernel.state.chain import digest_of, facts_of, ledger_mark
from aetherflow.core.records.checking import StateFinding
from aetherflow.core.records.older import ACCEPTED
from aetherflow.core.records.reading import read

_ChainKey = tuple[str, str]
LedgerKey = tuple[str, str, str]


class Head(NamedTuple):
    """What a row of the table `heads` says of a run."""

    seq: int
    event: str
    flow_id: str
    run_id: str
    generation: int
    head: str
    facts: str
    at: int
    chain: str


@dataclass(slots=True)
class _Run:
    """What the journal of one run says."""

    tail: str = ""
    last: str = ""
    """The last event that tells whether the run goes on: `run_start`, `run_end`."""
    at_head: str = ""
    """The event that follows the entry which the run's last row of `heads` names; "" if there is none."""
    has_head: bool = False
    old: bool = False
    """Whether it has entries of before the chain."""
    generation: int | None = None
    """As its last start says; 1.0.0 did not."""


@dataclass(slots=True)
class _Seen:
    runs: dict[_ChainKey, _Run] = field(default_factory=dict)
    ledger: dict[LedgerKey, tuple[int, str, str]] = field(default_factory=dict)
    """Key to the entry of the journal with its last writing, the run, and the value's mark."""
    final: dict[tuple[str, str, int], int] = field(default_factory=dict)
    """Run and time to the entry which says that claims of it became final then."""

    def note(self, place: LedgerKey, seq: int, run_id: str, mark: str) -> None:
        if seq >= self.ledger.get(place, (0,))[0]:
            self.ledger[place] = (seq, run_id, mark)


_NOT_AS_WRITTEN = "is not what was written"


def heads_of(db: durable.Database) -> list[Head]:
    """The rows of `heads`, the first one first."""
    return [Head(*row) for row in db.execute(f"SELECT {', '.join(Head._fields)} FROM heads ORDER BY seq")]  # noqa: S608


def first_broken(heads: list[Head], previous: str = "") -> Head | None:
    """The first of these rows that does not follow from those before it."""
    for head in heads:
        previous = digest_of((previous, *head[1:8]))
        if head.chain != previous:
            return head
    return None


def check_chain(path: Path) -> list[StateFinding]:
    """Where the rows of a state and its chain differ: the first place of each run, and of `heads`. StateError."""
    return read(path, lambda db: list(broken_places(db)))


def broken_places(db: durable.Database) -> Iterator[StateFinding]:
    """The same, over an open connection."""
    heads = heads_of(db)
    if (broken := first_broken(heads)) is not None:
        what = f"row {broken.seq} of heads ({broken.event}) {_NOT_AS_WRITTEN}, or one before it was taken out"
        yield StateFinding(what, f"{broken.flow_id}/{broken.run_id}")
        return
    started = heads[0] if heads and heads[0].event == "migrated" else None
    migrated = db.execute("SELECT name, value FROM meta WHERE name LIKE 'migrated%' ORDER BY name DESC").fetchall()
    if (digest_of(sum(migrated, ())) if migrated else None) != (started.facts if started else None):
        yield StateFinding(f"the time of the migration, in meta, {_NOT_AS_WRITTEN}", "meta")
    accepted = db.execute(f"SELECT name, value FROM meta WHERE name LIKE '{ACCEPTED}%'").fetchall()  # noqa: S608 ours
    if {digest_of(row) for row in accepted} != {head.facts for head in heads if head.event == ACCEPTED}:
        yield StateFinding(f"who accepted the state, in meta, {_NOT_AS_WRITTEN}", "meta")
    last = {(head.flow_id, head.run_id): head for head in heads if head.run_id}
    found = _Seen()
    yield from _journal(db, int(started.head) if started else 0, last, found)
    yield from _runs(db, last, found)
    yield from _ledger(db, found)


def _journal(db: durable.Database, old: int, last: dict[_ChainKey, Head], found: _Seen) -> Iterator[StateFinding]:
    """Read every entry; those up to `old` were written before there was a chain."""
    query = "SELECT seq, flow_id, run_id, at, event, detail, chain FROM journal ORDER BY flow_id, run_id, seq"
    broken: _ChainKey | None = None
    for seq, flow_id, run_id, at, event, detail, chain in db.execute(query):
        key = (flow_id, run_id)
        if key == broken:
            continue
        run = found.runs.setdefault(key, _Run())
        if chain is None and seq <= old:
            run.old = True
        elif chain == digest_of((run.tail, flow_id, run_id, at, event, detail)):
            run.tail = chain
        else:
            broken = key
            what = f"entry {seq} of the journal ({event}) {_NOT_AS_WRITTEN}, or one before it was taken out"
            yield StateFinding(what, f"{flow_id}/{run_id}")
            continue
        if run.has_head:
            run.at_head = run.at_head or event
        run.has_head |= key in last and last[key].head == (chain or "")
        if event in ("run_start", "run_end"):
            run.last = event
            if event == "run_start":
                run.generation = json.loads(detail).get("generation")
        elif event in ("ledger_written", "ledger_kept"):
            entry = json.loads(detail)
            for name, mark in entry["keys"].items():
                found.note((flow_id, entry["ledger"], name), seq, run_id, mark)
        elif event == "claims_final":
            found.final[flow_id, run_id, at] = seq


def _runs(db: durable.Database, last: dict[_ChainKey, Head], found: _Seen) -> Iterator[StateFinding]:
    rows = db.execute("SELECT flow_id, run_id, generation, status FROM runs").fetchall()
    known = {(row[0], row[1]): row[2:] for row in rows}
    for key in sorted((last.keys() | found.runs.keys()) - known.keys()):
        head, tail = last.get(key), found.runs.get(key, _Run()).tail
        if head is None or head.event != "pruned":
            yield StateFinding("the run is not there, and nothing says that it was pruned", "/".join(key))
        elif head.head != tail:
            yield StateFinding(f"what the journal keeps of the pruned run {_NOT_AS_WRITTEN}", "/".join(key))
    for key, (generation, status) in sorted(known.items()):
        run, ended = found.runs.get(key), last.get(key)
        if (what := _problem(db, key, run, ended, generation, status)) is not None:
            yield StateFinding(what, "/".join(key))


def _problem(
    db: durable.Database, key: _ChainKey, run: _Run | None, head: Head | None, generation: int, status: str
) -> str | None:
    if run is None:
        return "the journal has no entry of the run"
    if head is None or head.event == "pruned":
        if run.last == "run_end" and not run.old:
            return "the run has ended, and no row of heads says so"
    elif not run.has_head:
        return f"the end of its journal is cut off: row {head.seq} of heads names another one"
    elif run.at_head not in ("", "run_start"):
        return f"its journal goes on after its end ({run.at_head})"
    elif not run.at_head:
        if facts_of(db, *key) != head.facts:
            return f"a row of the run {_NOT_AS_WRITTEN} (row {head.seq} of heads has the hash of all)"
        return None
    goes_on, told = run.last == "run_start", run.generation in (None, generation)
    if run.tail and (not told or goes_on != (status == "RUNNING")):
        return f"the row of the run {_NOT_AS_WRITTEN}: its journal says something else"
    return None


def _ledger(db: durable.Database, found: _Seen) -> Iterator[StateFinding]:
    claims = "SELECT flow_id, namespace, key, run_id, value, ended_at FROM claims WHERE state='final'"
    for flow_id, namespace, key, run_id, value, ended_at in db.execute(claims):
        seq = found.final.get((flow_id, run_id, ended_at), 0)
        found.note((flow_id, namespace, key), seq, run_id, ledger_mark(value, ended_at))
    present = set[LedgerKey]()
    for flow_id, namespace, key, run_id, value, at in db.execute(
        "SELECT flow_id, namespace, key, run_id, value, at FROM ledger"
    ):
        place, run = (flow_id, namespace, key), found.runs.get((flow_id, run_id))
        present.add(place)
        as_noted = found.ledger.get(place, ())[1:] == (run_id, ledger_mark(value, at))
        if not as_noted and not (run is not None and run.old):
            yield StateFinding(f"{key!r} of ledger {namespace} {_NOT_AS_WRITTEN}", f"{flow_id}/{run_id}")
    for flow_id, namespace, key in sorted(found.ledger.keys() - present):
        yield StateFinding(f"{key!r} of ledger {namespace} was taken out", flow_id)
