"""PostgreSQL's types for the columns of a table that a load makes."""

from aetherflow.core.api import ColumnKind, ColumnType, StepInputError, TableColumn
from aetherflow_builtins_db.columns import UNKNOWN

MAX_NAME = 63
"""Bytes of a name; PostgreSQL would cut a longer one."""
_NAMES: dict[ColumnKind, str] = {
    "bool": "boolean",
    "int": "bigint",
    "float": "double precision",
    "bytes": "bytea",
    "date": "date",
    "time": "time without time zone",
}


def column_for(name: str, column_type: ColumnType, *, nullable: bool) -> TableColumn:
    """The column of the type, which PostgreSQL itself converts text to."""
    if len(name.encode()) > MAX_NAME:
        raise StepInputError(
            f"the name {name!r} has more than {MAX_NAME} bytes, all that PostgreSQL keeps",
            fix="columns: {file column: table column} renames",
        )
    if column_type.kind == "decimal":
        declared = f"numeric({column_type.precision},{column_type.scale})"
    elif column_type.kind == "datetime":
        declared = f"timestamp {'with' if column_type.zoned else 'without'} time zone"
    else:
        declared = _NAMES.get(column_type.kind, "text")
    return TableColumn(name, column_type if declared == "bytea" else UNKNOWN, declared, nullable)
