"""The hash chain of a state: what was recorded is not changed, taken out or moved unseen.

Every hash is a sha256 in hexadecimal, of lines in UTF-8 that are joined by a line feed; none but the last value of an
entry of the journal could hold one.

- `journal.chain` of an entry: of previous, flow_id, run_id, at, event, detail; `previous` is the chain of the run's
  entry before, "" for its first one. Runs do not wait for each other.
- `heads` has a row for each end of a run, and for what happened to it since: `head` is the chain of its last entry,
  `facts` the hash of its rows (`facts_of`). Its `chain` is that of previous, event, flow_id, run_id, generation,
  head, facts, at; `previous` is the chain of the row before, whatever run that was of.
- A value that a step writes into a ledger stands in an entry `ledger_written` by its `ledger_mark`; one that was
  claimed in the rows of its run. Of a pruned run the entries `ledger_kept` stay, for what stands in ledgers from it.
- Events of `heads`: `ended`; `amended`, with claims that became final or were lost, acts of persons, files removed
  later; `pruned`, the last of a run whose rows are gone; `migrated`, the first of a state of before, with its schema as
  generation and its last entry of the journal as head: what stands up to there has no chain; `accepted`, of no run,
  with the hash of the row of `meta` which says who accepted a state that is older than the run index knows.
"""

import hashlib
from collections.abc import Iterable

from aetherflow.core.base import durable
from aetherflow.core.base.json_text import text_encoder
from aetherflow.core.kernel.state.schema import TABLES
from aetherflow.core.kernel.state.sql import insert_many

FACTS = {
    table.name: (", ".join(table.chained), table.order)
    for table in TABLES
    if table.of_run and table.unchained is not None
}
"""Tables to the columns that `facts_of` reads, and the order of the rows."""
_encode = text_encoder(separators=(",", ":"))
_ENTRY = "INSERT INTO journal (flow_id, run_id, at, event, detail, chain) VALUES (?, ?, ?, ?, ?, ?)"
_TAIL = "SELECT chain FROM journal WHERE flow_id=? AND run_id=? ORDER BY seq DESC LIMIT 1"
_RUN = "flow_id=? AND run_id=?"


def digest_of(lines: Iterable[str | int]) -> str:
    """The sha256 of lines, in hexadecimal."""
    return hashlib.sha256("\n".join(map(str, lines)).encode()).hexdigest()


def ledger_mark(value: str, at: int) -> str:
    """What the journal says of a value in a ledger, which a later run may replace."""
    return digest_of((at, value))[:32]


def facts_of(db: durable.Database, flow_id: str, run_id: str) -> str:
    """The sha256 of all rows of a run, each a line: the JSON list of its table and its columns, as in `FACTS`."""
    found = hashlib.sha256()
    for table, (columns, order) in FACTS.items():
        query = f"SELECT {columns} FROM {table} WHERE {_RUN} ORDER BY {order}"  # noqa: S608 names are ours
        for row in db.execute(query, (flow_id, run_id)):
            found.update(f"{_encode([table, *row])}\n".encode())
    return found.hexdigest()


def append(
    db: durable.Database, flow_id: str, run_id: str, at: int, event: str, detail: str, *, tail: str | None = None
) -> str:
    """Within a transaction: write an entry of a run's journal; returns its chain.

    `tail` is the chain of the entry before, where it is known.
    """
    previous = tail_of(db, flow_id, run_id) if tail is None else tail
    chain = hashlib.sha256(f"{previous}\n{flow_id}\n{run_id}\n{at}\n{event}\n{detail}".encode()).hexdigest()
    db.execute(_ENTRY, (flow_id, run_id, at, event, detail, chain))
    return chain


def tail_of(db: durable.Database, flow_id: str, run_id: str) -> str:
    """The chain of the last entry of a run; "" if there is none, or it was written before there were chains."""
    row = db.execute(_TAIL, (flow_id, run_id)).fetchone()
    return row[0] or "" if row else ""


def seal(db: durable.Database, flow_id: str, run_id: str, event: str) -> str:
    """Within a transaction: chain the head of a run, whose rows stay as they are; returns the chain of the row."""
    generation = db.execute(f"SELECT generation FROM runs WHERE {_RUN}", (flow_id, run_id)).fetchone()[0]  # noqa: S608
    return add_head(db, event, flow_id, run_id, generation, tail_of(db, flow_id, run_id), facts_of(db, flow_id, run_id))


def add_head(
    db: durable.Database, event: str, flow_id: str, run_id: str, generation: int, head: str, facts: str
) -> str:
    """Within a transaction: write a row of `heads`; returns its chain."""
    return add_heads(db, event, flow_id, [(run_id, generation, head, facts)])


def add_heads(db: durable.Database, event: str, flow_id: str, runs: Iterable[tuple[str, int, str, str]]) -> str:
    """Write rows of `heads` for several runs: id, generation, head and facts of each; returns the chain of the last."""
    db.await_turn("heads")  # as late as can be: other runs that end wait for it
    last, at, rows = db.execute("SELECT chain FROM heads ORDER BY seq DESC LIMIT 1").fetchone(), db.now_ms(), []
    chain = last[0] if last else ""
    for run_id, generation, head, facts in runs:
        values: dict[str, str | int] = {
            "event": event, "flow_id": flow_id, "run_id": run_id, "generation": generation,
            "head": head, "facts": facts, "at": at,
        }  # fmt: skip
        chain = digest_of((chain, *values.values()))
        rows.append({**values, "chain": chain})
    insert_many(db, "heads", rows)
    return chain
