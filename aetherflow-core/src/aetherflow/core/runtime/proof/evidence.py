"""The evidence of a state about its runs: for signed statements, and for the comparison of a state with one."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from aetherflow.core.base import durable
from aetherflow.core.base.times import iso
from aetherflow.core.kernel.state.chain import digest_of, facts_of
from aetherflow.core.records.reading import read
from aetherflow.core.runtime.proof.chains import check_chain, heads_of
from aetherflow.core.runtime.proof.roots import check_against_registry, read_root_heads

_RUN = "SELECT status, engine_version, fingerprint, flow_path, actor, host, started_at, finished_at FROM runs WHERE {}"
_ONE = "flow_id=? AND run_id=?"


class Tail(NamedTuple):
    """The last row of `heads`, of a state or of the registry."""

    seq: int
    chain: str


class Evidence(NamedTuple):
    """A state as it is now."""

    tail: Tail
    runs: dict[tuple[str, str], dict[str, Any]]
    """Flow and run to what a statement says of the run; those that the state does not have are missing."""


def evidence_of(path: Path, runs: Iterable[tuple[str, str]]) -> Evidence:
    """The end of a state's chain, and its runs with what they made. Raises StateError."""
    return read(path, lambda db: _evidence(db, list(runs)))


def _evidence(db: durable.Database, runs: list[tuple[str, str]]) -> Evidence:
    heads = heads_of(db)
    last = {(head.flow_id, head.run_id): head.chain for head in heads}
    found = {key: run for key in runs if (run := _run(db, key, last.get(key, ""))) is not None}
    return Evidence(Tail(heads[-1].seq, heads[-1].chain) if heads else Tail(0, ""), found)


def _run(db: durable.Database, key: tuple[str, str], head: str) -> dict[str, Any] | None:
    row = db.execute(_RUN.format(_ONE), key).fetchone()
    if row is None:
        return None
    names = ("status", "engine_version", "fingerprint", "flow_path", "actor", "host")
    found: dict[str, Any] = {"flow_id": key[0], "run_id": key[1], **dict(zip(names, row, strict=False))}
    found |= {name: iso(at) if at is not None else None for name, at in zip(("started_at", "finished_at"), row[6:])}  # noqa: B905 two
    artifacts = db.execute(f"SELECT path, size, sha256 FROM artifacts WHERE {_ONE} ORDER BY path", key)  # noqa: S608 ours
    found["files"] = [dict(zip(("path", "size", "sha256"), each, strict=True)) for each in artifacts]
    claims = db.execute(f"SELECT namespace, key, state FROM claims WHERE {_ONE} ORDER BY namespace, key", key)  # noqa: S608
    found["deliveries"] = [dict(zip(("ledger", "key", "state"), each, strict=True)) for each in claims]
    found["rows"] = _rows(db, key)
    acts = db.execute(f"SELECT verb, value, actor, host, reason, at FROM acts WHERE {_ONE} ORDER BY id", key)  # noqa: S608
    found["acts"] = [dict(zip(("verb", "value", "actor", "host", "reason", "at"), each, strict=True)) for each in acts]
    if not head:  # of before the chain, which tells nothing of its journal
        entries = db.execute(f"SELECT at, event, detail FROM journal WHERE {_ONE} ORDER BY seq", key)  # noqa: S608 ours
        found["journal"] = digest_of(value for entry in entries for value in entry)
    return {**found, "head": head, "facts": facts_of(db, *key)}


def _rows(db: durable.Database, key: tuple[str, str]) -> dict[str, int]:
    """Step and output to a number of rows."""
    found = {}
    query = f"SELECT job_id, step_id, outputs FROM step_runs WHERE {_ONE} AND item_key='' ORDER BY job_id, step_id"  # noqa: S608
    for job, step, text in db.execute(query, key):
        outputs = json.loads(text) if text else None
        for name, value in outputs.items() if isinstance(outputs, dict) else ():
            if "rows" in name and isinstance(value, int):
                found[f"{job}.{step}.{name}"] = value
    return found


def root_tail(root: Path) -> Tail:
    """The end of the registry's chain. Raises sqlite3.Error, OSError."""
    heads = read_root_heads(root)
    return Tail(heads[-1].seq, heads[-1].chain) if heads else Tail(0, "")


def chain_findings(root: Path, path: Path) -> list[str]:
    """Where a state differs from its chain, and from what the registry has seen of it. Raises StateError."""
    found = [*check_chain(path), *check_against_registry(root, path, read_data=True)]
    return [f"{each.where}: {each.what}" for each in found]


def state_chains(path: Path) -> set[str]:
    """The chains of all rows of `heads` of a state. Raises StateError."""
    return {head.chain for head in read(path, heads_of)}


def root_chains(root: Path) -> dict[str, tuple[str, str]]:
    """The chains of all rows of `heads` of a registry, in their order, with event and state path.

    Raises sqlite3.Error, OSError.
    """
    return {head.chain: (head.event, head.state_path) for head in read_root_heads(root)}
