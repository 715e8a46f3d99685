"""Helpers shared by the unit and the system tests of test_db_load_errors.py."""

from typing import Any

CREATE = "CREATE TABLE t (a INTEGER NOT NULL PRIMARY KEY, s VARCHAR(40))"


def given(project: Any, text: str = "a,s\n1,x\n2,y\n") -> dict[str, Any]:
    folder = project.root / "work" / "t" / "given"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "in.csv").write_text(text)
    return {"type": "db_load", "table": "t", "path": str(folder / "in.csv")}


def told(ran: Any, *said: str, fix: str) -> None:
    """Assert that the failure is one line with the words `said`, and that its fix contains `fix`."""
    assert ran.status["step"] == "FAILED"
    assert "\n" not in ran.error.message
    for each in said:
        assert each in ran.error.message, ran.error.message
    assert fix in (ran.error.fix or ""), ran.error
