"""Determines column types before the first row is written: from the user, the database or the first rows."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import chain

from aetherflow.core.api import Column, ColumnType, Row, Rows, StepInputError
from aetherflow_builtins_db.columns import STRING, UNKNOWN
from aetherflow_builtins_db.formats.widening import refine

_ROWS, _LIMIT = 1000, 50_000
"""Rows that are examined before types are fixed; up to the limit while a column has only nulls."""


class TypedRows:
    """A result whose columns all have types. The examined rows are kept, and `batches` yields them first."""

    def __init__(self, rows: Rows, dtypes: Mapping[str, ColumnType]) -> None:
        self._batches = rows.batches()
        self._head: list[list[Row]] = []
        columns = with_dtypes(rows.columns, dtypes)
        if not rows.exact or any(column.type == UNKNOWN for column in columns):
            seen = refine(columns, self._look_ahead(len(columns)))
            columns = [old if old.name in dtypes else new for old, new in zip(columns, seen, strict=True)]
        self.columns = [replace(column, type=STRING) if column.type == UNKNOWN else column for column in columns]

    def batches(self) -> Iterator[list[Row]]:
        yield from chain(self._head, self._batches)

    def _look_ahead(self, width: int) -> list[Row]:
        count, silent = 0, set(range(width))
        for batch in self._batches:
            self._head.append(batch)
            count += len(batch)
            silent = {index for index in silent if all(row[index] is None for row in batch)}
            if count >= _LIMIT or (count >= _ROWS and not silent):
                break
        return list(chain.from_iterable(self._head))


def with_dtypes(columns: Iterable[Column], dtypes: Mapping[str, ColumnType]) -> list[Column]:
    """The columns with the types that the user set; StepInputError for a name that is no column."""
    listed = list(columns)
    unknown = sorted(set(dtypes) - {column.name for column in listed})
    if unknown:
        raise StepInputError(
            f"dtypes names no column of the query: {', '.join(unknown)}",
            fix=f"its columns are: {', '.join(column.name for column in listed)}",
        )
    return [replace(column, type=dtypes.get(column.name, column.type)) for column in listed]
