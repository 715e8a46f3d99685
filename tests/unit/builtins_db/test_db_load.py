"""`db_load`, through flows, on every driver."""

import gzip
from typing import Any

import pytest

CREATE = (
    "CREATE TABLE t (a INTEGER NOT NULL PRIMARY KEY, s VARCHAR(40), d DATE, n DECIMAL(10, 2), load_id VARCHAR(600))"
)


def write(project: Any, text: str, name: str = "in.csv") -> str:
    """A file in the workspace, where steps may read."""
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


def test_a_wrong_delimiter_is_guessed(lite: Any) -> None:
    lite.sql(CREATE)
    assert (lite.run(step=load(write(lite, "a;s\n1;x\n"))).error.fix or "").endswith("set delimiter to ';'")


def test_what_does_not_fit_together_is_found_by_validate(lite: Any) -> None:
    for inputs, said in (
        ({"mode": "merge"}, "mode merge needs keys"),
        ({"keys": ["a"]}, "keys are for mode merge"),
        ({"mode": "truncate", "load_id_column": "x"}, "load_id_column is for mode append"),
    ):
        with pytest.raises(Exception, match=said):
            lite.run(step=load("x.csv", **inputs))
