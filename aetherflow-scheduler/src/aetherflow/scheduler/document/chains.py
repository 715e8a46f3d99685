"""Checks the key `after`: unknown ids, cycles, and whose `cron` an item without one uses."""

from collections.abc import Mapping

from aetherflow.core.embedding import DocPath, did_you_mean
from aetherflow.scheduler.document.findings import Findings
from aetherflow.scheduler.schedule.spec import SchedulerItemSpec


class Chains:
    """The checked `after` references of all items."""

    def __init__(self, items: Mapping[int, SchedulerItemSpec], index_of: Mapping[str, int], found: Findings) -> None:
        self._items = items
        self._found = found
        self._index = index_of
        self._broken: set[int] = set()
        for index, item in items.items():
            if item.after is not None:
                self._check(index, item.after)

    def source_of(self, index: int) -> int | None:
        """The index of the item whose `cron` an item uses: its own, or the first along `after`; None if undecidable."""
        while index in self._items and self._items[index].cron is None:
            after = self._items[index].after
            if after is None or index in self._broken:
                return None
            index = self._index[after]
        return index if index in self._items else None

    def _check(self, index: int, after: str) -> None:
        path: DocPath = ("items", index, "after")
        if after not in self._index:
            others = self._index.keys() - {self._items[index].id}
            self._add(index, f"after: no item {after!r}", did_you_mean(after, others, what="other items"))
        elif circle := self._circle(index):
            self._add(index, f"after: a circle, {' -> '.join(circle)}", "take one `after:` out of it")
        elif self._items[index].enabled and not self._is_enabled(after):
            message = f"after: {after!r} is not enabled, so it has no slots to wait for"
            self._found.add(
                "AF8007", message, path, "after", f"enable {after!r}, or take `after:` away", severity="warning"
            )

    def _is_enabled(self, name: str) -> bool:
        index = self._index[name]
        return index not in self._items or self._items[index].enabled

    def _circle(self, start: int) -> list[str]:
        """The ids of the cycle through an item; empty if it is in none."""
        way, index = [self._items[start].id], start
        for _ in self._items:
            after = self._items[index].after if index in self._items else None
            if after is None or after not in self._index:
                return []
            index = self._index[after]
            way.append(after)
            if index == start:
                return way
        return []

    def _add(self, index: int, message: str, fix: str) -> None:
        self._broken.add(index)
        self._found.add("AF8007", message, ("items", index, "after"), "after", fix)
