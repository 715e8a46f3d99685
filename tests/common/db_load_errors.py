"""What the unit tests and the system tests of test_db_load_errors.py share."""

from typing import Any

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
