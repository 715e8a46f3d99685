"""What needs a person: the answers of `aetherflow_needs_person`, and the lines that `aetherflow status` shows first."""

from dataclasses import dataclass
from typing import Literal

NeedStatus = Literal[
    "FAILED", "INTERRUPTED", "UNKNOWN", "REFUSED", "MISSED", "LATE", "UNFINISHED", "UNREADABLE", "GONE", "OLDER"
]
"""How a run ended; REFUSED: a start that was refused before its run began; MISSED: a slot of a schedule; LATE: a run,
a scheduler, a worker or a broker whose heartbeat is late, or a slot; UNFINISHED: one that ended well, but not finally,
with claims that later runs have left alone; UNREADABLE: a file that would have to say it; GONE: state files that are
there no more; OLDER: a state that lacks ends of runs which the run index knows."""


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """A person has it in hand."""

    by: str
    at: int
    """When it was said, in UTC epoch milliseconds."""
    reason: str
    until: int | None = None
    """UTC epoch milliseconds; after that it is shown again. None: until it is healed."""


@dataclass(frozen=True, slots=True)
class NeedsPerson:
    """A run, a refused start or a slot that nothing has healed since. Secrets in `cause` are masked by who makes it.

    `status` merges what speaks of one thing: entries of the same `run_id`, or of the same `flow_id` and `slot`. What
    the core knows of a run itself (its status, cause, commands) is kept then, and the rest is taken from the hook.
    """

    status: NeedStatus
    name: str
    """Of the flow, or of the item of a schedule."""
    since: int
    """When it ended so, or should have begun; UTC epoch milliseconds."""
    cause: str = ""
    """Why, in one line: `load.orders: duplicate key`."""
    reason_code: str | None = None
    error_code: str | None = None
    flow_id: str | None = None
    slot: str | None = None
    """Instant, ISO 8601 in UTC."""
    run_id: str | None = None
    holds_up: tuple[str, ...] = ()
    """Names of what waits for it, for people: `report (due 06:00)`."""
    owner: str | None = None
    runbook_url: str | None = None
    commands: tuple[str, ...] = ()
    """What goes on, each typable as it stands; several are alternatives. Two of UNKNOWN: the first if the step was
    done, the second if it was not."""
    acknowledged: Acknowledged | None = None
    times: int = 1
    """How often in a row it ended so, the last time included."""
    handle: str | None = None
    """What `aetherflow runs ack` takes for it; None if that cannot acknowledge it."""
    hint: str | None = None
    """What to do where no command goes on as it stands; `commands` then dismiss it."""
