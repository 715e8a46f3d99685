"""The table of a load: the one that is there, as it is or changed, or a new one with the types of the file."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

from aetherflow.core.api import (
    ColumnType,
    ConnectorError,
    SqlTable,
    StepError,
    StepInputError,
    TableColumn,
    TableMaker,
)
from aetherflow_builtins_db.columns import STRING, UNKNOWN
from aetherflow_builtins_db.formats.values import short_value
from aetherflow_builtins_db.loading.batch import OnReject, RowSource
from aetherflow_builtins_db.loading.profile import Profile
from aetherflow_builtins_db.loading.rejects import Rejects
from aetherflow_builtins_db.loading.table import NAME_IN_ORDER, find_name, loaded_name, position, refuse_several
from aetherflow_builtins_db.loading.target import Target
from aetherflow_builtins_db.loading.widths import wider_type

OnChange: TypeAlias = Literal["fail", "add_columns", "widen"]
Columns: TypeAlias = Mapping[str, str] | Sequence[str] | None
_BATCH_ROWS = 10_000
_LET_IT = "check the name; create: if_missing makes the table, with the types of what is loaded"
_FIXED = frozenset({"sqlite"})
"""Dialects in which a column keeps its type, and takes text and whole numbers of any length."""
_FIXED_IN_KEYS = frozenset({"duckdb"})
"""Dialects in which a column with a constraint keeps its type."""
_WITHOUT_COMMENTS = frozenset({"sqlite"})
_UNLIMITED = frozenset({"int", "string"})


@dataclass(frozen=True, slots=True)
class Shape:
    """What a load may make or change, and what is said of the columns that it makes."""

    create: bool = False
    on_change: OnChange = "fail"
    types: Mapping[str, ColumnType] = field(default_factory=dict)
    not_null: tuple[str, ...] = ()
    comments: Mapping[str, str] = field(default_factory=dict)


class Making:
    """The table of a load, and what is to be done to it first. The constructor changes nothing; it may read all rows.

    StepError if the table is missing and not to be made; StepInputError if what is said of its columns does not fit.
    """

    def __init__(
        self,
        target: Target,
        source: RowSource,
        table: str,
        shape: Shape,
        *,
        columns: Columns,
        keys: Sequence[str],
        id_column: str | None,
        max_rejects: int,
    ) -> None:
        self._target, self._source, self._shape = target, source, shape
        self.columns = columns
        """The mapping of fields to columns; for JSON lines with all keys of the file."""
        self._keys, self._id_column, self._max_rejects = tuple(keys), id_column, max_rejects
        self._comments: Mapping[str, str] = {}
        self._odd: Mapping[str, str] = {}
        """By column that is made: the value for which it is text, and no number, date or time."""
        self.added: tuple[TableColumn, ...] = ()
        self.widened: tuple[TableColumn, ...] = ()
        found = target.look_up(table) if shape.create else target.find(table, _LET_IT)
        self.is_new = found is None
        if found is None:
            self.table = self._new(target.new_table(table))
        else:
            self.table = found if shape.on_change == "fail" else self._changed(found)

    # What will be done

    def lines(self, of: str) -> list[str]:
        """What will be made or changed, for a plan; `of` follows the table's name."""
        quote, table = self._target.quote, self.table
        if self.is_new:
            keys = [f"  primary key ({', '.join(self._keys)})"] if self._keys else []
            columns = [f"  {_shown(column)}{self._because(column)}" for column in table.columns]
            return [f"create table {table.sql}{of}:", *columns, *keys]
        lines = [
            f"add column {quote(each.name)} {each.declared}{self._because(each)} to {table.sql}{of}"
            for each in self.added
        ]
        return lines + [
            f"change column {quote(each.name)} of {table.sql}{of} to {each.declared}" for each in self.widened
        ]

    def _because(self, column: TableColumn) -> str:
        found = self._odd.get(column.name)
        return "" if found is None else f" (text because of {short_value(found)})"

    def apply(self) -> SqlTable:
        """In the transaction of the load: make or change the table; return where to fill it."""
        loader, table = self._target.loader, self.table
        if self.is_new:
            try:
                return loader.create_table(table, self._keys, self._comments)
            except ConnectorError as error:
                if self._target.look_up_again(table) is None:
                    raise
                raise StepError(
                    f"another process made {table.sql} at the same time; nothing was loaded", fix="run it again"
                ) from error
        if self.added or self.widened:
            loader.alter_table(table, self.added, self.widened)
        return table

    # Its columns

    def _new(self, table: SqlTable) -> SqlTable:
        shape, seen = self._shape, self._seen(of_values=False)
        loaded = list(seen)
        if not loaded:
            raise StepInputError(
                "nothing that is loaded has a name: a new table would have no columns",
                fix="make the table with a db_execute step before this one, or load a file with rows",
            )
        keys = {loaded_name("keys", key, loaded) for key in self._keys}
        required = keys | {loaded_name("not_null", name, loaded) for name in shape.not_null}
        made = [
            self._column(name, kind, nullable=name not in required, key=name in keys)
            for name, kind in self._types(seen).items()
        ]
        if self._id_column is not None:
            _refuse_names([*loaded, self._id_column])
            made.append(self._column(self._id_column, STRING))
        self._keys = tuple(name for name in seen if name in keys)
        self._comments = {loaded_name("comments", name, loaded): text for name, text in shape.comments.items()}
        if shape.comments and self._target.database.dialect.name in _WITHOUT_COMMENTS:
            raise StepInputError("SQLite has no comments on columns", fix="leave out comments")
        return replace(table, columns=tuple(made))

    def _changed(self, table: SqlTable) -> SqlTable:
        shape, seen = self._shape, self._seen(of_values=self._shape.on_change == "widen")
        known = [column.name for column in table.columns]
        new = {name for name in seen if find_name(name, known) is None}
        self.added = tuple(self._column(name, kind) for name, kind in self._types(seen).items() if name in new)
        if shape.on_change == "widen":
            self.widened = tuple(self._widened(table, seen))
        changed = {column.name: column for column in self.widened}
        columns = [changed.get(column.name, column) for column in table.columns]
        return replace(table, columns=(*columns, *self.added))

    def _widened(self, table: SqlTable, seen: "Mapping[str, Profile | ColumnType]") -> list[TableColumn]:
        dialect, by_name, found = self._target.database.dialect.name, list(seen), []
        for column in table.columns:
            profile = seen.get(find_name(column.name, by_name) or "")
            wider = wider_type(column, profile) if isinstance(profile, Profile) else None
            if wider is None or (dialect in _FIXED and column.type.kind in _UNLIMITED):
                continue
            made = self._column(column.name, wider, nullable=column.nullable, key=column.indexed)
            if isinstance(profile, Profile) and column.indexed and wider_type(made, profile) is not None:
                raise StepError(
                    f"column {column.name} of {table.sql} is in an index, for which this database makes it no wider "
                    f"than {made.declared}, but a value has {profile.length} characters; nothing was loaded",
                    fix="shorten the values, or change the index with a db_execute step before this one",
                )
            found.append(replace(made, indexed=column.indexed))
        if fixed := [each for each in found if dialect in _FIXED or (dialect in _FIXED_IN_KEYS and each.indexed)]:
            which = "" if dialect in _FIXED else " that has a key or another constraint"
            raise StepError(
                f"this database cannot change the type of a column{which}, and {table.sql} needs "
                f"{', '.join(map(_shown, fixed))}; nothing was loaded",
                fix="make a new table with these types, and move the rows by db_execute",
            )
        return found

    def _types(self, seen: Mapping[str, "Profile | ColumnType"]) -> dict[str, ColumnType]:
        """By column: as `types` says, as the source says, or of all its values."""
        said: dict[str, ColumnType] = {}
        for name, kind in self._shape.types.items():
            loaded = loaded_name("types", name, list(seen))
            if loaded in said:
                raise StepInputError(f"types names the column {loaded!r} twice", fix="leave one of the two out")
            said[loaded] = kind
        self._odd = {
            name: found.odd_text
            for name, found in seen.items()
            if name not in said and isinstance(found, Profile) and found.odd_text is not None
        }
        return {
            name: said.get(name) or (found if isinstance(found, ColumnType) else found.type)
            for name, found in seen.items()
        }

    def _column(self, name: str, kind: ColumnType, *, nullable: bool = True, key: bool = False) -> TableColumn:
        connector = self._target.database.connector
        if not isinstance(connector, TableMaker):
            raise StepError(
                f"resource {connector.name}: its connector lacks column_for(): no table is made or changed",
                fix="make the table with a db_execute step before this one",
            )
        return connector.column_for(name, kind, nullable=nullable, key=key)

    # The rows

    def _refusing(self, unit: str) -> OnReject:
        return Rejects(self._max_rejects, unit).add

    def _seen(self, *, of_values: bool) -> dict[str, "Profile | ColumnType"]:
        """By column of the table: the type that the source tells, else (or `of_values`) the profile of all values."""
        source, columns = self._source, self.columns
        if columns is None and source.format in {"csv", "tsv"}:
            with source.reader(keys=None, width=None) as reader:
                if reader.names is not None and len(reader.names) == 1:
                    refuse_several(reader.names[0])
        names, profiles = profiles_of(source, columns, self._refusing, of_values=of_values)
        if isinstance(columns, Mapping):
            if names is None:
                raise StepInputError(
                    "columns is a map, but the file has no header", fix="give a list of columns, in the file's order"
                )
            pairs = [(wanted, profiles[position(given, names)]) for given, wanted in columns.items()]
        elif columns is not None:
            if len(columns) != len(profiles):
                raise StepInputError(f"columns lists {len(columns)} columns, but the file has {len(profiles)}")
            pairs = list(zip(columns, profiles, strict=True))
        elif names is not None:
            pairs = list(zip(names, profiles, strict=True))
            if source.format == "jsonl":
                self.columns = {name: name for name in names}
        else:
            raise StepInputError(
                "the file has no header, so the columns of a new table have no names", fix=NAME_IN_ORDER
            )
        _refuse_names([name for name, _ in pairs])
        return dict(pairs)


def profiles_of(
    source: RowSource, columns: Columns, refusing: Callable[[str], OnReject], *, of_values: bool
) -> "tuple[list[str] | None, Sequence[Profile | ColumnType]]":
    """The names of the fields, None if there are none; of each the type that the source tells, else a profile.

    With `of_values` each has a profile. `refusing` gets what the numbers of records count, and returns what is called
    with each record that cannot be read; it is left out unless that raises.
    """
    keys = list(columns) if columns is not None else None
    width = len(columns) if columns is not None else None
    types = None if of_values else source.types()
    if types is not None and UNKNOWN not in types.values():
        return list(types), list(types.values())
    with source.reader(keys=keys, width=width, every_key=True) as reader:
        profiles = [Profile(source.texts) for _ in reader.names or columns or ()]
        for batch in reader.batches(_BATCH_ROWS, refusing(reader.unit)):
            profiles = profiles or [Profile(source.texts) for _ in batch.rows[0]]
            for profile, cells in zip(profiles, zip(*batch.rows, strict=True), strict=True):
                profile.see(cells)
        names = reader.names
    if types is None:
        return names, profiles
    return list(types), [
        profile if kind == UNKNOWN else kind for kind, profile in zip(types.values(), profiles, strict=True)
    ]


def _refuse_names(names: Sequence[str]) -> None:
    """StepInputError for columns without a name, and for two of one name: databases mostly ignore its case."""
    seen: set[str] = set()
    for number, name in enumerate(names, 1):
        if not name.strip():
            raise StepInputError(f"column {number} of the file has no name", fix=NAME_IN_ORDER)
        if name.lower() in seen:
            raise StepInputError(f"two columns are named {name!r}", fix=NAME_IN_ORDER)
        seen.add(name.lower())


def _shown(column: TableColumn) -> str:
    return f"{column.name} {column.declared}{'' if column.nullable else ' not null'}"
