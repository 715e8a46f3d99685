"""Bounds what is read of a third-party text file, which may be packed, for one record, and what is held of many."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from aetherflow.core.api import LimitExceededError

MOST_BYTES = 64 << 20
"""Bytes of one record, and of all that are held at once. A value of 40 MB fits in as base64."""

MOST_FIELDS = 1 << 20
"""Fields of one record: more than a table of any database has columns."""


class Meter(io.RawIOBase):
    """Reads a file for a reader of records, which sets `mark` to `count` after each.

    LimitExceededError if more is read for one record than it may have.
    """

    def __init__(self, file: BinaryIO | None = None, path: Path | None = None) -> None:
        self._file = file
        self._path = path
        self.count = self.mark = 0
        self.lines: Callable[[], int] = int
        """Number of lines so far, for the message."""

    def readable(self) -> bool:
        return True

    def too_wide(self) -> LimitExceededError:
        """The error for a record of more than `MOST_FIELDS` fields."""
        return LimitExceededError(
            f"{self._path or 'the text'}: the record at line {self.lines() + 1:,} has more than {MOST_FIELDS:,} fields",
            fix="look where the file is from; if it is sound, check delimiter, quotechar and its line ends",
        )

    def readinto(self, buffer: Any) -> int:
        if self.count - self.mark > MOST_BYTES:
            raise too_long(f"{self._path}: the record at line {self.lines() + 1:,} does not end")
        count: int = self._file.readinto(buffer)  # type: ignore[union-attr]  # given to each that reads
        self.count += count
        return count


def too_long(what: str) -> LimitExceededError:
    """The error for what takes too many bytes; `what` names it."""
    return LimitExceededError(
        f"{what} within {MOST_BYTES:,} bytes",
        fix="look where the file is from; if it is sound, check its quotes and line ends",
    )
