"""How long the runs of items took, as the ledger has it."""

from collections.abc import Iterable
from typing import NamedTuple

from aetherflow.scheduler.ledger.store import Ledger

MOST_RUNS = 400
"""Latest runs of an item that are looked at: of a nightly one, those of 13 months."""
_QUERY = """SELECT item, slot, started_at, finished_at FROM slots WHERE item=? AND status='SUCCESS' AND
reason_code IS NULL AND started_at IS NOT NULL AND finished_at>=started_at AND trigger NOT IN ('manual', 'backfill')
ORDER BY slot DESC LIMIT ?"""


class PastRun(NamedTuple):
    """A slot that ran to its end by itself; times are UTC epoch milliseconds."""

    item: str
    slot: int
    started_at: int
    """Of its first start: waits between attempts are part of what it took."""
    finished_at: int

    @property
    def seconds(self) -> float:
        """How long it took, with waits between its attempts."""
        return (self.finished_at - self.started_at) / 1000


def past_runs(ledger: Ledger, item: str) -> list[PastRun]:
    """The latest slots of an item that ended well, the oldest first.

    Left out are those that were asked for by hand, that a person has resumed, and whose run the ledger does not know.
    """
    return [PastRun._make(row) for row in reversed(ledger.read(_QUERY, (item, MOST_RUNS)))]


def without_waits(runs: Iterable[PastRun]) -> list[PastRun]:
    """The runs of items that share a lock, from when each had it: one after the other, in the order of their ends."""
    found, free = list[PastRun](), 0
    for run in sorted(runs, key=lambda run: (run.finished_at, run.started_at)):
        if run.started_at < free:
            run = PastRun(run.item, run.slot, min(free, run.finished_at), run.finished_at)
        found.append(run)
        free = run.finished_at
    return sorted(found)
