from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path, PurePath
from typing import Any, Self, TypeAlias
from urllib.parse import quote

from pydantic import Field, model_validator

from aetherflow.core.api import (
    PlainText,
    ReadPath,
    Row,
    Step,
    StepError,
    StepInputError,
    StepInputs,
    StepOutputs,
    WritePath,
)
from aetherflow_builtins_db.formats.values import short_value, text_value
from aetherflow_builtins_db.loading.table import place_of
from aetherflow_builtins_db.tabular.form import FileForm, TableFormat, needed_libraries
from aetherflow_builtins_db.tabular.parts import MOST_PARTS, ParquetParts, Part, Parts, TextParts, chunks
from aetherflow_builtins_db.tabular.records import recorded
from aetherflow_builtins_db.tabular.table import Table, open_table

Batches: TypeAlias = Iterable[tuple[list[Row], Sequence[Any]]]
"""Rows, and what is written of each: its text, or for Parquet itself."""
_LONGEST_NAME = 200


class Inputs(StepInputs):
    """A file of rows, and how it is cut."""

    path: ReadPath = Field(min_length=1, description="The file to split; a relative path is under the job's artifacts.")
    dest_dir: WritePath = Field(
        min_length=1,
        description="The folder of the parts, relative to the job's artifacts. It is replaced as a whole, and so may "
        "hold nothing but parts.",
    )
    rows: int | None = Field(None, ge=1, description="Rows of a part at most.")
    max_bytes: int | None = Field(
        None, ge=1, description="Bytes of a part at most, its header included, before compression. Not for Parquet."
    )
    by: PlainText | None = Field(None, min_length=1, description="A column: a part for each of its values.")
    read: FileForm = Field(
        default_factory=FileForm,
        description="How the file is written down: `format`, `encoding`, `delimiter` and the like. Default: by its "
        "suffix. The parts are written down in the same way.",
    )

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if sum(given is not None for given in (self.rows, self.max_bytes, self.by)) != 1:
            raise ValueError("give exactly one of rows, max_bytes and by")
        return self


class Outputs(StepOutputs):
    """The files of the parts, in order."""

    dest_dir: str = Field(description="Absolute path of the folder.")
    count: int = Field(description="Number of parts.")
    rows: int = Field(description="Rows of all parts.")
    columns: list[str] = Field(description="Names of the columns.")
    files: list[dict[str, Any]] = Field(
        description="Each part: `path`, `value` (with `by`, null for null), `rows`, `bytes`, `sha256`."
    )


class FileSplit(Step[Inputs]):
    """Splits a CSV, TSV, JSON Lines, Parquet or fixed-width file by rows, by size, or by the values of a column.

    Each part has the header, and records of text are kept as they are. The folder of the parts is the complete old or
    the complete new one at any moment: no part of an earlier, longer file is left among them.

        - id: split
          type: file_split
          inputs:
            path: orders.csv
            dest_dir: by_country
            by: country
    """

    Outputs = Outputs

    @classmethod
    def libraries(cls, inputs: Mapping[str, Any]) -> dict[str, str]:
        """What reads and writes Parquet and zstd."""
        return needed_libraries(inputs, "path", "read")

    def run(self) -> dict[str, Any]:
        args, ctx = self.args, self.ctx
        kind, final = self._kind(), ctx.write_path(args.dest_dir)
        ctx.restore_dir(final)
        self._refuse_others(final)
        with open_table(self, args.path, args.read, "read") as table:
            staged = ctx.empty_dir(ctx.scratch_dir(self.job_id) / f"split-{self.id}")
            parts = self._split(table, kind, staged)
            facts = [part.facts() for part in parts]
        ctx.swap_dir(staged, final)
        if staged.exists():  # the old parts
            ctx.empty_dir(staged)
        files = []
        for part, fact in zip(parts, facts, strict=True):
            path = ctx.artifact(final / part.path.name, sha256=fact["sha256"])
            files.append({"path": str(path), **fact})
        return {
            "dest_dir": str(final),
            "count": len(files),
            "rows": sum(part.rows for part in parts),
            "columns": table.names,
            "files": files,
        }

    def plan(self) -> list[str]:
        args, final = self.args, self.ctx.write_path(self.args.dest_dir)
        self._kind()
        self._refuse_others(final)
        how = f"by the values of {args.by}" if args.by else f"every {args.rows:,} rows" if args.rows else ""
        how = how or f"every {args.max_bytes:,} bytes"
        there = ", which is not there yet"
        if self.ctx.read_path(args.path).is_file():
            there = ""
            with open_table(self, args.path, args.read, "read") as table:
                self._place(table)
        verb = "replace" if final.exists() else "make"
        return [f"{verb} the folder {args.dest_dir}: {args.path} split {how}{there}"]

    def _kind(self) -> TableFormat:
        args = self.args
        kind = args.read.kind_of(args.path)
        if kind == "xlsx":
            raise StepInputError(f"{args.path}: a workbook is not split", fix="make CSV of it first: file_convert")
        if kind == "parquet" and args.max_bytes is not None:
            raise StepInputError("max_bytes is not for Parquet, whose size is known when it is written", fix="set rows")
        return kind

    # Names

    @property
    def _stem_and_suffix(self) -> tuple[str, str]:
        name = PurePath(self.args.path).name
        stem, dot, rest = name.partition(".")
        return stem, dot + rest

    def _name(self, mark: str) -> str:
        stem, suffix = self._stem_and_suffix
        return f"{stem}{mark}{suffix}"

    def _refuse_others(self, final: Path) -> None:
        """Raise StepInputError if the folder holds what no split of this file has left there."""
        stem, suffix = self._stem_and_suffix
        names = [each.name for each in final.iterdir()] if final.is_dir() else []
        others = sorted(name for name in names if not (name.startswith(stem) and name.endswith(suffix)))
        if others:
            raise StepInputError(
                f"{final} holds other files, and is replaced as a whole: {', '.join(others[:3])}",
                fix="give the parts a folder of their own",
            )

    # Parts

    def _split(self, table: Table, kind: TableFormat, staged: Path) -> list[Part]:
        with ExitStack() as stack:
            batches: Batches
            if kind == "parquet":
                parts: Parts = ParquetParts(table.columns({}), stack)
                batches = ((batch.rows, batch.rows) for batch in table.batches())
                begun = 0
            else:
                header, found = stack.enter_context(recorded(table))
                packing = self.args.read.packing_of(self.args.path)
                parts = TextParts(header, self.args.read.dialect(kind).encoding, packing)
                batches = ((batch.rows, texts) for batch, texts in found)
                begun = parts.size(header)
            if self.args.by is None:
                made = list(self._by_count(parts, batches, begun, staged))
            else:
                made = self._by_value(self._place(table), parts, batches, staged)
            parts.end()
            return made

    def _by_count(self, parts: Parts, batches: Batches, begun: int, staged: Path) -> Iterator[Part]:
        """Fill one part after the other."""
        most = self.args.rows or self.args.max_bytes or 0
        begun = begun if self.args.max_bytes else 0
        part, held, number = None, begun, 0
        for _, items in batches:
            self.ctx.check_cancelled()
            sizes = [parts.size(item) for item in items] if self.args.max_bytes else [1] * len(items)
            for piece, fresh in chunks(sizes, most, begun, held):
                if part is None or fresh:
                    parts.end()
                    number, held = number + 1, begun
                    part = Part(staged / self._name(f"-{number:04}"))
                    self._refuse_too_many(number)
                    yield part
                parts.add(part, items[piece])
                held += sum(sizes[piece])

    def _place(self, table: Table) -> int:
        """The place of the column `by`, 0 without; StepInputError if the file has no such column."""
        return 0 if self.args.by is None else place_of("by", self.args.by, table.names, "column of the file")

    def _by_value(self, column: int, parts: Parts, batches: Batches, staged: Path) -> list[Part]:
        """Give each row to the part of its value in the column."""
        made = dict[str | None, Part]()
        for rows, items in batches:
            self.ctx.check_cancelled()
            groups: dict[str | None, list[Any]] = {}
            for row, item in zip(rows, items, strict=True):
                value = row[column]
                groups.setdefault(None if value is None else text_value(value), []).append(item)
            for text, group in groups.items():
                part = made.get(text)
                if part is None:
                    part = made[text] = Part(staged / self._name(_mark(text)), text)
                    self._refuse_too_many(len(made))
                parts.add(part, group)
        return list(made.values())

    def _refuse_too_many(self, count: int) -> None:
        if count > MOST_PARTS:
            raise StepError(f"there would be more than {MOST_PARTS:,} parts", fix="make the parts larger")


def _mark(value: str | None) -> str:
    """What the name of a part has after the stem: signs that are no part of a name are written as in URLs."""
    if value is None:
        return ""
    name = f"-{quote(value, safe=' ')}"
    if len(name) > _LONGEST_NAME:
        raise StepError(f"the value {short_value(value)} is too long for the name of a file")
    return name
