"""Parquet files that `db_load` refuses; a child with limits reads them first."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from db_loads import load, write


@pytest.fixture
def ready(lite: Any) -> Any:
    """SQLite with a table of two columns."""
    lite.sql("CREATE TABLE t (a INTEGER, s TEXT)")
    return lite


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
    table = pa.table({"a": list(range(50_000)), "s": [f"{number:x}" * 3 for number in range(50_000)]})
    pq.write_table(table, path, row_group_size=10_000, compression="gzip")
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
