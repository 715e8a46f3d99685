"""The rows that have the value of a watermark: remembered, so that later rows of the same value count as new."""

import base64
import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

from aetherflow.core.api import Row, StepError, StepInputError
from aetherflow_builtins_db.loading.table import find_name

MAX_ROWS = 100_000
"""Rows that are remembered, at most."""
Use: TypeAlias = Literal["merge", "append", "keys"]
"""`merge`: a row may be given twice. `append`: it must not. `keys`: it must not, if the rows before are known."""


class LastRows:
    """The rows of the greatest value, each as a hash of its keys or of all its columns."""

    def __init__(self, use: Use, keys: Sequence[str], stored: Mapping[str, Any] | None) -> None:
        """`stored` is the entry of the ledger, of which those of earlier versions name no rows."""
        self._use, self._keys = use, keys
        known = stored.get("rows") if stored is not None else None
        self._columns: list[str] | None = known["columns"] if known else None
        self._known: list[str] = known["hashes"] if known else []
        self._skips_all = stored is not None and known is None and use == "append"

    @property
    def identity(self) -> list[Any]:
        """Names the remembered rows; empty without any."""
        return [hashlib.sha256("".join(sorted(self._known)).encode()).hexdigest()] if self._known else []

    def open(self, names: list[str]) -> None:
        """Begin with a result of these columns; StepInputError if it lacks one that identifies a row."""
        self._names = names
        picked = [_place(key, names) for key in self._keys] if self._keys else list(range(len(names)))
        self._picked = picked
        places = None if self._columns is None else [find_name(name, names) for name in self._columns]
        if places is not None and None in places and self._use != "merge":
            gone = [name for name, place in zip(self._columns or (), places, strict=True) if place is None]
            raise StepInputError(
                f"the column {gone[0]}, by which rows of the watermark are remembered, is no longer in the result",
                fix="give the result this column again, or give the watermark another name",
            )
        self._old = None if places is None or None in places else [names.index(str(name)) for name in places]
        self._same_columns = self._old == picked
        self._left = Counter(self._known if self._old is not None else [])
        self._found: list[str] = []
        self._skipped: list[str] = []
        self._too_many = False

    def new_of(self, batch: list[Row], index: int, before: Any) -> list[Row]:
        """The rows of a batch without those of the value `before` that were given in earlier runs."""
        if not self._skips_all and not self._left:
            return batch
        kept = []
        for row in batch:
            if row[index] == before and (self._skips_all or self._is_known(row)):
                if not self._same_columns and len(self._skipped) <= MAX_ROWS:
                    self._skipped.append(_hash(row, self._picked))
            else:
                kept.append(row)
        return kept

    def _is_known(self, row: Row) -> bool:
        if self._old is None:
            return False
        found = _hash(row, self._old)
        if not self._left[found]:
            return False
        self._left[found] -= 1
        return True

    def add(self, batch: list[Row], index: int, value: Any, *, is_greater: bool) -> None:
        """Remember the rows of the greatest value so far, which may be greater than that of earlier batches."""
        if is_greater:
            self._found, self._too_many = [], False
        for row in batch:
            if row[index] == value and not self._too_many:
                self._found.append(_hash(row, self._picked))
                self._too_many = len(self._found) > MAX_ROWS

    def stored(self, *, same_value: bool, found: bool) -> dict[str, Any] | None:
        """The entry of the ledger for the rows; None if too many have the value, of which merging does no harm.

        :param same_value: whether the value is that of earlier runs
        :param found: whether rows of the value were given now
        """
        hashes = self._found if found else []
        if same_value:
            hashes = [*(self._known if self._same_columns else self._skipped), *hashes]
        if self._too_many or len(hashes) > MAX_ROWS:
            if self._use == "merge":
                return None
            raise StepError(
                f"more than {MAX_ROWS:,} rows have the greatest value of watermark.column, and would be given again",
                fix="choose a column with fewer rows of one value, such as a time with fractions of a second"
                + ("" if self._use == "keys" else ", or mode: merge"),
            )
        return {"columns": [self._names[place] for place in self._picked], "hashes": hashes}


def _place(key: str, names: list[str]) -> int:
    found = find_name(key, names)
    if found is None:
        raise StepInputError(
            f"watermark.keys names no column of the query: {key}", fix=f"its columns are: {', '.join(names)}"
        )
    return names.index(found)


def _hash(row: Row, places: Sequence[int]) -> str:
    text = json.dumps([row[place] for place in places], default=_told)
    return base64.b64encode(hashlib.blake2b(text.encode(), digest_size=12).digest()).decode()


def _told(value: Any) -> Any:
    """What JSON does not have, as text with its type."""
    if isinstance(value, bytes | bytearray | memoryview):
        return ["bytes", bytes(value).hex()]
    return [type(value).__name__, str(value)]
