"""Holds a statement against its signature, the statement before it, and the ledger and states that it is about."""

import datetime as dt
import hashlib
import json
import sqlite3
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from aetherflow.core.api import StateError
from aetherflow.core.embedding import chain_findings, evidence_of, iso, root_chains, state_chains, why_not_signed
from aetherflow.scheduler.audit.statement import (
    KIND,
    NAMESPACE,
    PRINCIPAL,
    SCHEMA,
    last_statement,
    rows_of,
    slots_between,
)
from aetherflow.scheduler.ledger.pruning import pruned_until
from aetherflow.scheduler.time.clock import to_ms

if TYPE_CHECKING:
    from aetherflow.scheduler.ledger.store import Ledger
    from aetherflow.scheduler.schedule.schedule import Schedule


class Proven(NamedTuple):
    """A statement as it was read."""

    path: Path
    text: bytes
    statement: dict[str, Any]
    """Empty if it is none."""
    key: str
    """Fingerprint of the key whose signature holds; empty if it does not."""
    findings: list[str]

    @property
    def digest(self) -> str:
        """The sha256 of the file."""
        return hashlib.sha256(self.text).hexdigest()


def read_statement(path: Path, signers: Path) -> Proven:
    """Read a statement and look at its signature. Raises OSError, SpecError for the signers, UsageError."""
    text = path.read_bytes()
    try:
        found = json.loads(text)
        if found["kind"] != KIND or found["schema"] != SCHEMA:
            raise ValueError
        at = dt.datetime.fromisoformat(found["signed_at"])
    except (ValueError, KeyError, TypeError):
        return Proven(path, text, {}, "", ["it is no statement of an audit that this version knows"])
    signature = path.with_name(f"{path.name}.sig")
    held = why_not_signed(text, signature.read_bytes(), NAMESPACE, signers, PRINCIPAL, at)
    if isinstance(held, str):
        return Proven(path, text, found, "", [held])
    return Proven(path, text, found, held.key, [])


def follow_each_other(proven: Sequence[Proven]) -> Iterator[str]:
    """Where statements do not follow each other, in the order in which they are given."""
    for before, after in pairwise(proven):
        if not before.statement or not after.statement:
            continue
        if after.statement["number"] != before.statement["number"] + 1:
            yield f"{after.path.name} is statement {after.statement['number']}, not the one after {before.path.name}"
        elif after.statement["previous"] != before.digest:
            yield f"{after.path.name} does not follow {before.path.name}: it names another one before it"


def against_ledger(schedule: "Schedule", ledger: "Ledger", proven: Sequence[Proven]) -> list[str]:
    """Where statements and what they are about differ. What was honestly done since is no finding."""
    return [
        f"{each.path.name}: {told}"
        for place, each in enumerate(proven)
        if each.statement
        for told in _Holding(schedule, ledger, each, is_last=place == len(proven) - 1 and len(proven) > 1).findings()
    ]


class _Holding:
    """One statement against the ledger and the states."""

    def __init__(self, schedule: "Schedule", ledger: "Ledger", proven: Proven, *, is_last: bool) -> None:
        self._root, self._ledger, self._proven, self._is_last = schedule.state_root, ledger, proven, is_last
        self._statement = proven.statement
        up_to = max((entry["seq"] for entry in self._statement["journal"]), default=self._statement["journal_from"])
        self._later = rows_of(ledger, "journal", "seq>? ORDER BY seq", up_to)
        self._touched = {(entry["item"], entry["slot"]) for entry in self._later}
        self._moved: set[str] = set()
        """The runs that went on since."""

    def findings(self) -> Iterator[str]:
        yield from self._order()
        yield from self._registry()
        for state in self._statement["states"]:
            yield from self._state(state)
        yield from self._journal()
        yield from self._slots()
        yield from self._acts()

    def _order(self) -> Iterator[str]:
        last, number = last_statement(self._ledger), self._statement["number"]
        if last["number"] < number:
            yield f"the ledger is of before it: its last statement is {last['number']}"
        elif last["number"] == number and last["sha256"] != self._proven.digest:
            yield f"the ledger knows another statement {number}"
        elif self._is_last and last["number"] > number:
            yield f"the ledger has made {last['number'] - number} more since: the last ones are not here"
        for entry in self._later:
            if entry["event"] == "signed":
                told = json.loads(entry["detail"])
                if told["number"] == number and told["sha256"] != self._proven.digest:
                    yield f"the journal of the ledger knows another statement {number}"

    def _registry(self) -> Iterator[str]:
        known = self._statement["registry"]
        self._adopted: set[str] = set()
        if known is None:
            return
        try:
            chains = root_chains(self._root)
        except (sqlite3.Error, OSError) as error:
            yield f"the registry of {self._root} cannot be read: {error}"
            return
        if known["chain"] and known["chain"] not in chains:
            yield f"the registry of {self._root} is not the one that it was: row {known['seq']} of heads is missing"
            return
        names = list(chains)
        since = names.index(known["chain"]) + 1 if known["chain"] else 0
        self._adopted = {path for event, path in map(chains.__getitem__, names[since:]) if event == "adopted"}

    def _state(self, state: dict[str, Any]) -> Iterator[str]:
        path = Path(state["path"])
        try:
            yield from (f"{path.name}: {told}" for told in chain_findings(self._root, path))
            chains = state_chains(path)
            runs = [each for each in self._statement["runs"] if each["state"] == state["path"]]
            now = evidence_of(path, [(each["flow_id"], each["run_id"]) for each in runs])
        except StateError as error:
            yield str(error)
            return
        restored = str(path) in self._adopted
        if state["chain"] and state["chain"] not in chains and not restored:
            yield f"{path.name}: row {state['seq']} of heads is missing, or is another one"
        for each in runs:
            key = (each["flow_id"], each["run_id"])
            found = now.runs.get(key)
            if each["head"] and each["head"] not in chains and not restored:
                yield f"{path.name}: {'/'.join(key)}: what was signed of the run is not in the chain"
            elif found is None or found["head"] != each["head"] or restored:
                self._moved.add(each["run_id"])  # pruned, resumed or acknowledged since, as the chain says
            elif {**found, "state": each["state"]} != each:
                yield f"{path.name}: {'/'.join(key)}: the run is not what was signed"

    def _journal(self) -> Iterator[str]:
        known = {row["seq"]: row for row in rows_of(self._ledger, "journal", "seq>? ORDER BY seq", 0)}
        pruned = max((_ms(json.loads(e["detail"])["before"]) for e in self._later if e["event"] == "prune"), default=0)
        for entry in self._statement["journal"]:
            if known.get(entry["seq"]) != entry and not (entry["seq"] not in known and entry["at"] < pruned):
                yield f"entry {entry['seq']} of the ledger's journal ({entry['event']}) is not what was signed"
        signed, later = ({entry["seq"] for entry in each} for each in (self._statement["journal"], self._later))
        for seq in sorted(known.keys() - signed - later):
            if seq > self._statement["journal_from"]:
                yield f"entry {seq} of the ledger's journal is not in the statement"

    def _slots(self) -> Iterator[str]:
        first, last = _ms(self._statement["from"]), _ms(self._statement["to"])
        now = {(row["item"], row["slot"]): row for row in slots_between(self._ledger, first, last)}
        pruned = pruned_until(self._ledger) if any(entry["event"] == "prune" for entry in self._later) else {}
        for row in self._statement["slots"]:
            key = (row["item"], row["slot"])
            found, shown = now.pop(key, None), f"{row['item']} {iso(row['slot'])}"
            if found is None and row["slot"] >= pruned.get(row["item"], 0):
                yield f"the slot {shown} is gone, and nothing says that it was pruned"
            elif found is not None and found != row and not self._went_on(key, row):
                names = [name for name in row if found[name] != row[name]]
                yield f"the slot {shown} is not what was signed: {', '.join(names)}"
        for item, slot in sorted(now):
            if (item, slot) not in self._touched:
                yield f"the slot {item} {iso(slot)} is not in the statement"

    def _went_on(self, key: tuple[str, int], row: dict[str, Any]) -> bool:
        """Whether something says that a slot has changed since: an entry of the journal, or the chain of its run."""
        return key in self._touched or row["run_id"] in self._moved

    def _acts(self) -> Iterator[str]:
        first, last = _ms(self._statement["from"]), _ms(self._statement["to"])
        now = {row["id"]: row for row in rows_of(self._ledger, "acts", "slot>=? AND slot<? ORDER BY id", first, last)}
        pruned = pruned_until(self._ledger) if any(entry["event"] == "prune" for entry in self._later) else {}
        for act in self._statement["acts"]:
            found = now.pop(act["id"], None)
            if found != act and not (found is None and act["slot"] < pruned.get(act["item"], 0)):
                yield f"the {act['verb']} of {act['item']} {iso(act['slot'])} is not what was signed"
        for act in now.values():
            if (act["item"], act["slot"]) not in self._touched:
                yield f"the {act['verb']} of {act['item']} {iso(act['slot'])} is not in the statement"


def _ms(text: str) -> int:
    return to_ms(dt.datetime.fromisoformat(text))
