"""The step `db_extract_stream`."""

import json
from pathlib import PurePath
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, Field

from aetherflow.core.api import STEP_SKIPPED, Flag, Step, StepInputError, StepOutputs, StepResult
from aetherflow_builtins_db.columns import Column, ColumnType, parse_type, refuse_duplicates
from aetherflow_builtins_db.contract import ArrowSource
from aetherflow_builtins_db.formats.delimited import write_delimited
from aetherflow_builtins_db.formats.options import DelimitedInputs
from aetherflow_builtins_db.formats.parquet import Compression, require_pyarrow, write_arrow, write_parquet
from aetherflow_builtins_db.formats.sampling import TypedRows
from aetherflow_builtins_db.formats.sink import HashingSink
from aetherflow_builtins_db.steps.query import QueryInputs, connector_of, sql_of

Format: TypeAlias = Literal["tsv", "csv", "parquet"]
DtypeName = Annotated[str, AfterValidator(lambda name: str(parse_type(name)))]

ARROW_BATCH_ROWS = 20_000
"""Arrow batches are this large at least: one costs more than its rows. `fetch_size` is about Python rows."""


class Inputs(QueryInputs, DelimitedInputs):
    """A query and the file for its rows."""

    output: str = Field(min_length=1, description="The file to write, relative to the job's artifacts.")
    format: Format | None = Field(
        None, description="`tsv`, `csv` or `parquet`. Default: what the file's suffix says, else `tsv`."
    )
    compression: Compression = Field("zstd", description="Of Parquet columns.")
    emit_dtypes: Flag = Field(False, description="Put `dtypes` and `dtypes_json` into the outputs.")
    dtypes: dict[str, DtypeName] | None = Field(
        None,
        description="Column to type, for Parquet and `emit_dtypes`: bool, int, float, decimal(p,s), string, bytes, "
        "date, datetime, datetime(utc), time. Default: the database's own types.",
    )
    dtypes_json: str | None = Field(None, description="`dtypes` as JSON text, as an earlier step emits it.")

    @property
    def file_format(self) -> Format:
        """The format that counts."""
        if self.format:
            return self.format
        by_suffix: dict[str, Format] = {".csv": "csv", ".parquet": "parquet"}
        return by_suffix.get(PurePath(self.output).suffix.lower(), "tsv")

    def wanted_types(self) -> dict[str, ColumnType]:
        """The types that the user set; StepInputError if two places contradict each other."""
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
    """The file. If the step was skipped for want of rows there is none: its path and hash are null."""

    output: str | None = Field(description="Absolute path of the file.")
    artifact_path: str | None = Field(description="The same.")
    format: Format = Field(description="Its format.")
    rows: int = Field(description="Number of rows in it.")
    row_count: int = Field(description="The same.")
    columns: list[str] = Field(description="Names of the columns.")
    sha256: str | None = Field(description="Of the file, in hexadecimal.")
    dtypes: dict[str, str] | None = Field(
        None, description="With `emit_dtypes`: column to bool, int, float, date, datetime or string."
    )
    dtypes_json: str | None = Field(None, description="With `emit_dtypes`: the same as JSON text.")


class _TooFewRowsError(Exception):
    """Leaves the half-written file, so that the old one, if any, stays."""


class DbExtractStream(Step[Inputs]):
    """Writes the rows of a query to a CSV, TSV or Parquet file, however many there are.

    Rows pass through in batches, so memory stays small. The file appears whole under its name or not at all. In CSV
    and TSV null is an empty field and empty text is `""`, so that PostgreSQL and DuckDB read back what was written;
    bytes are base64, dates ISO 8601. Parquet has the database's types: decimals, and instants in UTC.

        - id: delays
          type: db_extract_stream
          inputs:
            resource: warehouse
            sql: SELECT carrier, avg(dep_delay) AS delay FROM flights WHERE month = :month GROUP BY carrier
            params: {month: 7}
            output: delays.parquet
            format: parquet
            on_empty: fail
    """

    Outputs = Outputs
    _rows = 0

    def run(self) -> StepResult:
        """Write the file."""
        args = self.args
        if args.file_format == "parquet":
            require_pyarrow()  # before a long query, not after it
        sql, dtypes = sql_of(args, self.ctx), args.wanted_types()
        target = self.ctx.write_path(args.output)
        try:
            with self.ctx.write_file(target) as file:
                sink = HashingSink(file)
                columns = self._write(sql, sink, dtypes)
                args.refuse_shortage(self._rows)
                if args.verdict(self._rows) == "skip":
                    raise _TooFewRowsError
        except _TooFewRowsError:
            return StepResult(STEP_SKIPPED, self._output(columns, None, None), args.shortage(self._rows))
        return StepResult(output=self._output(columns, str(target), sink.sha256))

    def _on_rows(self, rows: int) -> None:
        self._rows = rows
        self.ctx.progress(rows, None, "rows")
        self.ctx.check_cancelled()

    def _write(self, sql: str, sink: HashingSink, dtypes: dict[str, ColumnType]) -> list[Column]:
        """Write all rows; the columns, with types if somebody wants them."""
        args, connector = self.args, connector_of(self.args, self.ctx)
        if args.file_format == "parquet" and not dtypes and isinstance(connector, ArrowSource):
            arrow = connector.stream_arrow(sql, args.params, batch_rows=max(args.fetch_size, ARROW_BATCH_ROWS))
            if arrow is not None:
                with arrow:
                    refuse_duplicates(arrow.columns)
                    write_arrow(arrow, sink, compression=args.compression, on_rows=self._on_rows)
                return list(arrow.columns)
        with connector.stream(sql, args.params, fetch_size=args.fetch_size) as rows:
            refuse_duplicates(rows.columns)
            if args.file_format != "parquet" and not args.emit_dtypes:
                names = [column.name for column in rows.columns]
                write_delimited(names, rows.batches(), sink, args.dialect(args.file_format), self._on_rows)
                return list(rows.columns)
            typed = TypedRows(rows, dtypes)
            if args.file_format == "parquet":
                write_parquet(typed.columns, typed.batches(), sink, compression=args.compression, on_rows=self._on_rows)
            else:
                names = [column.name for column in typed.columns]
                write_delimited(names, typed.batches(), sink, args.dialect(args.file_format), self._on_rows)
            return typed.columns

    def _output(self, columns: list[Column], path: str | None, sha256: str | None) -> dict[str, Any]:
        output: dict[str, Any] = {
            "output": path,
            "artifact_path": path,
            "format": self.args.file_format,
            "rows": self._rows,
            "row_count": self._rows,
            "columns": [column.name for column in columns],
            "sha256": sha256,
        }
        if self.args.emit_dtypes:
            dtypes = {column.name: column.type.simple_name for column in columns}
            output |= {"dtypes": dtypes, "dtypes_json": json.dumps(dtypes, ensure_ascii=False)}
        return output
