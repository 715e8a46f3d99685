"""Results as JSON lines: the server writes the values as COPY's text, whose escapes are those of JSON but for a few."""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from aetherflow_builtins_db.connectors.common.rows import OpenRows
from aetherflow_builtins_db.connectors.postgres.copy import FLOAT, PostgresCopy, held, makes_objects, with_mark

if TYPE_CHECKING:
    import psycopg

_FINITE = "CASE WHEN {0}::text NOT IN ('NaN', 'Infinity', '-Infinity') THEN {1} END"
_PYTHONS = "replace(to_char({0}, '{1}HH24:MI:SS.US'), '.000000', '') || '{2}'"
_DAY = 'YYYY-MM-DD"T"'
_BARE = frozenset({"bool", "int", "float"})
"""Kinds of columns whose values have no quotes in JSON."""
_CONTROLS = bytes([*range(1, 8), *range(14, 32)])
"""What COPY writes as it is, and JSON as `\\u001f`. The others are `\\n` and the like in both, but for `\\v`."""
_NULL = rb"\N"
_ESCAPE = re.compile(rb"\\(.)")


class PostgresJson(OpenRows):
    """The result of one COPY of `json_query` as JSON lines."""

    def __init__(self, copy: PostgresCopy) -> None:
        super().__init__(copy.columns)
        self._copy = copy
        keys = [json.dumps(column.name, ensure_ascii=False) for column in self.columns]
        self._starts = [f"{sign}{key}:".encode() for sign, key in zip("{" + "," * len(keys), keys, strict=False)]
        self._quotes = [b"" if column.type.kind in _BARE else b'"' for column in self.columns]

    @property
    def rows(self) -> int:
        """Number of rows in the blocks yielded so far."""
        return self._copy.rows

    def blocks(self) -> Iterator[bytes]:
        """Yield blocks of whole rows; call it once."""
        try:
            joined = _by_arrow(self._starts, self._quotes)
        except ImportError:
            joined = _by_rows(self._starts, self._quotes)
        for block in self._copy.blocks():
            yield joined(_escaped(block)) if block else block

    def close(self) -> None:
        self._copy.close()


def _by_rows(starts: Sequence[bytes], quotes: Sequence[bytes]) -> Callable[[bytes], bytes]:
    """What makes JSON lines of a block of fields, row by row."""
    fields = zip(starts, quotes, strict=True)
    line = b"".join(b"%s%s%%s%s" % (start.replace(b"%", b"%%"), quote, quote) for start, quote in fields) + b"}\n"

    def joined(block: bytes) -> bytes:
        lines = b"".join([line % tuple(row.split(b"\t")) for row in block[:-1].split(b"\n")])
        if _NULL in block:  # no text has this: its backslashes are doubled
            lines = lines.replace(b'"%s"' % _NULL, b"null").replace(b":" + _NULL, b":null")
        return lines

    return joined


def _by_arrow(starts: Sequence[bytes], quotes: Sequence[bytes]) -> Callable[[bytes], bytes]:
    """The same by pyarrow, in half of the time."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.csv as reader

    names = [str(index) for index in range(len(starts))]
    parse = reader.ParseOptions(delimiter="\t", quote_char=False, ignore_empty_lines=False)
    convert = reader.ConvertOptions(
        column_types=dict.fromkeys(names, pa.binary()), null_values=[_NULL.decode()], strings_can_be_null=True
    )

    def joined(block: bytes) -> bytes:
        block = with_mark(block)
        read = reader.ReadOptions(use_threads=False, block_size=len(block), column_names=names)
        columns = reader.read_csv(pa.BufferReader(block), read, parse, convert).columns
        parts, ahead = [], b""
        for start, quote, values in zip(starts, quotes, columns, strict=True):
            if quote and values.null_count:  # which have no quotes
                parts += [ahead + start, pc.binary_join_element_wise(quote, values, quote, b"")]
                ahead = b""
            else:
                parts += [ahead + start + quote, values]
                ahead = quote
        lines = pc.binary_join_element_wise(
            *parts, ahead + b"}\n", b"", null_handling="replace", null_replacement=b"null"
        )
        return b"".join(
            memoryview(chunk.buffers()[2])[: pc.sum(pc.binary_length(chunk)).as_py()] for chunk in lines.chunks
        )

    return joined


def _escaped(block: bytes) -> bytes:
    """COPY's text with the escapes of JSON, as `write_jsonl` has them."""
    if b'"' in block:
        block = block.replace(b'"', rb"\"")
    if rb"\v" in block:
        block = _ESCAPE.sub(lambda found: rb"\u000b" if found[1] == b"v" else found[0], block)
    if len(block.translate(None, _CONTROLS)) < len(block):
        for code in _CONTROLS:
            block = block.replace(bytes([code]), rb"\u%04x" % code)
    return block


def json_query(connection: "psycopg.Connection[Any]", sql: str, described: Sequence["psycopg.Column"]) -> str | None:
    """A query of the values of which PostgresJson makes the bytes of `write_jsonl`; None if there is none."""
    if not described or any(makes_objects(connection, column.type_code) for column in described):
        return None
    utc = connection.info.parameter_status("TimeZone") == "UTC"
    iso = (connection.info.parameter_status("DateStyle") or "").startswith("ISO")
    names = [f"c{index}" for index in range(len(described))]
    values = [_value(name, column.type_code, utc=utc, iso=iso) for name, column in zip(names, described, strict=True)]
    return f"SELECT {', '.join(values)} FROM (\n{sql}\n) AS q({', '.join(names)})"  # noqa: S608 - the user's query


def _value(name: str, oid: int, *, utc: bool, iso: bool) -> str:
    """SQL for the text of a value, as `json_value` has it; null for null, and for a number that JSON does not have."""
    match oid:
        case 16:  # bool
            return f"{name}::text"
        case 700:  # real: the double that Python reads from its text
            return _FINITE.format(name, FLOAT.format(f"({name}::text::float8)"))
        case 701:  # double
            return _FINITE.format(name, FLOAT.format(name))
        case 1700:  # numeric
            return _FINITE.format(name, name)
        case 17:  # bytea
            return rf"replace(encode({name}, 'base64'), E'\n', '')"
        case 1083:  # time
            return _PYTHONS.format(name, "", "")
        case 1114:  # timestamp
            return _instant(name, name, "", held(name), quick=iso)
        case 1184:  # timestamptz
            instant = f"({name} AT TIME ZONE 'UTC')"
            within = held(name) if utc else held(instant, f"{name}::timestamp")
            return _instant(name, instant, "+00:00", within, quick=iso and utc)
        case _:
            return name


def _instant(name: str, shown: str, zone: str, within: str, *, quick: bool) -> str:
    """As Python writes it; text of PostgreSQL for one that Python does not have, in UTC or in the session's zone.

    :param quick: whether PostgreSQL's own text of a whole second is nearly Python's: a third of the time of `to_char`
    """
    text, python = f"{name}::text", _PYTHONS.format(shown, _DAY, zone)
    if quick:
        kind = "timestamptz" if zone else "timestamp"
        python = (
            f"CASE WHEN {name}::{kind}(0) = {name} THEN replace({text}, ' ', 'T') || '{zone[3:]}' ELSE {python} END"
        )
    return f"CASE WHEN {within} THEN {python} ELSE {text} END"
