"""Bounds what is read of a third-party text file, which may be packed, for a few records, and what is held of many."""

import io
from collections.abc import Iterator
from itertools import islice
from typing import IO, Any

from aetherflow.core.api import LimitExceededError
from aetherflow_builtins_reports.errors import SourceError
from aetherflow_builtins_reports.package.refs import MAX_COLUMN
from aetherflow_builtins_reports.sources.chunk import CHUNK_ROWS

MOST_BYTES = 64 << 20
"""Bytes of `_FEW` records, and of all that are held at once."""
_FEW = 16
"""Records between two looks: one at each would take a tenth of the time of reading."""


class Meter(io.RawIOBase):
    """Reads a file for a reader of records; LimitExceededError if more is read for a few records than they may have."""

    def __init__(self, file: IO[bytes], path: object) -> None:
        self._file: Any = file
        self._path = path
        self._count = self._mark = self._records = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._count - self._mark > MOST_BYTES:
            raise LimitExceededError(
                f"{self._path}: what follows record {self._records:,} does not end within {MOST_BYTES:,} bytes",
                fix="look where the file is from; if it is sound, check its quotes and line ends",
            )
        count: int = self._file.readinto(buffer)
        self._count += count
        return count

    def portions(self, records: Iterator[Any]) -> Iterator[list[Any]]:
        """The records that are read through this meter, in lists of `CHUNK_ROWS`, or of fewer if they are long."""
        while True:
            start, portion = self._count, list[Any]()
            while len(portion) < CHUNK_ROWS and self._count - start <= MOST_BYTES:
                few = list(islice(records, min(_FEW, CHUNK_ROWS - len(portion))))
                portion += few
                self._mark = self._count
                self._records += len(few)
                if not few:
                    break
            if not portion:
                return
            yield portion

    def refuse_wide(self, width: int) -> None:
        """SourceError for more fields than a sheet has columns."""
        if width > MAX_COLUMN:
            message = f"{self._path}: {width} columns do not fit: a sheet ends at column {MAX_COLUMN} (XFD)"
            raise SourceError(message, fix="check delimiter and line ends")
