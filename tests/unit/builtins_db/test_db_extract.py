"""`db_extract`: formats, compression, and reading only what is new."""

import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from aetherflow.core.api import SpecError

TABLE = """
CREATE TABLE t (id INTEGER, s VARCHAR(20), amount DECIMAL(10, 2), changed TIMESTAMP);
INSERT INTO t VALUES (1, 'ä', 0.10, '2026-01-01 00:00:00'), (2, NULL, NULL, '2026-01-02 03:04:05.5'),
  (3, '', 12345678.90, NULL)
"""
QUERY = "SELECT id, s, amount, changed FROM t ORDER BY id"
CSV = 'id,s,amount,changed\n1,ä,0.10,2026-01-01 00:00:00\n2,,,2026-01-02 03:04:05.5\n3,"",12345678.90,\n'
JSONL = [
    {"id": 1, "s": "ä", "amount": "0.10", "changed": "2026-01-01T00:00:00"},
    {"id": 2, "s": None, "amount": None, "changed": "2026-01-02T03:04:05.500000"},
    {"id": 3, "s": "", "amount": "12345678.90", "changed": None},
]
NEW = "SELECT id, s FROM t WHERE id > :watermark ORDER BY id"
MARK = {"column": "id", "initial": 0}


@pytest.fixture
def filled(duck: Any) -> Any:
    duck.sql(TABLE)
    return duck


@pytest.mark.parametrize(
    ("output", "more", "format_name"),
    [
        ("t.csv.gz", {}, "csv"),
        ("t.csv.zst", {}, "csv"),
        ("t.csv", {"compression": "gzip"}, "csv"),
        ("t.dat", {"format": "csv", "compression": "zstd"}, "csv"),
        ("t.csv.gz", {"compression": "none"}, "csv"),
        ("t.tsv.gz", {}, "tsv"),
        ("t.jsonl", {}, "jsonl"),
        ("t.ndjson.GZ", {}, "jsonl"),
        ("t.jsonl.zst", {}, "jsonl"),
    ],
)
def test_format_and_compression(filled: Any, output: str, more: dict[str, Any], format_name: str) -> None:
    out = filled.one(type="db_extract", sql=QUERY, output=output, **more)
    data = Path(out["output"]).read_bytes()
    assert (out["format"], out["rows"], out["row_count"]) == (format_name, 3, 3)
    assert (out["bytes"], out["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
    packing = more.get("compression") or {".gz": "gzip", ".zst": "zstd"}.get(Path(output).suffix.lower(), "none")
    if packing == "gzip":
        data = gzip.decompress(data)
    elif packing == "zstd":
        data = pyarrow.CompressedInputStream(pyarrow.py_buffer(data), "zstd").read()
    text = data.decode()
    if format_name == "jsonl":
        assert [json.loads(line) for line in text.splitlines()] == JSONL
    else:
        assert text == (CSV if format_name == "csv" else CSV.replace(",", "\t"))


def test_both_names_are_one_step_and_the_same_rows_are_the_same_file(filled: Any) -> None:
    steps = {
        name: {"type": step, "sql": QUERY, "output": f"{name}.csv.gz"}
        for name, step in (("a", "db_extract"), ("b", "db_extract_stream"))
    }
    ran = filled.run(**steps)
    assert ran.outputs["a"]["sha256"] == ran.outputs["b"]["sha256"]


def test_numbers_that_json_does_not_know_are_null(duck: Any) -> None:
    sql = "SELECT 'NaN'::DOUBLE AS n, 1.5 AS d, '\\xFF'::BLOB AS b, [1, 2] AS l, {'a': 1} AS m"
    out = duck.one(type="db_extract", sql=sql, output="t.jsonl")
    assert json.loads(Path(out["output"]).read_text()) == {
        "n": None,
        "d": "1.5",
        "b": "/w==",
        "l": [1, 2],
        "m": {"a": 1},
    }


@pytest.mark.parametrize("output", ["t.csv", "t.jsonl", "t.parquet"])
def test_two_columns_of_one_name_are_refused(duck: Any, output: str) -> None:
    ran = duck.run(step={"type": "db_extract", "sql": "SELECT 1 AS a, 2 AS a", "output": output})
    assert ran.error.message == "the query returns columns of the same name: a"


@pytest.mark.parametrize("output", ["new.csv", "new.jsonl.gz", "new.parquet"])
def test_a_watermark_reads_only_what_is_new(filled: Any, output: str) -> None:
    step = {"type": "db_extract", "sql": NEW, "output": output, "watermark": MARK, "on_empty": "skip"}
    first = filled.run(step=step)
    assert (first.outputs["step"]["rows"], first.outputs["step"]["watermark"]) == (3, 3)
    again = filled.run(step=step)
    assert (again.status["step"], again.outputs["step"]["watermark"]) == ("SKIPPED", 3)
    filled.one(type="db_execute", sql="INSERT INTO t VALUES (7, 'new', 0, NULL), (5, NULL, 0, NULL)")
    third = filled.run(step=step).outputs["step"]
    assert (third["rows"], third["watermark_before"], third["watermark"]) == (2, 3, 7)


def test_a_watermark_does_not_go_back(filled: Any) -> None:
    """A run that reads with an overlap may find less than there was before; so may a step that shares the name."""
    step = {"type": "db_extract", "output": "n.csv", "watermark": MARK | {"name": "shared"}}
    overlap = "SELECT id, s FROM t WHERE id > :watermark - 100 AND id < {} ORDER BY id"
    first, less, more = ({**step, "sql": overlap.format(most)} for most in (3, 2, 100))
    assert filled.run(step=first).outputs["step"]["watermark"] == 2
    again = filled.run(other=less).outputs["other"]
    assert (again["rows"], again["watermark_before"], again["watermark"]) == (1, 2, 2)
    last = filled.run(step=more).outputs["step"]
    assert (last["watermark_before"], last["watermark"]) == (2, 3)


def test_a_failed_step_does_not_move_the_watermark(filled: Any) -> None:
    failing = {"type": "db_extract", "sql": NEW, "output": "n.csv", "watermark": MARK, "min_rows": 100}
    assert filled.run(step=failing).status["step"] == "FAILED"
    working = {**failing, "min_rows": 0}
    assert filled.run(step=working).outputs["step"]["watermark_before"] == 0
    # A later step that fails takes nothing back: the file was made.
    ran = filled.run(step=working, after={"type": "db_execute", "sql": "SELECT * FROM nope"})
    assert ran.status == {"step": "SUCCESS", "after": "FAILED"}
    assert filled.run(step=working).outputs["step"]["watermark_before"] == 3


@pytest.mark.parametrize(
    ("column", "initial", "expected"),
    [
        ("changed", "2000-01-01", "2026-01-02T03:04:05.500000"),
        ("amount", 0, "12345678.90"),
        ("s", "", "ä"),
        ("CAST(changed AS DATE)", "2000-01-01", "2026-01-02"),
    ],
)
def test_watermarks_of_all_types_keep_their_type(filled: Any, column: str, initial: Any, expected: str) -> None:
    sql = f"SELECT {column} AS mark FROM t WHERE {column} > :watermark"
    mark = {"column": "mark", "initial": initial, "name": "shared"}
    step = {"type": "db_extract", "sql": sql, "output": "n.csv", "watermark": mark}
    assert filled.run(step=step).outputs["step"]["watermark"] == expected
    again = filled.run(step=step).outputs["step"]
    assert (again["rows"], again["watermark_before"]) == (0, expected)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"output": "t.csv", "compression": "snappy"}, "snappy is for parquet"),
        ({"output": "t.csv", "params": {"watermark": 1}, "watermark": MARK}, "the step sets :watermark itself"),
        ({"output": "t.csv", "watermark": {"column": "id"}}, "initial"),
    ],
)
def test_what_cannot_be_is_refused_before_the_run(filled: Any, inputs: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        filled.run(step={"type": "db_extract", "sql": QUERY, **inputs})


def test_a_watermark_of_no_column_is_told(filled: Any) -> None:
    step = {"type": "db_extract", "sql": NEW, "output": "n.csv", "watermark": {"column": "nr", "initial": 0}}
    error = filled.run(step=step).error
    assert error.message == "watermark.column names no column of the query: nr"
    assert error.fix == "its columns are: id, s"
