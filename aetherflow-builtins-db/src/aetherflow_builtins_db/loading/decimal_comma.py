"""Numbers of a text file whose decimal sign is a comma: `1,5`. Thousands separators are refused, never guessed."""

import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from aetherflow.core.api import LoadBatch, Row, TableColumn
from aetherflow_builtins_db.formats.values import short_value, text_value
from aetherflow_builtins_db.loading.batch import OnReject, Reject

_NUMBERS = frozenset({"int", "float", "decimal"})
_DECLARED = re.compile(r"numeric|decimal|number|money", re.IGNORECASE)
"""Columns of numbers whose type is not known: PostgreSQL's `numeric` without digits, SQLite's `NUMERIC`."""


class DecimalComma:
    """Writes the numbers of number columns with a point; text columns stay as they are."""

    def __init__(self, columns: Sequence[TableColumn]) -> None:
        self._columns = columns
        self._places = [
            index
            for index, column in enumerate(columns)
            if column.type.kind in _NUMBERS or _DECLARED.match(column.declared)
        ]

    def __call__(self, batch: LoadBatch, on_reject: OnReject) -> LoadBatch:
        """The rows with points; `on_reject` is called for each row that has a number with a point or two commas."""
        if not self._places or not batch.rows:
            return batch
        cells = list(zip(*batch.rows, strict=True))
        if any(_is_refused(cell) for place in self._places for cell in set(cells[place])):
            good = LoadBatch()
            for row, number in zip(batch.rows, batch.numbers, strict=True):
                if self._is_good(row, number, on_reject):
                    good.rows.append(row)
                    good.numbers.append(number)
            return self(good, on_reject)
        for place in self._places:
            cells[place] = tuple([cell and cell.replace(",", ".") for cell in cells[place]])
        return LoadBatch(list(zip(*cells, strict=True)), batch.numbers)

    def _is_good(self, row: Row, number: int, on_reject: OnReject) -> bool:
        for place in self._places:
            if _is_refused(cell := row[place]):
                reason = f"the value {short_value(cell)} has a thousands separator or a point, but decimal is a comma"
                on_reject(Reject(number, reason, self._columns[place].name, row))
                return False
        return True

    def refusing(self, on_reject: OnReject) -> OnReject:
        """Pass rejected rows on as the file has them."""

        def refuse(reject: Reject) -> None:
            record = reject.record
            if isinstance(record, tuple) and len(record) == len(self._columns):
                record = tuple(_with_comma(cell) if at in self._places else cell for at, cell in enumerate(record))
            on_reject(Reject(reject.number, reject.reason, reject.column, record))

        return refuse


def _is_refused(cell: str | None) -> bool:
    return cell is not None and ("." in cell or cell.count(",") > 1)


def _with_comma(cell: Any) -> Any:
    if isinstance(cell, str):
        return cell if "," in cell else cell.replace(".", ",")
    return text_value(cell).replace(".", ",") if isinstance(cell, float | Decimal) else cell
