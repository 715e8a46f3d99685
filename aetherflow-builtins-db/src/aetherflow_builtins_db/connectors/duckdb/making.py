"""DuckDB's types for the columns of a table that a load makes."""

from aetherflow.core.api import ColumnKind, ColumnType

_NAMES: dict[ColumnKind, str] = {
    "bool": "BOOLEAN",
    "int": "BIGINT",
    "float": "DOUBLE",
    "bytes": "BLOB",
    "date": "DATE",
    "time": "TIME",
}


def declared_for(column_type: ColumnType) -> str:
    """The name of the type, as DuckDB's catalogue has it."""
    if column_type.kind == "decimal":
        return f"DECIMAL({column_type.precision},{column_type.scale})"
    if column_type.kind == "datetime":
        return "TIMESTAMP WITH TIME ZONE" if column_type.zoned else "TIMESTAMP"
    return _NAMES.get(column_type.kind, "VARCHAR")
