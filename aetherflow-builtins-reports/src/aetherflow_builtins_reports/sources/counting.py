"""Counts the rows of a file without casting them."""

import codecs
from pathlib import Path

from aetherflow.core.api import StepInputError
from aetherflow_builtins_reports.sources.delimited import DelimitedSource, Dialect, text_of
from aetherflow_builtins_reports.sources.meter import Meter
from aetherflow_builtins_reports.sources.opening import HashedFile, unpack
from aetherflow_builtins_reports.sources.parquet import ParquetSource

_BLOCK = 1 << 20
_WIDE = ("utf-16", "utf-32")


def count_rows(path: Path, kind: str, dialect: Dialect, *, fast: bool, has_header: bool) -> int:
    """Number of rows. `fast` counts line ends in a CSV or TSV file, which is too much if quoted fields hold some."""
    if kind == "parquet":
        source = ParquetSource(path)
        source.close()
        return source.rows
    if kind == "jsonl":
        return _records(path, dialect.encoding)
    if fast:
        if codecs.lookup(dialect.encoding).name.startswith(_WIDE):
            raise StepInputError(
                f"count_mode: fast cannot count lines in {dialect.encoding}", fix="set count_mode: csv_parse"
            )
        return max(0, _lines(path, dialect.linefeed.encode(dialect.encoding)) - int(has_header))
    delimited = DelimitedSource(path, dialect, has_header=has_header)
    try:
        return delimited.count()
    finally:
        delimited.close()


def _records(path: Path, encoding: str) -> int:
    """Number of lines that are not blank."""
    file = HashedFile(path)
    try:
        meter = Meter(unpack(file, path), path)
        lines = (line for line in text_of(meter, encoding) if line.strip())
        return sum(map(len, meter.portions(lines)))
    finally:
        file.close()


def _lines(path: Path, end: bytes) -> int:
    file = HashedFile(path)
    try:
        stream = unpack(file, path)
        count, tail, last = 0, b"", end
        while block := stream.read(_BLOCK):
            data = tail + block
            count += data.count(end)
            last = data[-len(end) :]
            tail = data[len(data) - len(end) + 1 :]
            if tail == end:
                tail = b""
        return count + (last != end)
    finally:
        file.close()
