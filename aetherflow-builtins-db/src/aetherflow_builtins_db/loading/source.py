"""The file to load: its format, compression and progress."""

import codecs
import gzip
import hashlib
import io
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import BinaryIO, Literal, TypeAlias, cast

from aetherflow.core.api import ColumnType, CsvFormat, LoadFile, StepError, StepInputError, open_file
from aetherflow_builtins_db.formats.parquet import require_pyarrow
from aetherflow_builtins_db.formats.sink import Packing
from aetherflow_builtins_db.loading.batch import Reader, Streams
from aetherflow_builtins_db.loading.delimited import DelimitedReader
from aetherflow_builtins_db.loading.fixed import FixedReader
from aetherflow_builtins_db.loading.meter import Meter
from aetherflow_builtins_db.loading.profile import Texts
from aetherflow_builtins_db.loading.records import JsonLinesReader, ParquetReader, every_key_of

LoadFormat: TypeAlias = Literal["csv", "tsv", "jsonl", "parquet"]
SourceFormat: TypeAlias = Literal["csv", "tsv", "jsonl", "parquet", "fixed"]

BLOCK = 2**18
"""Bytes read at a time."""

_PACKINGS: dict[str, Packing] = {".gz": "gzip", ".zst": "zstd", ".zstd": "zstd"}
_FORMATS: dict[str, LoadFormat] = {
    ".csv": "csv",
    ".txt": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
}


def packing_of(name: str) -> Packing:
    """The compression that the suffix of a file name implies."""
    return _PACKINGS.get(PurePath(name).suffix.lower(), "none")


def format_of(name: str, fix: str = "set format: csv, tsv, jsonl or parquet") -> LoadFormat:
    """The format that the suffix of a file name implies; StepInputError if it implies none."""
    path = PurePath(name)
    if path.suffix.lower() in _PACKINGS:
        path = path.with_suffix("")
    found = _FORMATS.get(path.suffix.lower())
    if found is None:
        raise StepInputError(f"the name {name!r} does not say what the file holds", fix=fix)
    return found


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A local file of rows."""

    path: Path
    format: SourceFormat
    packing: Packing
    dialect: CsvFormat
    on_bytes: Callable[[int], None] = lambda _: None
    """Called with the number of bytes read so far, counted before decompression."""
    widths: Mapping[str, int] = field(default_factory=dict)
    """Of fixed width: each column's characters."""
    has_commas: bool = False
    """Whether the decimal sign of a text file's numbers is a comma."""
    told: Mapping[str, ColumnType] | None = None
    """The types of a text file's columns, as far as somebody else knows them."""
    decoded: Callable[[int | None], None] = lambda _: None
    """Of Parquet: returns when it is known that so many rows can be decoded without harm; None: all."""

    @property
    def size(self) -> int:
        return self.path.stat().st_size

    @property
    def texts(self) -> Texts:
        """JSON has types but for dates and times; Parquet has all."""
        usual = "comma" if self.has_commas else "all"
        return {"jsonl": "times", "parquet": "none"}.get(self.format, usual)  # type: ignore[return-value]

    def types(self) -> Mapping[str, ColumnType] | None:
        """The types of a Parquet file; for other formats those that are given."""
        if self.format != "parquet":
            return self.told
        with self.reader(keys=None, width=None) as reader:
            return cast(ParquetReader, reader).types

    @contextmanager
    def file(self, *, streams: Streams | None) -> Iterator[LoadFile | None]:
        """The source itself, which is a file already; nothing is to be streamed.

        What streams CSV has Parquet decoded by `reader`, batch by batch. Others get a file that is decoded.
        """
        if self.texts == "comma":  # no database reads such numbers
            yield None
            return
        if streams != "csv":
            self.decoded(None)
        yield cast(LoadFile, self)  # no loader gets one of fixed width

    def sha256(self) -> str:
        """SHA-256 of the file on disk, in hexadecimal; StepError if it cannot be read."""
        with self._raw() as file:
            return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]  # a file that is open

    @contextmanager
    def binary(self) -> Iterator[BinaryIO]:
        """The decompressed content; StepError if the file is damaged."""
        with self._raw() as raw:
            counted = cast(BinaryIO, _Counted(raw, self.on_bytes))
            try:
                yield _unpack(counted, self.packing)
            except (zlib.error, EOFError, gzip.BadGzipFile) as error:
                reason = str(error) or "it ends in the middle"
                raise StepError(f"{self.path} is damaged: {reason}", fix="make or fetch the file again") from error

    @contextmanager
    def reader(self, *, keys: list[str] | None, width: int | None, every_key: bool = False) -> Iterator[Reader]:
        """Open the file for reading rows; StepError if it is damaged, has an endless record or another encoding.

        :param keys: for JSON lines, the keys to read; None for all
        :param width: number of fields of a record if the file has no header
        :param every_key: of JSON lines, find the keys in the whole file
        """
        if every_key and keys is None and self.format == "jsonl":
            with self._text() as (text, meter):
                keys = every_key_of(text, meter)
        if self.format == "parquet":
            if self.packing != "none":
                raise StepInputError("a Parquet file is compressed inside; set compression: none")
            yield ParquetReader(str(self.path), self.decoded)
            return
        with self._text() as (text, meter):
            if self.format == "jsonl":
                yield JsonLinesReader(text, keys, meter)
            elif self.format == "fixed":
                yield FixedReader(text, self.widths, meter)
            else:
                yield DelimitedReader(text, self.dialect, width=width, meter=meter)

    @contextmanager
    def records(self, *, keys: list[str] | None) -> Iterator["TextReader"]:
        """As `reader`, of a text file whose reader is to keep the text of each record."""
        with self.reader(keys=keys, width=None) as reader:
            kept = cast(TextReader, reader)
            kept.texts = []
            yield kept

    @contextmanager
    def _text(self) -> Iterator[tuple[io.TextIOWrapper, Meter]]:
        with self.binary() as file:
            # utf-8-sig also accepts text without a byte order mark.
            encoding = "utf-8-sig" if codecs.lookup(self.dialect.encoding).name == "utf-8" else self.dialect.encoding
            meter = Meter(file, self.path)
            text = io.TextIOWrapper(io.BufferedReader(meter, BLOCK), encoding=encoding, newline="")
            try:
                yield text, meter
            except UnicodeDecodeError as error:
                with self.binary() as file:
                    is_wide = file.read(2) in {codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE}
                likely = "it begins as utf-16 does" if is_wide else "cp1252 is that of many Windows programs"
                raise StepError(
                    f"{self.path} is no {error.encoding} text: {error.reason}",
                    fix=f"set encoding to that of the file; {likely}",
                ) from error
            finally:
                text.detach()

    def _raw(self) -> BinaryIO:
        try:
            return open_file(self.path)
        except OSError as error:
            raise StepError(
                f"{self.path} cannot be read: {error.strerror}", fix="check path; relative is under the job's artifacts"
            ) from error


TextReader: TypeAlias = DelimitedReader | FixedReader | JsonLinesReader


class _Counted(io.RawIOBase):
    """Reads a file and reports the number of bytes read."""

    def __init__(self, file: BinaryIO, on_bytes: Callable[[int], None]) -> None:
        self._file = file
        self._on_bytes = on_bytes
        self._count = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "bytearray | memoryview") -> int:  # type: ignore[override]  # any buffer will do
        data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        self._count += len(data)
        self._on_bytes(self._count)
        return len(data)


def _unpack(file: BinaryIO, packing: Packing) -> BinaryIO:
    if packing == "gzip":
        return cast(BinaryIO, io.BufferedReader(gzip.GzipFile(fileobj=file), BLOCK))
    if packing == "zstd":
        pa = require_pyarrow()
        return cast(BinaryIO, io.BufferedReader(pa.CompressedInputStream(pa.PythonFile(file), "zstd"), BLOCK))
    return cast(BinaryIO, io.BufferedReader(cast(io.RawIOBase, file), BLOCK))
