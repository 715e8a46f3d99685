"""The plain model of what `status` must show in red: of runs, of slots, and of a scheduler.

Order is that in which things happen here; only what the product says of heartbeats goes by the clock.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

SECOND, MINUTE, HOUR = 1000, 60_000, 3_600_000
GRACE = 10 * MINUTE
LEASE = 10 * MINUTE
ITEMS = {"a": (HOUR, 0), "b": (HOUR, 0), "c": (2 * HOUR, 30 * MINUTE)}
"""Item, which is its flow, too, to the period of its slots and their offset; `a` and `b` have the same times."""
ENDS = {"good": "SUCCESS", "fail": "FAILED", "kill": "INTERRUPTED", "ask": "UNKNOWN", "freeze": "FROZEN"}
"""How a run is made to end, and what it is then."""
Red = tuple[str, str, str | None]
"""Status, name, and run id, slot or reason code."""


@dataclass
class Run:
    """A run as it is."""

    flow: str
    run_id: str
    subject: object
    """Its slot, or its parameters."""
    status: str
    place: int
    """In the order of all ends."""
    seen: int
    """By the clock, its last heartbeat."""
    elsewhere: bool = False
    """Whether its process was on another host."""
    acked: bool = False
    closed: bool = False


@dataclass
class Refused:
    """A start that came to no run."""

    flow: str
    run_id: str
    subject: object
    place: int
    acked: bool = False
    closed: bool = False


@dataclass
class Model:
    """Runs, refused starts, slots, and who leads."""

    since: int
    runs: dict[str, Run] = field(default_factory=dict)
    refused: dict[str, Refused] = field(default_factory=dict)
    fates: dict[tuple[str, int], str] = field(default_factory=dict)
    """Item and slot to MISSED, SKIPPED, WAITING or the id of its run."""
    missed_at: dict[tuple[str, int], int] = field(default_factory=dict)
    """When it was decided that a slot is MISSED, by the clock of then."""
    cursors: dict[str, int] = field(default_factory=dict)
    """Item to when a scheduler has looked last."""
    acts: dict[tuple[str, int], str] = field(default_factory=dict)
    acked: set[tuple[str, int]] = field(default_factory=set)
    """Missed slots that nobody will make up for."""
    killed_at: int | None = None
    """When a scheduler wrote its last heartbeat that was killed, and that no other has replaced."""
    watched: frozenset[str] = frozenset()
    """The late heartbeats that the leader notes."""
    led: bool = False
    broken: dict[str, str] = field(default_factory=dict)
    """Flow to GONE, UNREADABLE or OLDER: its state file."""
    copied: dict[str, Run] = field(default_factory=dict)
    """The runs as a state has them that is OLDER."""
    newer_index: bool = False
    """Whether a newer version has the run index."""
    _places: int = 0

    # What happens

    def ends(self, flow: str, run_id: str, subject: object, turn: str, now: int, *, elsewhere: bool = False) -> None:
        """A run ends, or is left, by its turn."""
        self._places += 1
        known = self.runs.get(run_id)
        acked = known is not None and known.acked
        self.runs[run_id] = Run(flow, run_id, subject, ENDS[turn], self._places, now, elsewhere, acked)

    def is_refused(self, flow: str, run_id: str, subject: object) -> None:
        self._places += 1
        self.refused[run_id] = Refused(flow, run_id, subject, self._places)

    def due(self, now: int) -> list[tuple[str, int]]:
        """The slots whose time has come since the last look; those missed by a clock that was ahead come once more."""
        found = []
        for item, (period, offset) in ITEMS.items():
            last = max(self.since, min(self.cursors.get(item, self.since), now))
            slots = range((last - offset) // period * period + period + offset, now + 1, period)
            found += [(item, slot) for slot in slots if self.missed_at.get((item, slot), now + 1) > now]
        return sorted((each for each in found if self.fates.get(each, "MISSED") == "MISSED"), key=lambda each: each[1])

    def decide(self, now: int) -> list[tuple[str, int]]:
        """A scheduler looks: what of the slots is started."""
        started = [key for key, fate in self.fates.items() if fate == "WAITING" and key not in self.acts]
        for item, slot in self.due(now):
            act = self.acts.get((item, slot))
            if act == "skip":
                self.fates[item, slot] = "SKIPPED"
            elif act == "hold":
                self.fates[item, slot] = "WAITING"
            elif now - slot > GRACE:
                self.fates[item, slot] = "MISSED"
                self.missed_at[item, slot] = now
            else:
                started.append((item, slot))
        self.cursors |= dict.fromkeys(ITEMS, now)
        return started

    # What must be red

    def _status(self, run: Run, now: int) -> str | None:
        """What a run needs a person for, all others aside; None: nothing."""
        if run.closed or run.status == "SUCCESS":
            return None
        if run.status == "FROZEN":
            return "LATE" if abs(now - run.seen) > MINUTE else None
        if run.elsewhere and now - run.seen < MINUTE:
            return None  # it may live
        if run.status == "UNKNOWN":
            return "UNKNOWN"
        return None if self._is_over(run) else run.status

    def _is_over(self, run: Run | Refused) -> bool:
        """Whether a later run of the same has ended well, or a person has closed a later one."""
        same = [each for each in self.runs.values() if (each.flow, each.subject) == (run.flow, run.subject)]
        closing = isinstance(run, Run)
        later = (each for each in same if each.place > run.place)
        return any(each.status == "SUCCESS" or (each.closed and closing) for each in later)

    def _is_last(self, run: Run, now: int, among: Sequence[Run] | None = None) -> bool:
        """Whether no later run of the same speaks for it; one that asks, or is under way, speaks for itself."""
        if run.status in ("UNKNOWN", "FROZEN"):
            return True
        same = [each for each in among or self.runs.values() if (each.flow, each.subject) == (run.flow, run.subject)]
        return not any(each.place > run.place and self._status(each, now) in ("FAILED", "INTERRUPTED") for each in same)

    def _in_older(self, now: int) -> dict[tuple[str, str | None], str]:
        """The runs of states that are older: as these have them, but for ends that only the run index knows.

        A run that was killed has no end: one that the state lacks is not shown.
        """
        found: dict[tuple[str, str | None], str] = {}
        own = [run for run in self.runs.values() if self.broken.get(run.flow) == "OLDER"]
        kept = [run for run in own if run.run_id in self.copied and self.copied[run.run_id].place == run.place]
        for run in own:
            status = self._status(run, now) if run in kept or run.status == "FAILED" else None
            if status is not None and (run not in kept or self._is_last(run, now, kept)):
                found[run.flow, run.run_id] = status
        acked = {(run.flow, run.run_id) for run in kept if self.copied[run.run_id].acked}
        return {key: status for key, status in found.items() if key not in acked}

    def slots(self, now: int) -> set[Red]:
        """Status, item and slot, or run, of slots that need a person; with those that somebody has acknowledged.

        A slot whose run was killed is INTERRUPTED, as the run is.
        """
        found: set[Red] = set()
        for (item, slot), fate in self.fates.items():
            if fate == "MISSED" and (item, slot) not in self.acked:
                found.add(("MISSED", item, str(slot)))
            elif fate in self.runs and (status := self._status(self.runs[fate], now)) is not None:
                found.add((status, item, fate))
        return found

    def heartbeats(self, now: int) -> set[str]:
        """The reason codes of late heartbeats of a scheduler, and of what it watches."""
        if self.led:
            return set(self.watched)
        late = self.killed_at is not None and not 0 <= now - self.killed_at <= 3 * LEASE
        return {"leader_late"} if late else set()

    def rows_of_schedule(self, now: int) -> set[Red]:
        """What `aetherflow-scheduler status` must show."""
        acked = {run.run_id for run in self.runs.values() if run.acked}
        return {each for each in self.slots(now) if each[2] not in acked} | {
            ("LATE", "scheduler.yaml", code) for code in self.heartbeats(now)
        }

    def rows(self, now: int) -> set[Red]:
        """What `aetherflow status` must show."""
        found = {(name, what): status for status, name, what in self.rows_of_schedule(now)}
        if self.newer_index:
            found["registry.sqlite", None] = "UNREADABLE"
        found |= self._in_older(now)
        for run in (run for run in self.runs.values() if run.flow not in self.broken):
            status = self._status(run, now)
            if status is not None and not run.acked and self._is_last(run, now):
                found[run.flow, run.run_id] = status  # of a slot and its run there is one row
        for start in self.refused.values():
            if not (start.closed or start.acked or self._is_over(start)):
                found[start.flow, start.run_id] = "REFUSED"
        found |= {(flow, None): status for flow, status in self.broken.items()}
        return {(status, name, what) for (name, what), status in found.items()}
