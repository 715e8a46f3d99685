"""A night of a schedule on a clock that obeys, and the plain model of what persons may do to its slots meanwhile.

All happens at the quarters of a minute: slots are due at :00, persons act at :15, the scheduler comes and goes at :30,
what was said for a time is over at :45. So no two things are to be told apart by less than some seconds.
"""

import random
from dataclasses import dataclass, field
from typing import Any

MINUTE = 60_000
ITEMS = ("a", "b", "c")
"""`b` follows `a`, which has the same times; `c` has others."""


@dataclass
class Act:
    """What a person did to a slot."""

    verb: str
    item: str
    slot: int
    reason: str
    until: int | None
    ended: int | None = None

    def stands(self, now: int) -> bool:
        return self.ended is None and (self.until is None or self.until > now)

    @property
    def end(self) -> int:
        return min((each for each in (self.until, self.ended) if each is not None), default=1 << 62)


@dataclass
class Policy:
    """The keys of an item that decide."""

    misfire: str
    overlap: str
    grace: int
    most: int

    @classmethod
    def at_random(cls, chance: random.Random) -> "Policy":
        grace = chance.choice([1, 1, 5, 60]) * MINUTE
        misfire, overlap = chance.choice(["skip", "last", "all"]), chance.choice(["queue", "allow"])
        return cls(misfire, overlap, grace, chance.choice([1, 3]))

    def keys(self) -> dict[str, Any]:
        return {
            "misfire": self.misfire,
            "overlap": self.overlap,
            "misfire_grace_time": self.grace // 1000,
            "max_catch_up": self.most,
            "spacing_seconds": 0,
        }


@dataclass
class Model:
    """Three items, their slots, and what was done to them."""

    since: int
    slots: dict[str, list[int]]
    policies: dict[str, Policy]
    failing: set[tuple[str, int]]
    fates: dict[tuple[str, int], str] = field(default_factory=dict)
    """Item and slot to WAITING, or to the status in which it has ended, with its code."""
    claimed: dict[tuple[str, int], int] = field(default_factory=dict)
    acts: list[Act] = field(default_factory=list)
    ran: set[tuple[str, int]] = field(default_factory=set)

    # What persons do

    def kept(self, item: str, slot: int, now: int) -> Act | None:
        """The hold or the skip of a slot that stands."""
        act = self._latest(item, slot)
        return act if act is not None and act.stands(now) else None

    def _latest(self, item: str, slot: int) -> Act | None:
        own = [act for act in self.acts if (act.item, act.slot) == (item, slot) and act.verb in ("hold", "skip")]
        return own[-1] if own else None

    def _held(self, item: str, slot: int, now: int) -> bool:
        act = self.kept(item, slot, now)
        return act is not None and act.verb == "hold"

    def acked(self, item: str, slot: int, now: int) -> bool:
        acks = [act for act in self.acts if act.verb == "ack" and (act.item, act.slot) == (item, slot)]
        return any(act.stands(now) for act in acks)

    def open(self, now: int) -> list[Act]:
        """Holds and skips from which something may come yet."""
        keys = {(act.slot, act.item) for act in self.acts}
        found = [self.kept(item, slot, now) for slot, item in sorted(keys)]
        return [act for act in found if act is not None and self._is_open(act.item, act.slot)]

    def _is_open(self, item: str, slot: int) -> bool:
        return self.fates.get((item, slot), "WAITING") == "WAITING"

    def next_of(self, verb: str, item: str, now: int) -> int | None:
        """Which slot `--next` means; None: there is none."""
        if verb == "release":
            return next((act.slot for act in self.open(now) if act.item == item), None)
        for slot in self.slots[item]:
            fate = self.fates.get((item, slot))
            act = self.kept(item, slot, now)
            skipped = fate is None and act is not None and act.verb == verb == "skip"
            if fate == "WAITING" or (fate is None and not skipped):
                return slot
        return None

    def does(self, verb: str, item: str, slot: int, reason: str, until: int | None, now: int) -> bool:
        """Do it if it can be done; False: it is refused."""
        fate = self.fates.get((item, slot))
        if verb == "ack":
            missed = fate in ("MISSED misfire", "MISSED max_catch_up", "SKIPPED after")
            if not missed and not self.acked(item, slot, now):
                return False
            if self.acked(item, slot, now):
                return True  # nothing new is said
        elif verb == "release":
            if self.kept(item, slot, now) is None or (fate or "").startswith("SKIPPED"):
                return False
        elif not self._is_open(item, slot) or slot not in self.slots[item] or not _is_later(until, max(slot, now)):
            return False
        if verb != "ack" and (before := self._latest(item, slot)) is not None and before.ended is None:
            before.ended = now
        self.acts.append(Act(verb, item, slot, reason, until))
        if verb == "skip" and fate == "WAITING":
            self.fates[item, slot] = "SKIPPED skipped"
        return True

    # What the scheduler does

    def settle(self, now: int) -> None:
        """A scheduler, or a pass, sees what is due, and starts what may start; runs end at once."""
        for item in ITEMS:
            self._decide(item, now)
        changed = True
        while changed:
            changed = any(self._try(item, slot, now) for item in ITEMS for slot in self.slots[item])

    def _decide(self, item: str, now: int) -> None:
        policy, wanted = self.policies[item], []
        for slot in self.slots[item]:
            if slot > now or (item, slot) in self.fates:
                continue
            self.claimed[item, slot] = now
            act = self._latest(item, slot)
            if act is not None and act.verb == "skip" and act.stands(now):
                self.fates[item, slot] = "SKIPPED skipped"
            elif self._held(item, slot, now):
                self.fates[item, slot] = "WAITING"
            else:
                begin = slot if act is None or act.verb == "skip" else max(slot, act.end)
                if policy.misfire == "skip" and now - begin > policy.grace:
                    self.fates[item, slot] = "MISSED misfire"
                else:
                    wanted.append(slot)
        kept = wanted[-policy.most :] if policy.misfire == "all" else wanted[-1:]
        for slot in wanted:
            left = "max_catch_up" if policy.misfire == "all" else "coalesced"
            self.fates[item, slot] = "WAITING" if slot in kept else f"MISSED {left}"

    def _try(self, item: str, slot: int, now: int) -> bool:
        if self.fates.get((item, slot)) != "WAITING" or self._held(item, slot, now):
            return False
        if item == "b":
            other = self.fates["a", slot]
            if other == "WAITING":
                return False
            if other != "SUCCESS":
                self.fates[item, slot] = "SKIPPED after"
                return True
        before = [each for each in self.slots[item] if each < slot and self.fates.get((item, each)) == "WAITING"]
        if self.policies[item].overlap == "queue" and any(not self._held(item, each, now) for each in before):
            return False
        assert (item, slot) not in self.ran
        self.ran.add((item, slot))
        self.fates[item, slot] = "FAILED" if (item, slot) in self.failing else "SUCCESS"
        return True

    # What has to be shown

    def needs(self, now: int) -> set[tuple[str, int]]:
        """Slots that need a person."""
        wrong = ("FAILED", "MISSED misfire", "MISSED max_catch_up")
        bad = {key for key, fate in self.fates.items() if fate in wrong}
        return {key for key in bad if self.fates[key] == "FAILED" or not self.acked(*key, now)}

    def gaps(self, now: int, *, led: bool) -> set[tuple[str, int]]:
        """Slots for which nobody was there in time."""
        found = set()
        for item in ITEMS:
            grace = self.policies[item].grace
            for slot in (slot for slot in self.slots[item] if slot <= now):
                fate, act = self.fates.get((item, slot)), self._latest(item, slot)
                if fate is None and now - slot > grace:
                    found.add((item, slot))
                held = act.end if act is not None and act.verb == "hold" else 0
                if fate == "WAITING" and not led and now - max(slot, self.claimed[item, slot], held) > grace:
                    found.add((item, slot))
        return found


def _is_later(until: int | None, instant: int) -> bool:
    return until is None or until > instant


def document(policies: dict[str, Policy], since: str) -> list[dict[str, Any]]:
    """The items of a scheduler.yaml."""
    own: dict[str, dict[str, Any]] = {
        "a": {"cron": "*/2 * * * *"},
        "b": {"after": "a"},
        "c": {"cron": "1-59/3 * * * *"},
    }
    return [{"id": name, **own[name], "since": since, **policies[name].keys()} for name in ITEMS]
