"""The connector keeps the contract of a database, and the built-in steps work over it."""

import datetime as dt
from pathlib import Path
from typing import Any, ClassVar

import pytest

from acme_firebird.connector import Firebird
from aetherflow.core.testing import SqlSuite

ENGINE = list(Path("/usr/lib").glob("*/firebird/*/plugins/libEngine*.so"))
pytestmark = pytest.mark.skipif(not ENGINE, reason="apt-get install firebird4.0-server-core libfbclient2")


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
        return {"database": str(place / "suite.fdb")}

    def unreachable(self, place: Path) -> dict[str, Any]:
        (place / "file").write_text("no folder")
        return {"database": str(place / "file" / "none.fdb")}
