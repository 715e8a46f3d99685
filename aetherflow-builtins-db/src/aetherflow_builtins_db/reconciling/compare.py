"""Finds the rows that differ: by checksums of ever smaller ranges of keys, or by reading both sides in one order."""

import decimal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeAlias

from aetherflow.core.api import ConnectorError, Row, StepError, StepInputError
from aetherflow_builtins_db.formats.values import short_value
from aetherflow_builtins_db.reconciling.checksums import Hashing
from aetherflow_builtins_db.reconciling.pairs import Pair, Read
from aetherflow_builtins_db.reconciling.side import Key, KeyRange, Side

PARTS = 64
"""Parts into which a range is cut at a time."""
LEAF_ROWS = 8192
"""Rows of a range that are read instead of cut once more."""
_EXACT = decimal.Context(prec=1000)
How: TypeAlias = Literal["checksums", "rows"]
Differs: TypeAlias = Literal["missing", "extra", "changed"]
"""In the source alone, in the target alone, or in both with other values."""


class RowDifference(NamedTuple):
    """A row that differs; of a changed one the places of the columns that do."""

    found: Differs
    key: Key
    source: Row | None
    target: Row | None
    changed: tuple[int, ...] = ()


@dataclass
class Reconciled:
    """What a comparison has found."""

    how: How = "rows"
    source_rows: int = 0
    target_rows: int = 0
    counts: dict[Differs, int] = field(default_factory=lambda: {"missing": 0, "extra": 0, "changed": 0})
    sums: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    """By column of the target: of source and target."""
    read_rows: int = 0
    """Rows that were read one by one, of both sides."""

    @property
    def equal(self) -> bool:
        """Whether both sides have the same rows."""
        return not any(self.counts.values())


class Comparison:
    """The comparison of two sides, whose columns are paired by their places."""

    def __init__(
        self,
        source: Side,
        target: Side,
        pairs: Sequence[Pair],
        on_rows: Callable[[int], None],
        say: Callable[..., None],
    ) -> None:
        self._sides = (source, target)
        self._pairs = pairs
        self._on_rows, self._say = on_rows, say
        self._hashing = (Hashing(source, pairs, is_target=False), Hashing(target, pairs, is_target=True))
        self.result = Reconciled()

    def run(self, on_difference: Callable[[RowDifference], None]) -> Reconciled:
        """Compare all rows; `on_difference` is called for each that differs, in the order of the keys."""
        for within in self._ranges():
            self._read(within, on_difference)
        return self.result

    def _ranges(self) -> Iterator[KeyRange]:
        """The ranges whose rows have to be read, in the order of the keys; neighbours in one."""
        drivers = [side.database.connector.driver for side in self._sides]
        if not (self._hashing[0].knows(drivers[1]) and self._hashing[1].knows(drivers[0])):
            yield KeyRange()
            return
        try:
            found, other = [hashing.total() for hashing in self._hashing]
        except ConnectorError as error:
            self._say("all rows are read, because a database cannot compute their checksums: %s", error.message)
            yield KeyRange()
            return
        for (_, _, nulls), side in zip((found, other), self._sides, strict=True):
            _refuse_null_keys(nulls, side)
        result = self.result
        result.how, result.source_rows, result.target_rows = "checksums", found[0].rows, other[0].rows
        if found[1] and other[1]:
            pairs = zip(self._pairs, self._sides[0].names, self._sides[1].names, strict=True)
            result.sums = {
                each.name: (found[1][name], other[1][there])
                for each, name, there in pairs
                if name in found[1] and there in other[1]
            }
        if found[0] == other[0]:
            return
        last: KeyRange | None = None
        for within in self._narrowed(KeyRange(), found[0].rows):
            if last is not None and last.upto == within.after:
                last = KeyRange(last.after, within.upto)
                continue
            if last is not None:
                yield last
            last = within
        if last is not None:
            yield last

    def _narrowed(self, within: KeyRange, source_rows: int) -> Iterator[KeyRange]:
        if source_rows <= LEAF_ROWS:
            yield within
            return
        source, target = self._hashing
        borders = source.borders(within, -(-source_rows // PARTS))
        edges = [within.after, *borders, within.upto]
        here, there = source.parts(within, borders), target.parts(within, borders)
        for number, (one, other) in enumerate(zip(here, there, strict=True)):
            self._on_rows(0)
            if one != other:
                yield from self._narrowed(KeyRange(edges[number], edges[number + 1]), one.rows)

    def _read(self, within: KeyRange, on_difference: Callable[[RowDifference], None]) -> None:
        """Read both sides of a range in the order of their keys, and compare row by row."""
        result, counts_all = self.result, self.result.how == "rows"
        source, target = self._sides
        with source.rows(within) as here, target.rows(within) as there:
            readers = [each.readers() for each in self._pairs]
            summed = [index for index, each in enumerate(self._pairs) if each.meaning == "number"] if counts_all else []
            sums = [_Sums([index for index in summed if index not in source.keys]) for _ in range(2)]
            left = _Ordered(here, source, [one for one, _ in readers], sums[0], self._on_rows)
            right = _Ordered(there, target, [other for _, other in readers], sums[1], self._on_rows)
            for difference in self._merged(left, right):
                result.counts[difference.found] += 1
                on_difference(difference)
        result.read_rows += left.rows + right.rows
        if counts_all:
            result.source_rows, result.target_rows = left.rows, right.rows
            result.sums = {
                self._pairs[index].name: (sums[0].found[index], sums[1].found[index]) for index in sums[0].found
            }

    def _merged(self, left: "_Ordered", right: "_Ordered") -> Iterator[RowDifference]:
        keys = self._sides[0].keys
        here, there = left.rows_of(), right.rows_of()
        one, other = next(here, None), next(there, None)
        while one is not None or other is not None:
            if one is not None and one == other:
                one, other = next(here, None), next(there, None)
                continue
            mine = None if one is None else tuple([one[index] for index in keys])
            its = None if other is None else tuple([other[index] for index in keys])
            if other is None or (mine is not None and mine != its and self._is_less(mine, its)):
                yield RowDifference("missing", mine or (), one, None)
                one = next(here, None)
            elif one is None or mine != its:
                yield RowDifference("extra", its or (), None, other)
                other = next(there, None)
            else:
                changed = tuple(index for index, cell in enumerate(one) if cell != other[index])
                yield RowDifference("changed", mine or (), one, other, changed)
                one, other = next(here, None), next(there, None)

    def _is_less(self, mine: Key, its: Key | None) -> bool:
        try:
            return its is not None and mine < its
        except TypeError as error:
            raise _not_ordered(self._sides[0], mine) from error


class _Sums:
    """The sums of the columns of numbers that are no keys."""

    def __init__(self, places: Sequence[int]) -> None:
        self.found: dict[int, Any] = dict.fromkeys(places)

    def see(self, index: int, cells: Sequence[Any]) -> None:
        numbers = [cell for cell in cells if isinstance(cell, int | decimal.Decimal)]
        if not numbers:
            return
        total = decimal.Decimal(self.found[index] or 0)
        total = _EXACT.add(total, sum(cell for cell in numbers if isinstance(cell, int)))
        for cell in numbers:
            if not isinstance(cell, int):
                total = _EXACT.add(total, cell)
        self.found[index] = total


class _Ordered:
    """The rows of one side as values of the common kinds; StepError unless each key is above the one before."""

    def __init__(
        self,
        batches: Iterator[list[Row]],
        side: Side,
        readers: Sequence[Read | None],
        sums: _Sums,
        on_rows: Callable[[int], None],
    ) -> None:
        self._batches, self._side, self._readers = batches, side, readers
        self._sums, self._on_rows = sums, on_rows
        self.rows = 0

    def rows_of(self) -> Iterator[Row]:
        """The rows, one after another."""
        before: Key | None = None
        places = self._side.keys
        for batch in self._batches:
            rows = self._converted(batch)
            keys = [tuple([row[index] for index in places]) for row in rows]
            if nulls := sum(None in key for key in keys):
                _refuse_null_keys(nulls, self._side)
            for key in keys:
                if before is not None:
                    self._refuse_disorder(before, key)
                before = key
            self.rows += len(rows)
            self._on_rows(len(rows))
            yield from rows

    def _converted(self, batch: list[Row]) -> list[Row]:
        if not self._sums.found and not any(self._readers):
            return batch
        columns = list(zip(*batch, strict=True))
        for index, read in enumerate(self._readers):
            if read is not None:
                columns[index] = tuple(map(read, columns[index]))
            if index in self._sums.found:
                self._sums.see(index, columns[index])
        return list(zip(*columns, strict=True))

    def _refuse_disorder(self, before: Key, key: Key) -> None:
        try:
            if before < key:
                return
        except TypeError as error:
            raise _not_ordered(self._side, key) from error
        if before == key:
            raise StepError(
                f"{_shown(self._side, key)} occurs more than once in resource {self._side.resource}; rows are compared "
                "by their keys",
                fix="choose keys that name one row",
            )
        raise _not_ordered(self._side, key)


def _shown(side: Side, key: Key) -> str:
    names = [side.names[index] for index in side.keys]
    return ", ".join(f"{name} = {short_value(value)}" for name, value in zip(names, key, strict=True))


def _not_ordered(side: Side, key: Key) -> StepInputError:
    return StepInputError(
        f"resource {side.resource} does not order its keys as the other side does, at {_shown(side, key)}",
        fix="choose keys that are whole numbers, dates or text on both sides, or CAST them in a query",
    )


def _refuse_null_keys(nulls: int, side: Side) -> None:
    if nulls:
        names = ", ".join(side.names[index] for index in side.keys)
        raise StepError(
            f"{nulls} rows of resource {side.resource} have no value in the keys ({names}), by which rows are compared",
            fix="choose other keys, or leave these rows out by a query",
        )
