"""The parts of a file of rows: files of the same format, each with the header. Memory does not grow with them."""

import codecs
import hashlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from aetherflow.core.api import Column, Row, StepError, open_file
from aetherflow_builtins_db.formats.parquet import ParquetWriter
from aetherflow_builtins_db.formats.sink import HashingSink, Packing, packed

MOST_PARTS, MOST_OPEN = 10_000, 500
"""Parts of a file; and of a Parquet file, whose parts are all open until the end."""
_HELD_BYTES, _HELD_ROWS = 32 << 20, 131_072
"""What waits in memory for all parts together: text, or rows of Parquet."""


@dataclass(slots=True)
class Part:
    """One file of the parts, while it is written."""

    path: Path
    value: str | None = None
    """The value of the column that all its rows have."""
    rows: int = 0
    held: list[Any] = field(default_factory=list)
    """Texts, or rows, that are not written yet."""

    def facts(self) -> dict[str, Any]:
        """What is known of the finished file but for its place: rows, bytes, sha256."""
        with open_file(self.path) as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        return {"value": self.value, "rows": self.rows, "bytes": self.path.stat().st_size, "sha256": sha256}


class Parts(Protocol):
    """Writes parts. `end` ends all that are open."""

    def size(self, item: Any) -> int:
        """Bytes of a text in a part, before compression; 0 if that is not known."""
        ...

    def add(self, part: Part, rows: Sequence[Any]) -> None:
        """Add texts, or rows of Parquet, to a part."""
        ...

    def end(self) -> None:
        """Write all that is held, and end every part."""
        ...


class TextParts:
    """Parts of a text file, in its encoding and compression, records as they are."""

    def __init__(self, header: str, encoding: str, packing: Packing) -> None:
        self._header, self._packing = header, packing
        self._encoder = codecs.getincrementalencoder(encoding)
        self._plain = self._encoder()
        self._encoders: dict[Path, codecs.IncrementalEncoder] = {}
        self._waiting: dict[Path, Part] = {}
        self._held = 0

    def size(self, item: str) -> int:
        """Bytes of a text in a part, before compression."""
        return len(self._plain.encode(item))

    def add(self, part: Part, rows: Sequence[str]) -> None:
        """Add records; they are written when enough wait."""
        part.held.extend(rows)
        part.rows += len(rows)
        self._waiting[part.path] = part
        self._held += sum(map(len, rows))
        if self._held > _HELD_BYTES:
            self.end()

    def end(self) -> None:
        """Write all that is held. A part may be added to later: its file is appended to."""
        for path, part in self._waiting.items():
            encoder, head = self._encoders.get(path), ""
            if encoder is None:
                encoder, head = self._encoders.setdefault(path, self._encoder()), self._header
            with path.open("ab") as file, packed(HashingSink(file), self._packing) as out:
                out.write(encoder.encode(head + "".join(part.held)))
            part.held = []
        self._waiting, self._held = {}, 0


class ParquetParts:
    """Parts of a Parquet file, with its types."""

    def __init__(self, columns: Sequence[Column], stack: ExitStack) -> None:
        self._columns, self._stack = columns, stack
        self._writers: dict[Path, ParquetWriter] = {}
        self._closing: dict[Path, ExitStack] = {}
        self._waiting: dict[Path, Part] = {}
        self._held = 0

    def size(self, item: Row) -> int:
        """0: only what is written tells."""
        del item
        return 0

    def add(self, part: Part, rows: Sequence[Row]) -> None:
        """Add rows; they become a row group when enough wait."""
        part.held.extend(rows)
        part.rows += len(rows)
        self._waiting[part.path] = part
        self._held += len(rows)
        if self._held >= _HELD_ROWS:
            self._write()

    def end(self) -> None:
        """Write all that is held, and the footers."""
        self._write()
        for closing in self._closing.values():
            closing.close()
        self._writers, self._closing = {}, {}

    def _write(self) -> None:
        for path, part in self._waiting.items():
            writer = self._writers.get(path) or self._opened(path)
            writer.write_rows(part.held)
            writer.end_group()
            part.held = []
        self._waiting, self._held = {}, 0

    def _opened(self, path: Path) -> ParquetWriter:
        if len(self._writers) >= MOST_OPEN:
            raise StepError(
                f"more than {MOST_OPEN} parts of a Parquet file at a time",
                fix="split by another column, or make CSV of it first: file_convert",
            )
        closing = self._stack.enter_context(ExitStack())
        sink = HashingSink(closing.enter_context(path.open("wb")))
        self._closing[path] = closing
        self._writers[path] = writer = closing.enter_context(ParquetWriter(sink, self._columns, "zstd"))
        return writer


def chunks(sizes: Sequence[int], most: int, begun: int, held: int) -> Iterator[tuple[slice, bool]]:
    """Cut a row of sizes so that no part has more than `most`; what alone is more stands alone.

    Yields each piece, and whether it begins a new part.

    :param begun: what a new part holds before its first piece
    :param held: what the part holds that the first piece may go into
    """
    start, total, fresh = 0, held, False
    for index, size in enumerate(sizes):
        if total > begun and total + size > most:
            if index > start:
                yield slice(start, index), fresh
            start, total, fresh = index, begun, True
        total += size
    if start < len(sizes):
        yield slice(start, len(sizes)), fresh
