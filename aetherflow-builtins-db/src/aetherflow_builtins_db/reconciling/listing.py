"""The file of differences: one line for a row that one side lacks, one for each column that differs."""

import io
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, BinaryIO

from aetherflow.core.api import CsvFormat
from aetherflow_builtins_db.formats.delimited import DelimitedWriter
from aetherflow_builtins_db.formats.sink import HashingSink
from aetherflow_builtins_db.formats.values import text_value
from aetherflow_builtins_db.reconciling.compare import RowDifference

MOST_CHARACTERS = 1000
"""Of a value in the file."""


class Listing:
    """Collects differences up to a limit, which also bounds the memory."""

    def __init__(self, limit: int, columns: Sequence[str], keys: Sequence[str]) -> None:
        self._limit, self._columns, self._keys = limit, columns, keys
        self._rows: list[tuple[Any, ...]] = []
        self.listed = 0
        """Rows that differ and are in the file."""

    def add(self, difference: RowDifference) -> None:
        """Take a difference, unless there are enough."""
        if self.listed >= self._limit:
            return
        self.listed += 1
        key = tuple(map(_shown, difference.key))
        if difference.source is None or difference.target is None:
            self._rows.append((difference.found, None, None, None, *key))
            return
        for index in difference.changed:
            here, there = _shown(difference.source[index]), _shown(difference.target[index])
            self._rows.append((difference.found, self._columns[index], here, there, *key))

    def write(self, write_file: Callable[[], AbstractContextManager[BinaryIO]]) -> None:
        """Write the differing keys as a CSV file, in place of one that is there."""
        with write_file() as file:
            text = io.BytesIO()
            names = ["difference", "column", "source", "target", *self._keys]
            writer = DelimitedWriter(HashingSink(text), names, CsvFormat())
            writer.write_header()
            writer.write(self._rows)
            file.write(text.getvalue())


def _shown(value: Any) -> str | None:
    if value is None:
        return None
    text = text_value(value)
    return text if len(text) <= MOST_CHARACTERS else f"{text[:MOST_CHARACTERS]}…"
