"""The target table, and the mapping of a file's fields to its columns."""

import difflib
import re
from collections.abc import Callable, Mapping, Sequence

from aetherflow.core.api import FieldMap, SqlTable, StepInputError

NAME_IN_ORDER = "columns: [a, b] names the columns, in the file's order"
_PART = re.compile(r'\s*(?:"((?:[^"]|"")+)"|`([^`]+)`|([^\s".`]+))\s*(?:\.|\Z)')


def beside(table: SqlTable, quote: Callable[..., str], suffix: str) -> SqlTable:
    """A table with the same columns in the same schema, named `<name>_<suffix>`."""
    name = f"{table.name[:40]}_{suffix}"
    return SqlTable(quote(table.schema, name) if table.schema else quote(name), table.schema, name, table.columns)


def split_name(text: str) -> tuple[str, ...]:
    """The parts of `table`, `schema.table` or `"My Schema".table`; StepInputError for other forms."""
    parts, at = [], 0
    while at < len(text):
        found = _PART.match(text, at)
        if found is None:
            raise StepInputError(f"table {text!r} is no name of a table", fix='write table, schema.table or "My Table"')
        quoted, ticked, plain = found.groups()
        parts.append(quoted.replace('""', '"') if quoted else ticked or plain)
        at = found.end()
    if not 1 <= len(parts) <= 3 or text.rstrip().endswith("."):
        raise StepInputError(f"table {text!r} is no name of a table", fix='write table, schema.table or "My Table"')
    return tuple(parts)


def find_name(wanted: str, known: Sequence[str]) -> str | None:
    """The known name that equals `wanted`, or the only one that differs in case; None if there is none."""
    if wanted in known:
        return wanted
    near = [name for name in known if name.lower() == wanted.lower()]
    return near[0] if len(near) == 1 else None


def map_fields(
    table: SqlTable, names: Sequence[str] | None, wanted: Mapping[str, str] | Sequence[str] | None
) -> FieldMap:
    """Map the fields of a file to columns; StepInputError if a name is unknown or a column occurs twice.

    :param names: the file's columns, None if it has no header
    :param wanted: a map of file column to table column, which leaves out all other file columns; a list of table
        columns for the fields in order; or None: file columns have the names of table columns
    """
    if isinstance(wanted, Mapping):
        if names is None:
            raise StepInputError(
                "columns is a map, but the file has no header", fix="give a list of table columns, in the file's order"
            )
        pairs = [(position(source, names), target) for source, target in wanted.items()]
    elif wanted is not None:
        if names is not None and len(names) != len(wanted):
            raise StepInputError(f"columns lists {len(wanted)} columns, but the file has {len(names)}")
        pairs = list(enumerate(wanted))
    elif names is not None:
        pairs = list(enumerate(names))
    else:
        pairs = [(index, column.name) for index, column in enumerate(table.columns)]
    by_name = {column.name: column for column in table.columns}
    columns = [by_name[_column(target, table)] for _, target in pairs]
    twice = sorted({column.name for column in columns if columns.count(column) > 1})
    if twice:
        raise StepInputError(f"two columns of the file go into column {twice[0]!r} of {table.sql}", fix=NAME_IN_ORDER)
    width = len(names) if names is not None else len(pairs)
    return FieldMap(tuple(columns), tuple(index for index, _ in pairs), width, tuple(names) if names else None)


def position(source: str, names: Sequence[str]) -> int:
    """The place among the fields of one that `columns` names; StepInputError if there is none."""
    found = find_name(source, names)
    if found is None:
        raise StepInputError(
            f"columns: the file has no column {source!r}{_near(source, names)}", fix=f"it has: {', '.join(names)}"
        )
    if names.count(found) > 1:
        raise StepInputError(f"columns: the file has {names.count(found)} columns {source!r}", fix=NAME_IN_ORDER)
    return names.index(found)


def place_of(field: str, wanted: str, known: Sequence[str], what: str) -> int:
    """The place among the known names of one that an input names; StepInputError if it is no `what`."""
    found = find_name(wanted, known)
    if found is None:
        raise StepInputError(
            f"{field}: {wanted!r} is no {what}{_near(wanted, known)}", fix=f"there are: {', '.join(known)}"
        )
    return known.index(found)


def loaded_name(what: str, wanted: str, loaded: Sequence[str]) -> str:
    """The loaded column that the input `what` names; StepInputError if there is none."""
    return loaded[place_of(what, wanted, loaded, "column that is loaded")]


def _column(target: str, table: SqlTable) -> str:
    known = [column.name for column in table.columns]
    found = find_name(target, known)
    if found is None:
        refuse_several(target)
        raise StepInputError(
            f"{table.sql} has no column {target!r}{_near(target, known)}",
            fix=f"its columns are {', '.join(known)}; columns: {{file column: table column}} maps or leaves out",
        )
    return found


def refuse_several(name: str) -> None:
    """StepInputError for the name of a column that looks like the header of a file with another delimiter."""
    if sign := next((each for each in ";,\t|" if each in name), None):
        raise StepInputError(
            f"the file has a column {name!r}, which looks like several: is its delimiter {sign!r}?",
            fix=f"set delimiter to {sign!r}, or name the columns by columns",
        )


def _near(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, 1)
    return f"; did you mean {near[0]!r}?" if near else ""
