"""Helpers shared by the tests of the ways on which no value becomes a Python object."""

import io
import random
import struct
from typing import Any

from aetherflow.core.api import CsvFormat
from aetherflow_builtins_db.database import Database as AnyDatabase
from aetherflow_builtins_db.formats.sink import HashingSink
from aetherflow_builtins_db.steps.writing import FileSpec, Writing
from services import Database

FLOATS = [
    0.0, -0.0, 1.0, -1.5, 0.1, 1e15, 1e15 + 0.5, 9999999999999998.0, 1e16, 123456789012345.6, 1e-4, 1e-5, 1.5e-7,
    5e-324, 1.7976931348623157e308, 1e22, 1e21, 100000.0, 999999.9, 2.0**53, 1 / 3,
    float("inf"), float("-inf"), float("nan"),
]  # fmt: skip


def doubles(count: int) -> list[float]:
    chosen = random.Random(7)
    return [struct.unpack("<d", chosen.randbytes(8))[0] for _ in range(count)] + FLOATS


def place_of(server: Database) -> dict[str, Any]:
    return {"host": server.host, "port": server.port, "user": server.user, "password": server.password,
            "database": server.name}  # fmt: skip


def written(db: Any, sql: str, *, native: bool, **changes: Any) -> bytes:
    """The file that a query becomes, on the fast way or the slow one."""
    dialect = CsvFormat(**{"delimiter": ",", **changes.pop("dialect", {})})
    spec = FileSpec("csv", dialect, "none", "zstd", {}, 1000)
    buffer = io.BytesIO()
    writing = Writing(
        AnyDatabase(db), sql, changes.pop("params", None), FileSpec(**{**spec.__dict__, **changes}), lambda _rows: None
    )
    if native:
        assert writing._natively(HashingSink(buffer)) is not None, "no fast way"
    else:
        writing._rows(HashingSink(buffer), None)
    return buffer.getvalue()
