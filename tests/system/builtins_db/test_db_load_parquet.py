"""Parquet files that `db_load` refuses, since a child with limits is ahead of it, and texts that CSV has to quote."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from db_loads import load, write

from db_places import place_for
from db_project import Project


@pytest.fixture(params=["sqlite3", "postgres"])
def ready(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """A table of two columns: read by rows, and sent in batches while the child is ahead."""
    place = place_for(request, request.param, "parquet")
    project = Project(tmp_path, {"wh": place.resource}, place)
    project.sql("CREATE TABLE t (a INTEGER, s TEXT)")
    return project


def refused(project: Any, **step: Any) -> tuple[str, str]:
    """Message and fix of a load that fails; nothing is in the table."""
    ran = project.run(step=step)
    assert ran.status["step"] == "FAILED"
    assert project.rows("SELECT count(*) AS n FROM t") == [[0]]
    return ran.error.message, ran.error.fix or ""


def test_what_is_no_parquet(ready: Any) -> None:
    message, fix = refused(ready, **load(write(ready, "PAR1 it is not", "in.parquet")))
    assert "in.parquet is no Parquet file: " in message
    assert fix == "check the file, or set format"


def test_a_parquet_file_that_is_damaged_within(ready: Any) -> None:
    path = Path(write(ready, "", "in.parquet"))
    numbers = range(150_000)  # more than a batch is there before the damage
    table = pa.table({"a": numbers, "s": [f"{number:x}" * 3 for number in numbers]})
    pq.write_table(table, path, row_group_size=10_000, compression="gzip", compression_level=1)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 2000] = bytes(2000)
    path.write_bytes(data)
    message, _ = refused(ready, **load(str(path)))
    assert "the Parquet file cannot be read from row " in message


def test_a_dictionary_that_unpacks_to_gigabytes(ready: Any) -> None:
    path = write(ready, "", "in.parquet")
    values = pa.DictionaryArray.from_arrays(pa.array([0] * 100_000, pa.int32()), pa.array(["x" * (1 << 20)]))
    table = pa.table({"a": pa.array([1] * 100_000), "s": values})
    with pq.ParquetWriter(path, table.schema, store_schema=False, compression="zstd") as writer:
        writer.write_table(table)
    assert Path(path).stat().st_size < 8192
    message, fix = refused(ready, **load(path))
    assert message == f"{path}: decoding it takes more than 225 MiB of memory"
    assert "row groups" in fix


def test_texts_that_need_quotes_and_such_that_need_none(ready: Any) -> None:
    """Each third stands in a batch of its own: PostgreSQL gets one without quotes where no text needs any."""
    size = 50_000
    plain, quoted, empty = (
        ["x\\y", "\\.", None, " ü ", "NULL"],
        ['a "b", c\nd', "\\.", None, "\r"],
        ["", None, "\\.", "\\N"],
    )
    texts = [text for special in (plain, quoted, empty) for text in [*special, *["t"] * (size - len(special))]]
    path = write(ready, "", "in.parquet")
    pq.write_table(pa.table({"s": texts, "a": range(len(texts))}), path)
    assert ready.one(**load(path))["rows"] == len(texts)
    told = [[number, text] for number, text in enumerate(texts) if text != "t"]
    assert ready.rows("SELECT a, s FROM t WHERE s <> 't' OR s IS NULL ORDER BY a") == told


@pytest.mark.parametrize("name", ["bytes.csv", "bytes.jsonl"])
def test_bytes_inside_of_arrays_come_from_base64(tmp_path: Path, request: pytest.FixtureRequest, name: str) -> None:
    place = place_for(request, "postgres", "parquet")
    project = Project(tmp_path, {"wh": place.resource}, place)
    project.sql("CREATE TABLE t (a INTEGER, v bytea[])")
    text = 'a,v\n1,"[""AP8="", null]"\n' if name == "bytes.csv" else '{"a": 1, "v": ["AP8=", null]}\n'
    project.one(**load(write(project, text, name)))
    assert project.rows("SELECT encode(v[1], 'hex') AS x, v[2] IS NULL AS n FROM t") == [["00ff", True]]
    bad = project.run(step=load(write(project, text.replace("AP8=", "AP8"), f"bad-{name}")))
    assert "column v: the value is no base64" in bad.error.message
