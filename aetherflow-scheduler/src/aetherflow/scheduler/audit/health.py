"""Whether the scheduler of a document works: not whether its runs end well."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aetherflow.core.embedding import Holder, Reason, ReasonCode, iso, said
from aetherflow.scheduler.ledger.epochs import Epochs
from aetherflow.scheduler.ledger.leader import current_leader
from aetherflow.scheduler.ledger.places import is_there
from aetherflow.scheduler.ledger.pruning import pruned_until
from aetherflow.scheduler.ledger.store import Ledger
from aetherflow.scheduler.schedule.slots import next_slot
from aetherflow.scheduler.time.clock import from_ms, to_ms

if TYPE_CHECKING:
    from aetherflow.scheduler.schedule.schedule import Schedule

BEHIND_MS = 120_000
"""A scheduler that works enters a slot within seconds; on a busy machine, or with a slow disk, within this time."""


class Unhealthy(ReasonCode):
    """What keeps a scheduler from working."""

    NO_LEDGER = "no_ledger", "there is no ledger {path}: no scheduler has run yet"
    NO_LEADER = "no_leader", "no scheduler leads: none runs, or none can write the ledger"
    BEHIND = "behind", "the slot {slot} of {item} is due for {seconds} s and is not in the ledger"


@dataclass(slots=True)
class Health:
    """Who leads, and what is wrong; nothing if it works."""

    leader: Holder | None = None
    problems: list[Reason] = field(default_factory=list)


def health_of(schedule: "Schedule", ledger: Ledger) -> Health:
    """Look at the ledger of a schedule that `run` serves; reads only."""
    if not is_there(schedule.state):
        return Health(None, [said(Unhealthy.NO_LEDGER, path=schedule.state)])
    found = Health(current_leader(ledger))
    if found.leader is None:
        found.problems.append(said(Unhealthy.NO_LEADER))
    now, cursors, held = ledger.clock.now_ms(), Epochs(ledger).cursors(), pruned_until(ledger)
    for item in schedule.items:
        if not item.spec.enabled or item.id not in cursors or held.get(item.id, 0) > now:
            continue
        due = next_slot(item, from_ms(cursors[item.id]))
        if due is not None and (late := now - to_ms(due.at)) > BEHIND_MS:
            told = {"slot": iso(to_ms(due.at)), "item": item.id, "seconds": late // 1000}
            found.problems.append(said(Unhealthy.BEHIND, **told))
    return found
