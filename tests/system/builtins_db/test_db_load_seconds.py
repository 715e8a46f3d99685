"""`db_load` drops nothing of a time: digits behind the second, a time of day, a date."""

import json
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from db_places import Place, file_place, mysql_by_url, mysql_place

DAY, NOON = "2026-11-01", "2026-11-01 12:00:00"
# Declaration, a value that fits, values that do not.
Case = tuple[str, str, list[str]]
MARIADB: list[Case] = [
    ("TIME", "10:00:00.0", ["10:00:00.25", "-100:00:00.5", "10.25", NOON, "2026.11.01 12:00:00", "20261101T120000"]),
    ("TIME(3)", "-10:00:00.1230", ["10:00:00.1234"]),
    ("TIME(6)", "10:00:00.123456", ["10:00:00.1234567"]),
    ("DATETIME", f"{NOON}.000", [f"{NOON}.5"]),
    ("DATETIME(3)", f"{NOON}.1230", [f"{NOON}.1234"]),
    ("DATETIME(6)", f"{NOON}.1234560", [f"{NOON}.1234567"]),
    ("TIMESTAMP(6) NULL", f"{NOON}.123456", [f"{NOON}.1234567"]),
    ("DATE", DAY, [f"{DAY} 10:00:00"]),
]
CASES: dict[str, list[Case]] = {
    "mysql": MARIADB,
    "sqlalchemy": MARIADB,
    "sqlite3": [
        ("DATETIME", f"{NOON}.123456000", [f"{NOON}.1234567"]),
        ("TIME", "10:00:00.123456", ["10:00:00.1234567", "20260101"]),
        ("DATE", DAY, [f"{DAY} 10:00:00"]),
    ],
    "duckdb": [
        ("TIMESTAMP", f"{NOON}.123456000", [f"{NOON}.1234567"]),
        ("TIMESTAMP_S", f"{NOON}.0", [f"{NOON}.5"]),
        ("TIMESTAMP_MS", f"{NOON}.1230", [f"{NOON}.1239"]),
        ("TIMESTAMP_NS", f"{NOON}.123456789", [f"{NOON}.1234567891"]),
        ("TIMESTAMPTZ", f"{NOON}.5+02", [f"{NOON}.1234567+02"]),
        ("TIME", "10:00:00.123456", ["10:00:00.1234567", NOON]),
        ("TIMETZ", "10:00:00.123456+00", ["10:00:00.1234567+00", f"{NOON}+00"]),
        ("TIME_NS", "10:00:00.123456789", ["10:00:00.1234567891", NOON]),
        ("DATE", f"{DAY} 00:00:00", [f"{DAY} 10:00:00", f"{DAY} 00:00:00.0000001", f"{DAY}T00:01"]),
    ],
}


@pytest.fixture
def place(request: pytest.FixtureRequest) -> Place:
    match request.param:
        case "mysql":
            return mysql_place(request.getfixturevalue("mariadb"))
        case "sqlalchemy":
            return mysql_by_url(request.getfixturevalue("mariadb"))
    return file_place(request.param)


@pytest.fixture
def table(anywhere: Any) -> list[Case]:
    """The table `t` with a number and a column of each case."""
    cases = CASES[anywhere.place.driver]
    columns = ", ".join(f"c{index} {declared}" for index, (declared, _, _) in enumerate(cases))
    anywhere.sql(f"CREATE TABLE t (n INTEGER, {columns})")
    return cases


def load(project: Any, lines: list[dict[str, Any]], **inputs: Any) -> Any:
    path = project.root / "in.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return project.run(step={"type": "db_load", "table": "t", "path": str(path), "on_empty": "ok"} | inputs)


def load_csv(project: Any, name: str, value: str) -> Any:
    path = project.root / "in.csv"
    path.write_text(f"n,{name}\n1,{value}\n")
    return project.run(step={"type": "db_load", "table": "t", "path": str(path)})


@pytest.mark.parametrize("place", list(CASES), indirect=True)
def test_what_a_column_cannot_keep_fails_the_load(anywhere: Any, table: list[Case]) -> None:
    for index, (declared, _, refused) in enumerate(table):
        for value in refused:
            ran = load_csv(anywhere, f"c{index}", value)
            assert ran.status["step"] == "FAILED", f"{value} went into {declared}: {anywhere.rows('SELECT * FROM t')}"
            assert f"c{index}" in ran.error.message, ran.error
            assert value in ran.error.message, ran.error
    assert anywhere.rows("SELECT n FROM t") == []


@pytest.mark.parametrize("place", list(CASES), indirect=True)
def test_what_a_column_cannot_keep_is_rejected(anywhere: Any, table: list[Case]) -> None:
    lines = [{"n": 1, f"c{index}": value} for index, (_, _, refused) in enumerate(table) for value in refused]
    out = load(anywhere, [*lines, {"n": 2}], max_rejects=len(lines)).outputs["step"]
    assert (out["rows"], out["rejected"]) == (1, len(lines)), Path(out["reject_file"]).read_text()


@pytest.mark.parametrize("place", list(CASES), indirect=True)
def test_zeros_are_no_loss(anywhere: Any, table: list[Case]) -> None:
    given = {f"c{index}": value for index, (_, value, _) in enumerate(table)}
    for name, value in given.items():
        assert load_csv(anywhere, name, value).status["step"] == "SUCCESS", (name, value)
    assert len(anywhere.rows("SELECT n FROM t")) == len(given)


@pytest.mark.parametrize("place", ["mysql", "sqlalchemy", "duckdb", "sqlite3"], indirect=True)
def test_nanoseconds_of_parquet_are_not_cut(anywhere: Any) -> None:
    anywhere.sql("CREATE TABLE t (a TIMESTAMP NULL)")
    path = anywhere.root / "in.parquet"
    for nanoseconds, status in ((1_700_000_000_000_000_001, "FAILED"), (1_700_000_000_000_000_000, "SUCCESS")):
        column = pyarrow.array([nanoseconds], pyarrow.timestamp("ns"))
        pyarrow.parquet.write_table(pyarrow.table({"a": column}), path)
        ran = anywhere.run(step={"type": "db_load", "table": "t", "path": str(path)})
        assert ran.status["step"] == status
    assert len(anywhere.rows("SELECT a FROM t")) == 1
