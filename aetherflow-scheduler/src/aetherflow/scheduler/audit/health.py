"""Whether the scheduler of a document works: not whether its runs end well."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aetherflow.core.embedding import Holder, Reason, ReasonCode, said
from aetherflow.scheduler.audit.late import behind, watched
from aetherflow.scheduler.ledger.leader import current_leader
from aetherflow.scheduler.ledger.places import is_there
from aetherflow.scheduler.ledger.store import Ledger

if TYPE_CHECKING:
    from aetherflow.scheduler.schedule.schedule import Schedule


class Unhealthy(ReasonCode):
    """What keeps a scheduler from working."""

    NO_LEDGER = "no_ledger", "there is no ledger {path}: no scheduler has run yet"
    NO_LEADER = "no_leader", "no scheduler leads: none runs, or none can write the ledger"


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
    found.problems += [each.reason for each in behind(ledger, schedule.enabled)]
    if found.leader is not None:
        found.problems += [each.reason for each in watched(ledger)]
    return found
