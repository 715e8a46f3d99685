"""Writes lines whose columns have fixed widths: numbers at the right, all else at the left; null is blank."""

import codecs
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from aetherflow.core.api import Column, CsvFormat, Row, StepError
from aetherflow_builtins_db.formats.sink import Sink
from aetherflow_builtins_db.formats.values import short_value, text_value

_RIGHT = frozenset({"int", "float", "decimal"})


def write_fixed(
    columns: Sequence[Column],
    widths: Mapping[str, int],
    batches: Iterable[list[Row]],
    sink: Sink,
    dialect: CsvFormat,
    on_rows: Callable[[int], None],
) -> None:
    """Write all rows; StepError names row and column of a value that a reader would not get back."""
    encoder = codecs.getincrementalencoder(dialect.encoding)()
    cells = [_cell(column, widths[column.name]) for column in columns]
    count = 0
    for batch in batches:
        lines = []
        for number, row in enumerate(batch, count + 1):
            try:
                lines.append("".join([cell(value) for cell, value in zip(cells, row, strict=True)]))
            except ValueError as error:
                raise StepError(
                    f"row {number}: {error}", fix="make the column wider: widths; or choose another format"
                ) from error
        try:
            sink.write(encoder.encode("".join([line + dialect.linefeed for line in lines])))
        except UnicodeEncodeError as error:
            raise StepError(
                f"rows {count + 1} to {count + len(batch)}: {error.object[error.start]!r} cannot be written in "
                f"{dialect.encoding}",
                fix="choose another encoding: utf-8 holds all text",
            ) from error
        count += len(batch)
        on_rows(count)


def _cell(column: Column, width: int) -> Callable[[Any], str]:
    name, right = column.name, column.type.kind in _RIGHT

    def cell(value: Any) -> str:
        text = "" if value is None else text_value(value)
        if len(text) > width:
            raise ValueError(f"column {name!r}: the value {short_value(value)} has {len(text)} characters, not {width}")
        if text != text.strip(" ") or "\n" in text or "\r" in text:
            raise ValueError(f"column {name!r}: the value {short_value(value)} has blanks at an end, or a line end")
        return text.rjust(width) if right else text.ljust(width)

    return cell
