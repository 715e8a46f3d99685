"""Determines the types of columns read from a workbook, and writes them as CSV, TSV and Parquet."""

import datetime
import io
from collections.abc import Callable, Sequence
from typing import Any, BinaryIO, Literal, NamedTuple, TypeAlias

from aetherflow_builtins_reports.errors import missing_extra

ColumnType: TypeAlias = Literal["int", "float", "bool", "date", "datetime", "string"]

_ROWS = 1000
_EXACT = 2**53
_QUOTE = '"'


class TypedColumn(NamedTuple):
    """A column with values of one type; null is None."""

    name: str
    dtype: ColumnType
    values: list[Any]


def column_of(name: str, values: Sequence[Any]) -> TypedColumn:
    """A typed column from raw values, in which an empty cell is `""` and a number is a float or an int."""
    types = set(map(type, values))
    is_full = not any(issubclass(kind, str) for kind in types)
    known = values if is_full else [value for value in values if value != ""]
    types = types if is_full else set(map(type, known))
    dtype = _dtype(known, types)
    if is_full:
        return TypedColumn(name, dtype, list(values if types == {_PYTHON[dtype]} else map(_CONVERT[dtype], values)))
    if types <= {_PYTHON[dtype]}:
        return TypedColumn(name, dtype, [None if value == "" else value for value in values])
    convert = _CONVERT[dtype]
    return TypedColumn(name, dtype, [None if value == "" else convert(value) for value in values])


def _dtype(known: Sequence[Any], types: set[type]) -> ColumnType:
    if types <= {int, float} and types:
        floats = [value for value in known if type(value) is float] if int in types else known
        # not infinity, of which there is no int
        whole = -_EXACT < min(known) <= max(known) < _EXACT and all(map(float.is_integer, floats))
        return "int" if whole else "float"
    if types == {bool}:
        return "bool"
    if types == {datetime.date}:
        return "date"
    if types and types <= {datetime.date, datetime.datetime}:
        return "datetime"
    return "string"


def text(value: Any) -> str:
    """A value as text: whole numbers without a point, dates ISO 8601, durations as hours:minutes:seconds."""
    match value:
        case bool():
            return "true" if value else "false"
        case float():
            return str(int(value)) if abs(value) < _EXACT and value == int(value) else repr(value)
        case datetime.datetime() | datetime.date() | datetime.time():
            return value.isoformat()
        case datetime.timedelta():
            seconds, micros = value.days * 86_400 + value.seconds, value.microseconds
            part = f".{micros:06}" if micros else ""
            return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{part}"
        case _:
            return str(value)


def _moment(value: Any) -> datetime.datetime:
    if isinstance(value, datetime.datetime):
        return value
    return datetime.datetime.combine(value, datetime.time())


_PYTHON: dict[ColumnType, type] = {
    "int": int,
    "float": float,
    "bool": bool,
    "date": datetime.date,
    "datetime": datetime.datetime,
    "string": str,
}
_CONVERT: dict[ColumnType, Callable[[Any], Any]] = {
    "int": int,
    "float": float,
    "bool": bool,
    "date": lambda value: value,
    "datetime": _moment,
    "string": text,
}


_FIELD: dict[ColumnType, Callable[[Any], str]] = {
    "int": str, "float": repr, "bool": text, "date": datetime.date.isoformat, "datetime": datetime.datetime.isoformat,
}  # fmt: skip


def write_delimited(columns: Sequence[TypedColumn], rows: int, file: BinaryIO, delimiter: str) -> None:
    """Write a header and the rows as UTF-8: null is an empty field, text is quoted if necessary."""
    file.write(f"{delimiter.join(_quoted([column.name for column in columns], delimiter))}\n".encode())
    for start in range(0, rows, _ROWS):
        fields = [_fields(column.dtype, column.values[start : start + _ROWS], delimiter) for column in columns]
        file.write("".join(f"{delimiter.join(row)}\n" for row in zip(*fields, strict=True)).encode())


def _fields(dtype: ColumnType, values: list[Any], delimiter: str) -> Sequence[str]:
    """The fields of values of a type; csv is slower."""
    known = [value for value in values if value is not None] if None in values else values
    fields = _quoted(known, delimiter) if dtype == "string" else list(map(_FIELD[dtype], known))
    if known is values:
        return fields
    following = iter(fields)
    return ["" if value is None else next(following) for value in values]


def _quoted(texts: Sequence[str], delimiter: str) -> Sequence[str]:
    special = f'{delimiter}"\n\r'
    joined = "".join(texts)
    if not any(sign in joined for sign in special):
        return texts
    return [
        f'"{each.replace(_QUOTE, _QUOTE * 2)}"' if any(sign in each for sign in special) else each for each in texts
    ]


def write_parquet(columns: Sequence[TypedColumn], file: BinaryIO) -> None:
    """Write a Parquet file with the types of the columns."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise missing_extra("writing Parquet", "parquet") from error
    kinds = {
        "int": pa.int64(), "float": pa.float64(), "bool": pa.bool_(), "date": pa.date32(),
        "datetime": pa.timestamp("us"), "string": pa.string(),
    }  # fmt: skip
    arrays = [pa.array(column.values, kinds[column.dtype]) for column in columns]
    table = pa.table(arrays, names=[column.name for column in columns])
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    file.write(buffer.getbuffer())
