"""Helpers shared by the unit and the system tests of test_db_native.py."""

import random
import struct
from typing import Any

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
