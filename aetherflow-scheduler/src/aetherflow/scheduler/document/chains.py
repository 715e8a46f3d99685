"""Checks the key `after`: unknown ids, cycles, and whose `cron` an item without one uses."""

from collections import deque
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
        self._no_circle: set[int] = set()
        self._told: set[frozenset[int]] = set()
        self._sources: dict[int, list[int]] = {}
        for index, item in items.items():
            for place, after in enumerate(item.follows):
                self._check(index, after, place)
            if index not in self._broken:
                self._no_circle.add(index)
            if not item.follows and item.after_status != "success":
                path: DocPath = ("items", index, "after_status")
                message = "after_status has no effect: the item follows no other"
                found.add("AF8007", message, path, "after", "add `after:`, or remove it", severity="warning", key=True)

    def sources_of(self, index: int) -> list[int]:
        """The indexes of the items whose `cron` an item uses: itself, or those along `after`; none if undecidable."""
        found: dict[int, None] = {}
        seen, left = set[int](), [index]
        while left:
            if (each := left.pop()) in seen:
                continue
            seen.add(each)
            if each in self._sources:
                found |= dict.fromkeys(self._sources[each])
                continue
            item = self._items.get(each)
            if item is None or (item.cron is None and (each in self._broken or not item.follows)):
                return []
            if item.cron is not None:
                found[each] = None
            else:
                left += [self._index[after] for after in item.follows]
        self._sources[index] = sorted(found)
        return self._sources[index]

    def at(self, index: int, place: int = 0) -> DocPath:
        """The path of one of the ids that `after` of an item names."""
        path: DocPath = ("items", index, "after")
        return (*path, place) if isinstance(self._items[index].after, list) else path

    def _check(self, index: int, after: str, place: int) -> None:
        name, path = self._items[index].id, self.at(index, place)
        if after not in self._index:
            others = self._index.keys() - {name}
            self._broken.add(index)
            fix = did_you_mean(after, others, what="other items")
            self._found.add("AF8007", f"after: no item {after!r}", path, "after", fix)
        elif way := self._circle(index, self._index[after]):
            if frozenset(way) not in self._told:  # once, not by each of its items
                self._told.add(frozenset(way))
                fix = "take one `after:` out of it"
                self._found.add("AF8007", f"after: a circle, {self._shown(way)}", path, "after", fix)
            self._broken.update(way)
        elif self._items[index].enabled and not self._is_enabled(after):
            message = f"after: {after!r} is not enabled, so it has no slots to wait for"
            self._found.add(
                "AF8007", message, path, "after", f"enable {after!r}, or take `after:` away", severity="warning"
            )

    def _is_enabled(self, name: str) -> bool:
        index = self._index[name]
        return index not in self._items or self._items[index].enabled

    def _circle(self, start: int, first: int) -> list[int]:
        """The shortest cycle that begins with a reference from one item to another; empty if there is none."""
        before: dict[int, int] = {first: start}
        left = deque([first] if first not in self._no_circle else [])
        while left:
            index = left.popleft()
            if index == start:
                way = [before[start]]
                while way[-1] != start:
                    way.append(before[way[-1]])
                return way[::-1]
            for after in self._items[index].follows if index in self._items else ():
                other = self._index.get(after)
                if other is not None and other not in before and other not in self._no_circle:
                    before[other] = index
                    left.append(other)
        return []

    def _shown(self, way: list[int]) -> str:
        """A cycle with the line of each `after` in it."""
        source = self._found.document.source
        named = [f"{self._items[each].id} (line {source.value(('items', each, 'after')).line})" for each in way]
        return " -> ".join([*named, self._items[way[0]].id])
