"""What has to become of the slots of one item, told plainly: the model that the scheduler is compared with."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Policy:
    """The keys of an item that decide."""

    overlap: str
    misfire: str
    grace: int = 300_000
    max_catch_up: int = 4
    spacing: int = 0


@dataclass
class Slot:
    """A slot that waits or runs."""

    at: int
    not_before: int
    queued: bool
    end: int | None = None
    """When its run ends, once that was started."""
    live: bool = False
    """A scheduler that lives watches it."""

    @property
    def begun(self) -> bool:
        return self.end is not None


class Model:
    """One item, its slots, and the spans of time during which a scheduler lives."""

    def __init__(self, policy: Policy, slots: Sequence[int], duration: Callable[[int], int]) -> None:
        self._policy = policy
        self._slots = slots
        self._duration = duration
        self._seen = 0
        self._open: list[Slot] = []
        self.fates: dict[int, str] = {}

    def live(self, start: int, end: int) -> None:
        """A scheduler lives from `start` until it is killed at `end`."""
        for slot in self._open:
            slot.live = False
        now: int | None = start
        while now is not None:
            self._pass(now)
            now = self._next(now, end)

    def finish(self) -> dict[int, str]:
        """The fate of every slot; `RUNNING` and `WAITING` for those whose fate is open."""
        for slot in self._open:
            self.fates[slot.at] = "RUNNING" if slot.live else "WAITING"
        return self.fates

    def _next(self, now: int, end: int) -> int | None:
        coming = list(self._slots[self._seen : self._seen + 1])
        coming += [slot.end for slot in self._open if slot.live and slot.end is not None]
        coming += [slot.not_before for slot in self._open if not slot.live]
        later = [instant for instant in coming if now < instant < end]
        return min(later, default=None)

    def _pass(self, now: int) -> None:
        self._enter(now)
        changed = True
        while changed:
            changed = self._ends(now)
            for slot in sorted(self._open, key=lambda slot: (not slot.begun, slot.at)):
                if slot in self._open and not slot.live:
                    changed |= self._try(slot, now)

    def _enter(self, now: int) -> None:
        due = []
        while self._seen < len(self._slots) and self._slots[self._seen] <= now:
            due.append(self._slots[self._seen])
            self._seen += 1
        if self._policy.misfire == "skip":
            for at in [at for at in due if now - at > self._policy.grace]:
                self.fates[at] = "MISSED misfire"
            due = [at for at in due if at not in self.fates]
        number = self._policy.max_catch_up if self._policy.misfire == "all" else 1
        for at in due[:-number]:
            self.fates[at] = "MISSED max_catch_up" if self._policy.misfire == "all" else "MISSED coalesced"
        kept = due[-number:]
        all_run = self._policy.misfire == "all"
        behind = all_run and 0 < sum(slot.queued for slot in self._open) <= number
        for index, at in enumerate(kept):
            late = all_run and now - at > self._policy.grace
            queued = len(kept) > 1 or behind or late
            self._open.append(Slot(at, now + index * self._policy.spacing, queued=queued))

    def _ends(self, now: int) -> bool:
        over = [slot for slot in self._open if slot.live and slot.end is not None and slot.end <= now]
        for slot in over:
            self._leave(slot, "SUCCESS")
        return bool(over)

    def _try(self, slot: Slot, now: int) -> bool:
        """Let a slot start if it may; True if something came of it."""
        others = [other for other in self._open if other is not slot]
        if now < slot.not_before:
            return False
        if self._policy.overlap != "allow":
            if slot.begun:
                if any(other.live or (other.begun and other.at < slot.at) for other in others):
                    return False
            elif ahead := [other for other in others if other.at < slot.at or other.live or other.begun]:
                if slot.queued or self._policy.overlap == "queue":
                    return False
                if self._policy.overlap == "skip":
                    self._leave(slot, "SKIPPED overlap")
                    return True
                return self._replace(slot, ahead, now)
        slot.live = True
        if slot.end is None:
            slot.end = now + self._duration(slot.at)
            if slot.queued:
                behind = [other for other in others if other.queued and not other.begun and other.at > slot.at]
                for number, other in enumerate(sorted(behind, key=lambda other: other.at), 1):
                    other.not_before = max(other.not_before, now + number * self._policy.spacing)
        return True

    def _replace(self, slot: Slot, others: list[Slot], now: int) -> bool:
        done = False
        for other in others:
            if not other.live and other.at < slot.at:
                self._leave(other, "FAILED replaced" if other.begun else "SKIPPED replaced")
                done = True
            elif other.live:
                assert other.end is not None
                self._leave(other, "SUCCESS" if other.end <= now else "FAILED replaced")
                done = True
        return done

    def _leave(self, slot: Slot, fate: str) -> None:
        self._open.remove(slot)
        self.fates[slot.at] = fate
