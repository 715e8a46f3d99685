"""Reads JSON lines as chunks: one object or list per line, with JSON's types."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aetherflow_builtins_reports.cells.casting import MISSING_VALUE
from aetherflow_builtins_reports.errors import SourceError
from aetherflow_builtins_reports.sources.chunk import Chunk, transposed
from aetherflow_builtins_reports.sources.delimited import text_of
from aetherflow_builtins_reports.sources.meter import Meter
from aetherflow_builtins_reports.sources.opening import HashedFile, unpack


class JsonlSource:
    """A file of JSON lines. The columns of objects are `columns`, or else all keys in the order of their appearance.

    Without `columns` the file is read twice, so that keys that appear late are known from the start.
    """

    def __init__(self, path: Path, columns: list[str] | None, encoding: str = "utf-8") -> None:
        self.path = path
        self._encoding = encoding
        self._file: HashedFile | None = None
        self._text: io.TextIOWrapper | None = None
        self.names = columns or self._keys()

    def _keys(self) -> list[str] | None:
        keys: dict[str, None] = {}
        meter = self._open()
        for portion in meter.portions(self._records()):
            for record in portion:
                if isinstance(record, dict):
                    keys.update(dict.fromkeys(record))
            meter.refuse_wide(len(keys))
        return list(keys) or None

    def _open(self) -> Meter:
        self.close()
        self._file = HashedFile(self.path)
        meter = Meter(unpack(self._file, self.path), self.path)
        self._text = text_of(meter, self._encoding)  # kept in self: its finalizer would close the file
        return meter

    def _records(self) -> Iterator[Any]:
        number = 0
        try:
            for number, line in enumerate(self._text or (), 1):
                if line.strip():
                    record = json.loads(line)
                    if not isinstance(record, dict | list):
                        raise SourceError(f"{self.path}:{number}: a line must hold an object or a list")
                    yield record
        except (ValueError, EOFError) as error:
            if isinstance(error, SourceError):
                raise
            raise SourceError(f"{self.path}:{number}: no valid JSON: {error}") from error
        except RecursionError as error:
            raise SourceError(f"{self.path}:{number}: the JSON is nested too deeply") from error

    def chunks(self) -> Iterator[Chunk]:
        names, meter = self.names, self._open()
        for portion in meter.portions(self._records()):
            rows = [self._row(record, names) for record in portion]
            meter.refuse_wide(max(map(len, rows)))
            yield transposed(rows)

    @staticmethod
    def _row(record: Any, names: list[str] | None) -> list[Any]:
        if isinstance(record, list):
            return record
        return [record.get(name) for name in names] if names else [MISSING_VALUE]

    @property
    def sha256(self) -> str:
        """SHA-256 of the file on disk, in hexadecimal; empty before it was opened."""
        return self._file.sha256 if self._file else ""

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
