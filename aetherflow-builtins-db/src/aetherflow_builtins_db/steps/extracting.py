"""The base class of `db_extract` and `db_extract_stream`, with their inputs and outputs."""

import json
import time
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from aetherflow.core.api import (
    STEP_SKIPPED,
    ClaimBusyError,
    Column,
    ColumnType,
    Flag,
    LeanSource,
    NeedsMemoryError,
    PlainText,
    Step,
    StepInputError,
    StepOutputs,
    StepResult,
    WritePath,
)
from aetherflow_builtins_db.columns import parse_type
from aetherflow_builtins_db.database import AnySqlConnector
from aetherflow_builtins_db.formats.options import DelimitedInputs, DtypeName
from aetherflow_builtins_db.formats.parquet import libraries_for, require_pyarrow
from aetherflow_builtins_db.formats.sink import HashingSink, Packing
from aetherflow_builtins_db.minimal import lacks_of
from aetherflow_builtins_db.steps.query import QueryInputs, database_of, query_source, sql_of
from aetherflow_builtins_db.steps.watermark import RowWatermark, Tracker
from aetherflow_builtins_db.steps.writing import FileSpec, Format, Writing

if TYPE_CHECKING:
    from aetherflow.core.api import Difference, Lack

Squeezing: TypeAlias = Literal["zstd", "snappy", "gzip", "none"]

_FORMATS: dict[str, Format] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
}
_PACKINGS: dict[str, Packing] = {".gz": "gzip", ".zst": "zstd"}


class Inputs(QueryInputs, DelimitedInputs):
    """A query and the file for its rows."""

    output: WritePath = Field(min_length=1, description="The file to write, relative to the job's artifacts.")
    format: Format | None = Field(
        None,
        description="`tsv`, `csv`, `jsonl` or `parquet`. Default: by the file's suffix, else `tsv`.",
    )
    compression: Squeezing | None = Field(
        None,
        description="`gzip`, `zstd` or `none`; `snappy` for Parquet only. Default: by a last suffix `.gz` or `.zst`, "
        "else `none`; for Parquet, whose columns are compressed, `zstd`.",
    )
    watermark: RowWatermark | None = Field(
        None,
        description="Read only new rows: the SQL gets the greatest value of all successful runs as `:watermark`.",
    )
    emit_dtypes: Flag = Field(False, description="Add `dtypes` and `dtypes_json` to the outputs.")
    dtypes: dict[str, DtypeName] | None = Field(
        None,
        description="Column to type, for Parquet and `emit_dtypes`: bool, int, float, decimal(p,s), string, bytes, "
        "date, datetime, datetime(utc), time. Default: the database's own types.",
    )
    dtypes_json: PlainText | None = Field(None, description="`dtypes` as JSON text, as an earlier step emits it.")

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.compression == "snappy" and self.file_format != "parquet":
            raise ValueError("compression snappy is for parquet; use gzip, zstd or none")
        if self.watermark is not None and "watermark" in (self.params or {}):
            raise ValueError("params.watermark and watermark are both given; the step sets :watermark itself")
        return self

    @property
    def file_format(self) -> Format:
        suffixes = [suffix.lower() for suffix in PurePath(self.output).suffixes]
        if suffixes and suffixes[-1] in _PACKINGS:
            suffixes.pop()
        return self.format or (_FORMATS.get(suffixes[-1], "tsv") if suffixes else "tsv")

    @property
    def packing(self) -> Packing:
        """The compression of the whole file; `none` for Parquet, whose columns are compressed."""
        if self.file_format == "parquet":
            return "none"
        if self.compression is not None:
            return "none" if self.compression == "snappy" else self.compression
        return _PACKINGS.get(PurePath(self.output).suffix.lower(), "none")

    def wanted_types(self) -> dict[str, ColumnType]:
        """The types from `dtypes` or `dtypes_json`; StepInputError if both are given and differ."""
        named = dict(self.dtypes or {})
        if self.dtypes_json and self.dtypes_json.strip():
            try:
                parsed = json.loads(self.dtypes_json)
            except ValueError as error:
                raise StepInputError(f"dtypes_json is no JSON: {error}") from error
            if not isinstance(parsed, dict) or not all(isinstance(name, str) for name in parsed.values()):
                raise StepInputError("dtypes_json must be a map of column to dtype")
            if named and {key: parse_type(name) for key, name in parsed.items()} != {
                key: parse_type(name) for key, name in named.items()
            }:
                raise StepInputError("dtypes and dtypes_json are both given and differ")
            named = parsed
        return {key: parse_type(name) for key, name in named.items()}


class Outputs(StepOutputs):
    """The file. If the step was skipped because of too few rows, there is no file: path, size and hash are null."""

    output: str | None = Field(description="Absolute path of the file.")
    artifact_path: str | None = Field(description="The same.")
    format: Format = Field(description="Its format.")
    rows: int = Field(description="Number of rows in it.")
    row_count: int = Field(description="The same.")
    bytes: int | None = Field(description="Size of the file.")
    columns: list[str] = Field(description="Names of the columns.")
    sha256: str | None = Field(description="SHA-256 of the file, in hexadecimal.")
    receipt: dict[str, list[dict[str, Any]]] = Field(
        default_factory=dict, description="What was `read` and `made`, as `runs show --receipts` shows it."
    )
    dtypes: dict[str, str] | None = Field(
        None, description="With `emit_dtypes`: column to bool, int, float, date, datetime or string."
    )
    dtypes_json: str | None = Field(None, description="With `emit_dtypes`: the same as JSON text.")
    watermark: Any = Field(None, description="With `watermark`: the greatest value of this and all earlier runs.")
    watermark_before: Any = Field(None, description="With `watermark`: the value that `:watermark` had.")
    claim: str | None = Field(
        None, description="With `watermark`: names the rows after `watermark_before` in every run: a `load_id`."
    )
    taken_over_from: str | None = Field(
        None, description="With `watermark`: the run that had read them before, and did not finish."
    )


class _TooFewRowsError(Exception):
    """Leaves the block that writes the file, so that an existing file stays."""


class ExtractStep(Step[Inputs]):
    """Writes the rows of a query to a file."""

    Outputs = Outputs
    _rows = 0
    _columns: list[Column]
    _sink: HashingSink
    _quoted_before = True
    """Whether version 0.9 quoted the values of a TSV file."""

    @classmethod
    def differences(cls, inputs: Mapping[str, Any], version: str) -> "Iterable[Difference]":
        """The format of the file and the bytes of its values."""
        from aetherflow_builtins_db.steps.upgrade import differences_of_extract  # one command needs it

        return differences_of_extract(inputs, quoted=cls._quoted_before) if version.startswith("0") else ()

    @classmethod
    def libraries(cls, inputs: Mapping[str, Any]) -> dict[str, str]:
        """What writes Parquet, and compresses with zstd."""
        return libraries_for(inputs, inputs.get("output"))

    @classmethod
    def lacks(cls, inputs: Mapping[str, Any], connector: type, of: str) -> "Iterable[Lack]":
        """What a connector class lacks for reading."""
        del inputs, of
        return lacks_of(connector)

    def run(self) -> StepResult:
        args, started = self.args, time.monotonic()
        if args.file_format == "parquet" or args.packing == "zstd":
            require_pyarrow()  # fail before a long query, not after it
        sql, tracker = sql_of(args, self.ctx), None
        params = args.params
        if args.watermark is not None:
            try:
                tracker = Tracker(args.watermark, self.ctx, use="keys" if args.watermark.keys else None)
            except ClaimBusyError as error:
                if args.watermark.if_claimed != "skip":
                    raise
                self._columns = []
                return StepResult(STEP_SKIPPED, self._output(None, None), error.message, "claimed")
            params = {**(params or {}), "watermark": tracker.before}
        spec = FileSpec(
            format=args.file_format,
            dialect=args.dialect(args.file_format),
            packing=args.packing,
            compression=args.compression or "zstd",
            dtypes=args.wanted_types(),
            fetch_size=args.fetch_size,
            emit_dtypes=args.emit_dtypes,
        )
        target = self.ctx.write_path(args.output)
        database = database_of(args.resource, self.ctx)
        writing = Writing(database, sql, params, spec, self._on_rows)
        try:
            self._write_leanly(database.connector, writing, target, tracker)
        except _TooFewRowsError:
            return StepResult(STEP_SKIPPED, self._output(None, tracker), args.shortage(self._rows))
        if tracker:
            tracker.claim()
        self._say(time.monotonic() - started)
        receipt = {"read": [query_source(args.resource, sql, params)]}
        return StepResult(output={**self._output(str(target), tracker), "receipt": receipt})

    def _write_leanly(
        self, connector: AnySqlConnector, writing: Writing, target: Path, tracker: Tracker | None
    ) -> None:
        try:
            with connector.lean(*writing.query) if isinstance(connector, LeanSource) else nullcontext():
                return self._write(writing, target, tracker)
        except NeedsMemoryError:
            self.ctx.log.info("the rows need more memory than expected: once more, with all that the database may take")
        return self._write(writing, target, tracker)

    def _write(self, writing: Writing, target: Path, tracker: Tracker | None) -> None:
        with self.ctx.write_file(target) as file:
            self._rows, self._sink = 0, HashingSink(file)
            self._columns = writing.run(self._sink, tracker.follow if tracker else None)
            self.args.refuse_shortage(self._rows)
            if self.args.verdict(self._rows) == "skip":
                raise _TooFewRowsError

    def _on_rows(self, rows: int | None) -> None:
        if rows is None:
            self.ctx.progress(self._sink.tell(), None, "bytes")
        else:
            self._rows = rows
            self.ctx.progress(rows, None, "rows")
        self.ctx.check_cancelled()

    def _say(self, seconds: float) -> None:
        for column in self._columns:
            if column.warning:
                self.ctx.log.warning("column %s %s", column.name, column.warning)
        size = self._sink.tell() / 1e6
        rate = f"{self._rows / seconds:,.0f} rows/s, {size / seconds:.1f} MB/s" if seconds > 0 else "at once"
        self.ctx.log.info("%s rows, %.1f MB in %.2f s: %s", f"{self._rows:,}", size, seconds, rate)

    def _output(self, path: str | None, tracker: Tracker | None) -> dict[str, Any]:
        columns = self._columns
        output: dict[str, Any] = {
            "output": path,
            "artifact_path": path,
            "format": self.args.file_format,
            "rows": self._rows,
            "row_count": self._rows,
            "bytes": self._sink.tell() if path else None,
            "columns": [column.name for column in columns],
            "sha256": self._sink.sha256 if path else None,
        }
        if self.args.emit_dtypes:
            dtypes = {column.name: column.type.simple_name for column in columns}
            output |= {"dtypes": dtypes, "dtypes_json": json.dumps(dtypes, ensure_ascii=False)}
        return output | (tracker.outputs if tracker else {})
