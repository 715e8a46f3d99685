"""Rows from Parquet files, which a child with limits reads first."""

import datetime
from collections.abc import Generator
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from reports_regions import region

from aetherflow.core.runtime.processes.limited import LimitedCall
from reports_project import Reports, cells
from reports_templates import layout

DAY, MOMENT = datetime.datetime(2026, 1, 5), datetime.datetime(2026, 1, 5, 10, 30)  # noqa: DTZ001


@pytest.fixture
def project(reports: Reports) -> Reports:
    layout(reports.folder / "t.xlsx")
    return reports


def test_columns_of_parquet_can_be_cast_without_its_header(project: Reports) -> None:
    pq.write_table(pa.table({"a": ["1", "2"], "b": ["2026-01-05", "x"]}), project.folder / "d.parquet")
    target = {"name": "q", "source_path": str(project.folder / "d.parquet"), "read_header": False,
              "columns": ["n", "day"], "dtypes": {"n": "int", "day": "date"}}  # fmt: skip
    out = project.fill("t.xlsx", target)
    found = cells(out["output"], "DATA_q")
    assert (found["A1"], found["A2"], found["B2"]) == (1, 2, "x")
    assert out["written"][0]["adjusted"] == {"column 2": {"failed_casts": 1}}


def test_parquet_keeps_its_types(project: Reports) -> None:
    zoned = datetime.datetime(2026, 1, 5, 10, 30, tzinfo=datetime.UTC)
    table = pa.table({
        "i": pa.array([1, None, 10**17]), "f": pa.array([0.5, float("nan"), 1e300]), "b": [True, None, False],
        "d": pa.array([DAY.date(), None, datetime.date(1800, 1, 1)]), "t": pa.array([MOMENT, None, MOMENT]),
        "z": pa.array([zoned, None, zoned], pa.timestamp("us", "Europe/Vienna")),
        "dec": pa.array([Decimal("1.25"), None, Decimal("12345678901234567.25")]),
        "l": [[1, 2], None, []], "s": [{"a": 1}, None, {"a": None}], "x": pa.array([b"ab", None, b""]),
        "h": pa.array([datetime.time(6), None, datetime.time(0)]),
    })  # fmt: skip
    pq.write_table(table, project.folder / "d.parquet")
    out = project.fill("t.xlsx", {"name": "q", "source_path": str(project.folder / "d.parquet")})
    found = cells(out["output"], "DATA_q")
    assert [found.get(f"{c}2") for c in "ABCDEFGHIJK"] == [
        1, 0.5, True, DAY, MOMENT, MOMENT, 1.25, "[1, 2]", '{"a": 1}', "YWI=", datetime.time(6),
    ]  # fmt: skip
    assert (found["A4"], found["D4"], found["G4"]) == ("1" + "0" * 17, "1800-01-01", "12345678901234567.25")
    assert out["written"][0]["adjusted"] == {
        "i": {"long_numbers": 1}, "f": {"not_finite": 1}, "d": {"early_dates": 1}, "z": {"zoned_times": 2},
        "dec": {"long_numbers": 1},
    }  # fmt: skip


def test_a_region_of_parquet(project: Reports) -> None:
    pq.write_table(pa.table({"id": [1, 2, 3]}), project.folder / "d.parquet")
    out = project.fill("t.xlsx", region(str(project.folder / "d.parquet"), type_cast="basic"))
    found = cells(out["output"], "Report")
    assert (found["A6"], found["A8"], found["E9"], found["A14"]) == (1, 3, "beside", "QC_ANCHOR")


def test_a_file_that_others_can_write_is_read_from_a_copy(project: Reports, monkeypatch: pytest.MonkeyPatch) -> None:
    path = project.folder / "d.parquet"
    pq.write_table(pa.table({"a": [1, 2]}), path)
    path.chmod(0o666)
    values = LimitedCall.values

    def exchanged(self: LimitedCall, *given: Any) -> Generator[Any]:
        yield from values(self, *given)
        pq.write_table(pa.table({"a": [7]}), path)

    monkeypatch.setattr(LimitedCall, "values", exchanged)
    out = project.one("excel_write", output="o.xlsx", tables=[{"name": "S", "source_path": str(path)}])
    assert cells(out["output"], "S") == {"A1": "a", "A2": 1, "A3": 2}
    assert list(project.work.rglob("steady-*")) == []
