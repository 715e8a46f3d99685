"""MySQL's and MariaDB's types for the columns of a table that a load makes."""

from aetherflow.core.api import ColumnKind, ColumnType, TableColumn
from aetherflow_builtins_db.columns import STRING

_SECOND_DIGITS = 6
_KEY_LENGTH = 255
"""Characters of text, or bytes, in a primary key: an index holds 3,072 bytes, and a character up to four."""
_NAMES: dict[ColumnKind, tuple[str, str]] = {
    "int": ("bigint", "bigint"),
    "float": ("double", "double"),
    "date": ("date", "date"),
    "bytes": ("longblob", f"varbinary({_KEY_LENGTH})"),
}
_TEXT = ("longtext", f"varchar({_KEY_LENGTH})")
"""Types of a column, and of one that is a key."""
_KEPT = frozenset({*_NAMES, "decimal", "datetime"})
"""Kinds that a made column shows again; it shows other kinds as text."""


def column_for(name: str, column_type: ColumnType, *, nullable: bool, key: bool) -> TableColumn:
    """The column of the type. A time of day is text to this package, because MySQL's TIME is a span."""
    match column_type.kind:
        case "decimal":
            declared = f"decimal({column_type.precision},{column_type.scale})"
        case "datetime":
            declared = "timestamp(6)" if column_type.zoned else "datetime(6)"
        case "time":
            declared = "time(6)"
        case "bool":
            column_type, declared = ColumnType("int"), "tinyint(1)"
        case kind:
            declared = _NAMES.get(kind, _TEXT)[key]
    digits = _SECOND_DIGITS if column_type.kind in {"datetime", "time"} else None
    kept = column_type if column_type.kind in _KEPT else STRING
    return TableColumn(name, kept, declared, nullable, digits, key)
