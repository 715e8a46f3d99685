"""Checksums that databases compute of their rows: the same text of the same value on each of them.

Equal text means equal values. Values that are equal may have other texts on two databases: then the rows are read.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from aetherflow.core.api import Row
from aetherflow_builtins_db.reconciling.pairs import Meaning, Pair, reader
from aetherflow_builtins_db.reconciling.side import Key, KeyRange, Side

_ASK_TYPES = frozenset({"postgres", "duckdb"})
_POSTGRES = frozenset(
    {"smallint", "integer", "bigint", "numeric", "boolean", "text", "character varying", "uuid", "json", "date",
     "timestamp without time zone", "timestamp with time zone", "time without time zone", "bytea", "real",
     "double precision"}
)  # fmt: skip
_DUCKDB = (
    "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "DECIMAL(",
    "BOOLEAN", "VARCHAR", "UUID", "DATE", "TIMESTAMP", "TIME", "BLOB", "FLOAT", "DOUBLE",
)  # fmt: skip
"""Types whose text is known, as `pg_typeof` and `typeof` name them."""
_EXACT_DIGITS = 28
"""Digits of a decimal of which DuckDB sums more than all that fit a disk."""


class Sum(NamedTuple):
    """Number of rows, and two sums of parts of their hashes."""

    rows: int = 0
    first: int = 0
    second: int = 0


class Hashing:
    """Computes the checksums of one side in its database."""

    def __init__(self, side: Side, pairs: Sequence[Pair], *, is_target: bool) -> None:
        self._side = side
        self._meanings = [each.meaning for each in pairs]
        self._told = [each.target if is_target else each.source for each in pairs]
        self._driver = side.database.connector.driver

    def knows(self, other_driver: str) -> bool:
        """Whether the text of each column is known, and the other side's is the same."""
        if self._driver not in _TEXTS or other_driver not in _TEXTS:
            return False
        if "float" in self._meanings and self._driver != other_driver:
            return False
        if "any" in self._meanings:
            return False
        if self._driver not in _ASK_TYPES:
            return True
        kind = "pg_typeof" if self._driver == "postgres" else "typeof"
        side = self._side
        asked = ", ".join(f"CAST({kind}({side.quoted(index)}) AS VARCHAR)" for index in range(len(side.names)))
        sql = f"SELECT {asked} FROM (SELECT 1 AS one) o LEFT JOIN {side.relation} q ON 1 = 0"  # noqa: S608 - quoted names
        (found,) = side.database.read(sql, side.params)[1]
        if self._driver == "postgres":
            return set(found) <= _POSTGRES
        return all(str(name).startswith(_DUCKDB) and "[" not in str(name) for name in found)

    def total(self) -> tuple[Sum, dict[str, Any], int]:
        """Of all rows: the checksum, the sums of the columns of numbers, and the number of rows without a key."""
        side = self._side
        summed = {f"n{index}": index for index in range(len(side.names)) if self._is_summed(index)}
        inner = [f"{side.quoted(index)} AS {name}" for name, index in summed.items()]
        no_key = " OR ".join(f"{side.quoted(index)} IS NULL" for index in side.keys)
        inner.append(f"CASE WHEN {no_key} THEN 1 ELSE 0 END AS no_key")
        outer = ["sum(no_key)", *(f"sum({name})" for name in summed)]
        ((rows, first, second, nulls, *sums),) = self._read(KeyRange(), inner, outer, {})
        found = {side.names[index]: value for index, value in zip(summed.values(), sums, strict=True)}
        return Sum(int(rows), int(first or 0), int(second or 0)), found, int(nulls or 0)

    def parts(self, within: KeyRange, borders: Sequence[Key]) -> list[Sum]:
        """The checksums of the parts into which `borders` cut a range: the first up to the first border, and so on."""
        params: dict[str, object] = {}
        case = self._case(borders, 0, params)
        found = {
            int(part): Sum(int(rows), int(first), int(second))
            for part, rows, first, second in self._read(within, [f"{case} AS part"], [], params, by="part, ")
        }
        return [found.get(number, Sum()) for number in range(len(borders) + 1)]

    def borders(self, within: KeyRange, step: int) -> list[Key]:
        """The key of every so many rows of a range."""
        side = self._side
        order = ", ".join(side.ordered(index) for index in side.keys)
        names = [f"k{number}" for number in range(len(side.keys))]
        listed = ", ".join(f"{side.quoted(index)} AS {name}" for index, name in zip(side.keys, names, strict=True))
        condition, values = side.condition(within)
        numbered = f"SELECT {listed}, row_number() OVER (ORDER BY {order}) AS n FROM {side.relation} q{condition}"  # noqa: S608 - quoted names
        sql = f"SELECT {', '.join(names)} FROM ({numbered}) x WHERE n % {step} = 0 ORDER BY n"  # noqa: S608 - the above
        found = side.database.read(sql, {**side.params, **side.window_params, **values})[1]
        reads = [reader(self._meanings[index]) for index in side.keys]
        return [tuple([read(cell) for read, cell in zip(reads, key, strict=True)]) for key in found]

    def _is_summed(self, index: int) -> bool:
        if self._meanings[index] != "number" or index in self._side.keys:
            return False
        kind = self._told[index].column.type
        return self._driver != "duckdb" or kind.kind == "int" or kind.precision <= _EXACT_DIGITS

    def _case(self, borders: Sequence[Key], first: int, params: dict[str, object]) -> str:
        """The number of a row's part, found by halves."""
        if not borders:
            return str(first)
        middle = len(borders) // 2
        sql, values = self._side.beyond(borders[middle], f"aetherflow_b{first + middle}_")
        params |= values
        above = self._case(borders[middle + 1 :], first + middle + 1, params)
        return f"CASE WHEN {sql} THEN {above} ELSE {self._case(borders[:middle], first, params)} END"

    def _read(
        self, within: KeyRange, inner: list[str], outer: list[str], more: Mapping[str, object], by: str = ""
    ) -> list[Row]:
        side, text = self._side, _TEXTS[self._driver]
        cells = [
            text.cell(side.quoted(index), meaning, self._told[index].column.type.scale)
            for index, meaning in enumerate(self._meanings)
        ]
        whole = text.joined([f"COALESCE({cell}, '~')" for cell in cells])
        selected = ", ".join([f"{text.md5(whole)} AS m", *inner])
        condition, values = side.condition(within)
        halves = ", ".join(f"sum({text.number(f'substr(m, {start}, 15)')})" for start in (1, 16))
        more_outer = "".join(f", {each}" for each in outer)
        sql = (
            f"SELECT {by}count(*), {halves}{more_outer} FROM "  # noqa: S608 - quoted names
            f"(SELECT {selected} FROM {side.relation} q{condition}) x{' GROUP BY part' if by else ''}"
        )
        return side.database.read(sql, {**side.params, **side.window_params, **values, **more})[1]


class Text(NamedTuple):
    """How a database writes values, so that others write the same."""

    cells: Mapping[Meaning, Callable[[str, int], str]]
    joined: Callable[[list[str]], str]
    md5: Callable[[str], str]
    number: Callable[[str], str]
    """The number of 15 hexadecimal digits."""

    def cell(self, name: str, meaning: Meaning, scale: int) -> str:
        """The text of a column, null for null. Text says its length first, so that no two rows have one text."""
        return self.cells[meaning](name, scale)


def _trimmed(text: str) -> str:
    return f"TRIM(TRAILING '.' FROM TRIM(TRAILING '0' FROM {text}))"


def _varchar(name: str, _scale: int) -> str:
    return f"CAST({name} AS VARCHAR)"


def _sized(name: str, _scale: int) -> str:
    return f"length(CAST({name} AS VARCHAR)) || ':' || CAST({name} AS VARCHAR)"


def _mysql_text(name: str, _scale: int) -> str:
    return f"CONCAT(CHAR_LENGTH({name}), ':', CONVERT({name} USING utf8mb4))"


def _of_mysql_number(name: str, scale: int) -> str:
    text = f"CAST({name} + 0 AS CHAR)"
    return _trimmed(text) if scale else text


def _of_duckdb_number(name: str, scale: int) -> str:
    text = f"CAST({name} AS VARCHAR)"
    return f"rtrim(rtrim({text}, '0'), '.')" if scale else text


def _of_duckdb_instant(name: str, _scale: int) -> str:
    text = f"CAST({name} AS VARCHAR)"
    return f"CASE WHEN isinf({name}) THEN {text} ELSE CAST(make_timestamp(epoch_us({name})) AS VARCHAR) END"


def _of_mysql_moment(name: str, _scale: int) -> str:
    return _trimmed(f"DATE_FORMAT({name}, '%Y-%m-%d %H:%i:%s.%f')")


_TEXTS: dict[str, Text] = {
    "postgres": Text(
        {
            "bool": lambda name, _: f"CAST(CAST({name} AS integer) AS text)",
            "number": lambda name, _: f"CAST(trim_scale(CAST({name} AS numeric)) AS text)",
            "float": _varchar,
            "string": _sized,
            "bytes": lambda name, _: f"encode({name}, 'hex')",
            "date": _varchar,
            "local": _varchar,
            "instant": lambda name, _: f"CAST({name} AT TIME ZONE 'UTC' AS text)",
            "time": _varchar,
        },
        " || ';' || ".join,
        lambda text: f"md5(convert_to({text}, 'UTF8'))",
        lambda digits: f"CAST(CAST('x' || {digits} AS bit(60)) AS bigint)",
    ),
    "duckdb": Text(
        {
            "bool": lambda name, _: f"CAST(CAST({name} AS INTEGER) AS VARCHAR)",
            "number": _of_duckdb_number,
            "float": _varchar,
            "string": _sized,
            "bytes": lambda name, _: f"lower(hex({name}))",
            "date": _varchar,
            "local": _varchar,
            "instant": _of_duckdb_instant,
            "time": _varchar,
        },
        " || ';' || ".join,
        lambda text: f"md5({text})",
        lambda digits: f"CAST('0x' || {digits} AS BIGINT)",
    ),
    "mysql": Text(
        {
            "bool": lambda name, _: f"CAST({name} + 0 AS CHAR)",
            "number": _of_mysql_number,
            "float": lambda name, _: f"CAST({name} AS CHAR)",
            "string": _mysql_text,
            "bytes": lambda name, _: f"LOWER(HEX({name}))",
            "date": lambda name, _: f"CAST({name} AS CHAR)",
            "local": _of_mysql_moment,
            "instant": _of_mysql_moment,
            "time": lambda name, _: _trimmed(f"TIME_FORMAT({name}, '%H:%i:%s.%f')"),
        },
        lambda cells: f"CONCAT_WS(';', {', '.join(cells)})",
        lambda text: f"MD5(CONVERT({text} USING utf8mb4))",
        lambda digits: f"CAST(CONV({digits}, 16, 10) AS UNSIGNED)",
    ),
}
"""By driver. The sessions of `mysql` are in UTC."""
