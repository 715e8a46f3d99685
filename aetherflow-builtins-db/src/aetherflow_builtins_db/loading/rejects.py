"""Rejected rows: counted against a limit, and written to a CSV file with their reasons."""

import csv
import io
import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import BinaryIO

from aetherflow.core.api import StepError
from aetherflow_builtins_db.formats.values import json_value
from aetherflow_builtins_db.loading import meter as limits
from aetherflow_builtins_db.loading.batch import Reject

MAX_SHOWN = 200


class Rejects:
    """Collects rejected rows; a row above the limit ends the load."""

    def __init__(self, limit: int, unit: str = "line") -> None:
        self.limit = limit
        self.unit = unit
        self.found: list[Reject] = []
        self._size = 0

    def add(self, reject: Reject) -> None:
        """Add a row; StepError if there are more rows than the limit, or larger ones than may be held."""
        self.found.append(reject)
        self._size += _size(reject.record)
        if len(self.found) > self.limit:
            where = f"{self.unit} {reject.number}" + (f", column {reject.column}" if reject.column else "")
            if self.limit == 0:
                raise StepError(
                    f"{where}: {_short(reject.reason)}; nothing was loaded",
                    fix="correct the file, or set max_rejects to load the rest",
                )
            raise StepError(
                f"more than max_rejects ({self.limit}) rows cannot be loaded, the last at {where}: "
                f"{_short(reject.reason)}; nothing was loaded",
                fix="see the reject file",
            )
        if self._size > limits.MOST_BYTES:
            raise limits.too_long(f"{self.unit} {reject.number:,}: the rows that cannot be loaded are not")

    def write(self, write_file: Callable[[], AbstractContextManager[BinaryIO]]) -> None:
        """Write the rows to a CSV file with the columns line, column, reason, record."""
        with write_file() as file:
            text = io.StringIO(newline="")
            writer = csv.writer(text, lineterminator="\n")
            writer.writerow([self.unit, "column", "reason", "record"])
            for reject in sorted(self.found, key=lambda each: each.number):
                writer.writerow([reject.number, reject.column, " ".join(reject.reason.split()), _text(reject.record)])
            file.write(text.getvalue().encode("utf-8", "surrogateescape"))


def _text(record: object) -> str:
    return record if isinstance(record, str) else json.dumps(json_value(record), ensure_ascii=False)


def _size(record: object) -> int:
    if isinstance(record, tuple):
        return sum(len(each) for each in record if isinstance(each, str | bytes))
    return len(record) if isinstance(record, str) else 0


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= MAX_SHOWN else f"{line[:MAX_SHOWN]}…"
