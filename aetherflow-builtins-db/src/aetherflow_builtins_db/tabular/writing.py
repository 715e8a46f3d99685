"""Writes rows to a file in any of the formats."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any

from aetherflow.core.api import Column, ColumnType, Row, StepInputError
from aetherflow_builtins_db.formats.delimited import write_delimited
from aetherflow_builtins_db.formats.fixed import write_fixed
from aetherflow_builtins_db.formats.jsonl import write_jsonl
from aetherflow_builtins_db.formats.parquet import write_parquet
from aetherflow_builtins_db.formats.sink import HashingSink, Packing, packed
from aetherflow_builtins_db.tabular.form import FileForm, TableFormat

_EXCEL_DIGITS = 15
"""Digits of a number that a cell keeps."""


def write_table(
    columns: Sequence[Column],
    batches: Iterable[list[Row]],
    sink: HashingSink,
    *,
    kind: TableFormat,
    form: FileForm,
    packing: Packing,
    on_rows: Callable[[int], None],
) -> None:
    """Write all rows; `on_rows` is called with the number of rows so far after every batch."""
    if kind == "parquet":
        write_parquet(columns, batches, sink, compression=form.compression or "zstd", on_rows=on_rows)
        return
    names, dialect = [column.name for column in columns], form.dialect(kind)
    with packed(sink, packing) as out:
        if kind == "jsonl":
            write_jsonl(names, batches, out, on_rows)
        elif kind == "fixed":
            widths = form.widths or {}
            by_name = {column.name: column for column in columns}
            ordered = [by_name[name] for name in widths]
            write_fixed(ordered, widths, _picked(names, widths, batches), out, dialect, on_rows)
        else:
            write_delimited(names, batches, out, dialect, on_rows)


def refuse_other_widths(form: FileForm, names: Sequence[str]) -> None:
    """Raise StepInputError unless `widths` names each column of a table."""
    widths = form.widths or {}
    strange = sorted(set(names) ^ widths.keys())
    if strange:
        raise StepInputError(
            f"write.widths and the columns of the file differ: {', '.join(strange)}",
            fix=f"its columns are: {', '.join(names)}",
        )


def _picked(names: Sequence[str], wanted: Iterable[str], batches: Iterable[list[Row]]) -> Iterator[list[Row]]:
    order = [names.index(name) for name in wanted]
    if order == list(range(len(order))):
        yield from batches
        return
    pick: Callable[[Any], Any] = itemgetter(*order)
    for batch in batches:
        yield list(map(pick, batch))


def cell_types(columns: Sequence[Column]) -> Mapping[str, str]:
    """The types of a workbook's cells; text for what a cell would not keep exactly, or has no type for."""
    return {column.name: _cell_type(column.type) for column in columns}


def _cell_type(kind: ColumnType) -> str:
    if kind.kind == "decimal":
        return "float" if kind.precision <= _EXCEL_DIGITS else "string"
    if kind.zoned:
        return "string"
    return kind.simple_name
