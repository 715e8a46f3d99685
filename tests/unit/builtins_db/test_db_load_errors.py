"""What goes wrong at a database while a step writes: one line that says what, where, and what to do."""

from typing import Any

import pytest
from db_load_errors import CREATE, given, told

pytestmark = pytest.mark.slow


def test_a_full_disk_of_sqlite(lite: Any) -> None:
    lite.sql(CREATE)
    lite.resources["wh"]["options"] = {"pragmas": {"max_page_count": 20}}
    rows = "a,s\n" + "".join(f"{number},{'x' * 30}\n" for number in range(20_000))
    ran = lite.run(step=given(lite, rows))
    told(ran, "disk is full", fix="free disk space")
    assert lite.rows("SELECT count(*) AS n FROM t") == [[0]]
