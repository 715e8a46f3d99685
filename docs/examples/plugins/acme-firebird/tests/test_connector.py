"""The connector keeps the contract of a database, and the built-in steps work over it."""

import datetime as dt
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import pytest

from acme_firebird.connector import Firebird
from aetherflow.core.testing import SqlSuite

ENGINE = list(Path("/usr/lib").glob("*/firebird/*/plugins/libEngine*.so"))
pytestmark = pytest.mark.skipif(not ENGINE, reason="apt-get install firebird4.0-server-core libfbclient2")


@cache
def empty_database() -> bytes:
    """A database without tables: to make one takes longer than most tests do."""
    from firebird.driver import create_database  # type: ignore[import-untyped]  # it needs the library of Firebird

    with TemporaryDirectory() as folder:
        path = Path(folder, "empty.fdb")
        create_database(path, user="sysdba", charset="UTF8").close()
        return path.read_bytes()


class TestFirebird(SqlSuite):
    connector = Firebird
    name = "db.firebird"
    endless = "SELECT count(*) FROM rdb$types a, rdb$types b, rdb$types c, rdb$types d, rdb$types e"
    text_type = "VARCHAR(100)"
    sequence = "SELECT FIRST {count} row_number() OVER () AS n FROM rdb$types a, rdb$types b"
    one_row = " FROM rdb$database"
    names_are_upper = True
    # DEC is a word of the language.
    VALUES: ClassVar = {"money" if name == "dec" else name: value for name, value in SqlSuite.VALUES.items()}
    casts: ClassVar = {
        "i": "BIGINT", "f": "DOUBLE PRECISION", "b": "VARCHAR(10) CHARACTER SET OCTETS", "s": "VARCHAR(40)",
        "n": "INTEGER", "t": "BOOLEAN", "d": "DATE", "money": "NUMERIC(10, 2)", "ts": "TIMESTAMP",
    }  # fmt: skip
    changed_values: ClassVar = {"ts": dt.datetime.fromisoformat("2024-02-29T01:02:03")}  # it keeps four digits

    def config(self, place: Path) -> dict[str, Any]:
        database = place / "suite.fdb"
        if not database.exists():
            database.write_bytes(empty_database())
        return {"database": str(database)}

    def unreachable(self, place: Path) -> dict[str, Any]:
        (place / "file").write_text("no folder")
        return {"database": str(place / "file" / "none.fdb")}
