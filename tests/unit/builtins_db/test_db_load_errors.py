"""What goes wrong at a database while a step writes: one line that says what, where, and what to do."""

from typing import Any

import pytest

pytestmark = pytest.mark.slow

CREATE = "CREATE TABLE t (a INTEGER NOT NULL PRIMARY KEY, s VARCHAR(40))"


def given(project: Any, text: str = "a,s\n1,x\n2,y\n") -> dict[str, Any]:
    folder = project.root / "work" / "t" / "given"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "in.csv").write_text(text)
    return {"type": "db_load", "table": "t", "path": str(folder / "in.csv")}


def told(ran: Any, *said: str, fix: str) -> None:
    """The failure is one line with these words, and its advice has those."""
    assert ran.status["step"] == "FAILED"
    assert "\n" not in ran.error.message
    for each in said:
        assert each in ran.error.message, ran.error.message
    assert fix in (ran.error.fix or ""), ran.error


def test_a_full_disk_of_sqlite(lite: Any) -> None:
    lite.sql(CREATE)
    lite.resources["wh"]["options"] = {"pragmas": {"max_page_count": 20}}
    rows = "a,s\n" + "".join(f"{number},{'x' * 30}\n" for number in range(20_000))
    ran = lite.run(step=given(lite, rows))
    told(ran, "disk is full", fix="free disk space")
    assert lite.rows("SELECT count(*) AS n FROM t") == [[0]]
