"""Late heartbeats: of the scheduler that leads, and of the workers and brokers that it watches."""

import json
import shlex
from collections.abc import Container, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from aetherflow.core.embedding import Holder, Reason, ReasonCode, iso, read_reason, said
from aetherflow.scheduler.ledger.epochs import Epochs
from aetherflow.scheduler.ledger.leader import last_leader
from aetherflow.scheduler.ledger.pruning import pruned_until
from aetherflow.scheduler.ledger.records import SlotRow
from aetherflow.scheduler.ledger.store import SCHEDULER, Ledger
from aetherflow.scheduler.time.clock import Clock

if TYPE_CHECKING:
    from aetherflow.scheduler.ledger.truth import Truth

BEHIND_MS = 120_000
"""A scheduler that works enters a slot within seconds; on a busy machine, or with a slow disk, within this time."""
LATE_LEASES = 3
"""Lease times without a renewal after which a leader is late; a standby or a service manager replaces it before."""
_USUAL_LEASE_MS = 10_000
WATCHED = "late_heartbeats"
"""Name of the fact in the ledger in which the leader notes the late heartbeats of what it watches."""


class LateReason(ReasonCode):
    """The codes of late heartbeats, with their texts."""

    LEADER = "leader_late", "no scheduler leads; the last one, pid {pid} on {host}, wrote its last heartbeat {at}"
    BEHIND = "behind", "the slot {slot} of {item} is due for {seconds} s and is not in the ledger"


@dataclass(frozen=True, slots=True)
class Late:
    """A heartbeat that is late."""

    reason: Reason
    since: int
    """The last heartbeat, or when it should have come; UTC epoch milliseconds."""
    commands: tuple[str, ...] = ()
    row: SlotRow | None = None
    """The slot whose run it is of."""


def late_heartbeats(ledger: Ledger, document: Path) -> list[Late]:
    """Return the heartbeats that are late; none after a planned stop. Reads only."""
    leader = last_leader(ledger)
    if leader is None or not leader.alive:
        return _without_leader(ledger, leader, document)
    return [*behind(ledger), *watched(ledger)]


def _without_leader(ledger: Ledger, last: Holder | None, document: Path) -> list[Late]:
    """A scheduler that has entered the ledger and has neither left it nor been replaced ended without a stop."""
    entered = [owner for owner in ledger.owners().values() if owner.kind == SCHEDULER]
    if not entered:
        return []
    newest = max(entered, key=lambda owner: owner.since)
    seen, lease, pid, host = newest.since, _USUAL_LEASE_MS, newest.pid, newest.host
    if last is not None and last.renewed_at >= seen:
        seen, pid, host = last.renewed_at, last.pid, last.host
        lease = last.expires_at - last.renewed_at
    if 0 <= ledger.clock.now_ms() - seen <= LATE_LEASES * lease:  # a time in the future is of a clock that was ahead
        return []
    command = shlex.join(["aetherflow-scheduler", "run", str(document)])
    return [Late(said(LateReason.LEADER, pid=pid, host=host, at=iso(seen)), seen, (command,))]


def behind(ledger: Ledger, items: Container[str] | None = None) -> list[Late]:
    """The items, all or those of `items`, of which a slot should be in the ledger by now, each with the first one."""
    from aetherflow.scheduler.audit.audit import expected_slots

    now, cursors, held = ledger.clock.now_ms(), Epochs(ledger).cursors(), pruned_until(ledger)
    found = []
    for item, epoch in sorted(Epochs(ledger).present().items()):
        if item not in cursors or (items is not None and item not in items) or held.get(item, 0) > now:
            continue
        due = next(expected_slots([epoch], cursors[item] + 1, now - BEHIND_MS), None)
        if due is not None:
            why = said(LateReason.BEHIND, slot=iso(due), item=item, seconds=(now - due) // 1000)
            found.append(Late(why, due))
    return found


def late_runs(rows: Iterable[SlotRow], truth: "Truth") -> list[Late]:
    """The slots that run, but whose runs write no heartbeat; `aetherflow status` shows these runs itself."""
    from aetherflow.core.embedding import late_run, late_run_commands

    rows, now, found = list(rows), Clock().now_ms(), []
    runs = truth.runs(rows) if rows else {}
    for row in rows:
        trouble = runs.get((row.item, row.slot))
        if trouble is not None and (why := late_run(trouble.run, now)) is not None:
            run = trouble.run
            found.append(Late(why, run.heartbeat_at or run.started_at, late_run_commands(run, why), row))
    return found


def watched(ledger: Ledger) -> list[Late]:
    """What the leader has noted of workers and brokers."""
    rows = ledger.read("SELECT value FROM meta WHERE name=?", (WATCHED,))
    found = []
    for code, text, since in json.loads(rows[0][0]) if rows else ():
        if (reason := read_reason(code, text)) is not None:
            found.append(Late(reason, since))
    return found
