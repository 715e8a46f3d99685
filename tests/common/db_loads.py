"""Helpers shared by the unit and the system tests of test_db_load.py."""

import gzip
from typing import Any

CREATE = (
    "CREATE TABLE t (a INTEGER NOT NULL PRIMARY KEY, s VARCHAR(40), d DATE, n DECIMAL(10, 2), load_id VARCHAR(600))"
)


def write(project: Any, text: str, name: str = "in.csv") -> str:
    """Write a file into the workspace, where steps may read it; returns its path."""
    folder = project.root / "work" / "t" / "given"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    if name.endswith(".gz"):
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text, encoding="utf-8", newline="")
    return str(path)


def load(path: str, **inputs: Any) -> dict[str, Any]:
    return {"type": "db_load", "table": "t", "path": path} | inputs
