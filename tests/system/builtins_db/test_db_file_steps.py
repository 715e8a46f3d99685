"""`file_convert`, `file_split` and `file_compare` over Parquet and workbooks, at random, of strangers, and killed."""

import datetime as dt
import hashlib
import json
from collections.abc import Mapping
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import hostile_parquet
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aetherflow.core.testing import FlowProject
from torture_tier import sample, sized

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
COLUMNS: dict[str, tuple[str, st.SearchStrategy[str]]] = {
    "text": ("string", TEXT),
    "digits": (
        "string",
        st.sampled_from(["007", "00", "+1", " 1", "1_0", "-", "1e", "0x1", "NULL", "\r"]),
    ),
    "whole": ("int", st.integers(-(2**63), 2**63 - 1).map(str)),
    "price": ("decimal(20,2)", st.decimals(-(10**15), 10**15, places=2, allow_nan=False).map(lambda n: f"{n:.2f}")),
    "float": ("float", st.floats(allow_nan=False, allow_infinity=False).map(repr)),
    "day": ("date", st.dates(dt.date(1, 1, 1)).map(dt.date.isoformat)),
    "at": ("datetime", st.datetimes().map(lambda at: at.isoformat(" ").rstrip("0") if at.microsecond else str(at))),
    "flag": ("bool", st.sampled_from(["true", "false"])),
}
"""By name: the type, and values in the form in which CSV is written."""


@pytest.fixture
def flows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FlowProject:
    found = FlowProject(tmp_path / "project")
    monkeypatch.chdir(found.folder)
    found.write(f"version: 1\npaths: {{write: ['{found.folder}/out']}}\n", "aetherflow.yaml")
    return found


def convert(flows: FlowProject, *files: str | Path, **inputs: Any) -> Mapping[str, Any]:
    """Convert the first file into the second, that one into the third, and so on; the outputs of the last."""
    steps = [
        {"id": f"s{number}", "type": "file_convert", "inputs": {"path": str(path), "output": str(output), **inputs}}
        for number, (path, output) in enumerate(pairwise(files))
    ]
    flows.flow(*steps)
    done = flows.run()
    assert done.error is None, done.error
    found: Mapping[str, Any] = done[f"s{len(files) - 2}"].outputs
    return found


def refused(flows: FlowProject, kind: str, **inputs: Any) -> tuple[str, str]:
    flows.flow({"id": "s", "type": kind, "inputs": inputs})
    error = flows.run().error
    assert error is not None, "it did not fail"
    return str(error.message), str(error.fix or "")


def written(path: Path, names: list[str], rows: list[tuple[str | None, ...]]) -> bytes:
    """CSV as our writers write it: only what must be is quoted, empty text too."""

    def cell(value: str | None) -> str:
        if value is None:
            return ""
        special = not value or any(sign in value for sign in ',"\r\n')
        doubled = value.replace('"', '""')
        return f'"{doubled}"' if special else value

    text = "".join(",".join(map(cell, row)) + "\n" for row in [tuple(names), *rows])
    path.write_bytes(text.encode())
    return text.encode()


@settings(max_examples=sized(5, 200), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_round_trips_keep_every_value(flows: FlowProject, data: st.DataObject) -> None:
    """CSV → Parquet → JSON lines → TSV → CSV, with types and as text, is the file that it was."""
    names = data.draw(st.lists(st.sampled_from(list(COLUMNS)), min_size=2, unique=True))
    cells = [st.none() | COLUMNS[name][1] for name in names]
    rows = data.draw(st.lists(st.tuples(*cells), min_size=1, max_size=12))  # no line of JSON tells no column
    path = flows.folder / "in.csv"
    before = written(path, names, rows)
    types = {name: COLUMNS[name][0] for name in names}
    text = convert(flows, path, "a.parquet", "b.jsonl.gz", "c.tsv", "d.csv", types="string")
    assert Path(text["output"]).read_bytes() == before
    typed = convert(flows, path, "a.parquet", "d.csv", types=types)
    assert Path(typed["output"]).read_bytes() == before


@settings(max_examples=sized(4, 200), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_types_of_all_values_change_no_value(flows: FlowProject, data: st.DataObject) -> None:
    """What no type was given for: the Parquet file and the CSV are equal, value by value."""
    names = data.draw(st.lists(st.sampled_from(list(COLUMNS)), min_size=2, unique=True))
    rows = data.draw(st.lists(st.tuples(*(st.none() | COLUMNS[name][1] for name in names)), max_size=12))
    path = flows.folder / "in.csv"
    written(path, names, rows)
    flows.flow(
        {"id": "p", "type": "file_convert", "inputs": {"path": str(path), "output": "a.parquet"}},
        {"id": "c", "type": "file_compare", "inputs": {"path": str(path), "other": "a.parquet"}},
        {"id": "k", "type": "file_compare", "inputs": {"path": "a.parquet", "other": str(path), "any_order": True}},
    )
    done = flows.run()
    assert done.error is None, (done.error, rows)


def test_parquet_keeps_its_types(flows: FlowProject) -> None:
    table = pa.table({
        "n": pa.array([1, None], pa.int32()),
        "d": pa.array([Decimal("0.00000001"), Decimal("-1.50000000")], pa.decimal128(20, 8)),
        "t": pa.array([dt.datetime(2024, 1, 1, tzinfo=dt.UTC), None], pa.timestamp("ms", "Europe/Vienna")),
        "b": pa.array([b"\xff", b""]),
        "l": pa.array([[1, 2], None], pa.list_(pa.int64())),
    })  # fmt: skip
    pq.write_table(table, flows.folder / "in.parquet")
    out = convert(flows, flows.folder / "in.parquet", "o.parquet")
    assert out["types"] == {"n": "int", "d": "decimal(20,8)", "t": "datetime(utc)", "b": "bytes", "l": "string"}
    assert pq.read_table(out["output"])["l"].to_pylist() == ["[1, 2]", None]
    out = convert(flows, flows.folder / "in.parquet", "o.csv")
    text = 'n,d,t,b,l\n1,0.00000001,2024-01-01 00:00:00+00,/w==,"[1, 2]"\n,-1.50000000,,"",\n'
    assert Path(out["output"]).read_text() == text
    out = convert(flows, flows.folder / "in.parquet", "o.jsonl")
    assert json.loads(Path(out["output"]).read_text().splitlines()[0])["l"] == [1, 2]


def test_nanoseconds_are_kept_or_refused(flows: FlowProject) -> None:
    path = flows.folder / "in.parquet"
    pq.write_table(pa.table({"t": pa.array([1_000, 2_000], pa.timestamp("ns"))}), path)
    out = convert(flows, path, "o.parquet")
    assert pq.read_table(out["output"])["t"].cast(pa.int64()).to_pylist() == [1, 2]
    pq.write_table(pa.table({"t": pa.array([1], pa.timestamp("ns"))}), path)
    message, _ = refused(flows, "file_convert", path=str(path), output="o.csv")
    assert message == "row 1, column 't': the value has nanoseconds, or a year that is not one of 1 to 9999"


def test_workbooks_both_ways(flows: FlowProject) -> None:
    """Leading zeros and long numbers stay text; a decimal of up to 15 digits is a number."""
    path = flows.folder / "in.csv"
    path.write_text("id,zip,price,day,long\n1,0070,2.50,2024-02-29,12345678901234567890.12\n2,,-1.00,,0.5\n")
    out = convert(flows, path, "o.xlsx", write={"sheet": "Orders"})
    assert (out["format"], out["rows"], out["columns"]) == ("xlsx", 2, ["id", "zip", "price", "day", "long"])
    assert out["sha256"] == hashlib.sha256(Path(out["output"]).read_bytes()).hexdigest()
    back = convert(flows, out["output"], "back.csv", read={"sheet": "orders"})
    lines = Path(back["output"]).read_text().splitlines()
    assert lines[1:] == ["1,0070,2.5,2024-02-29,12345678901234567890.12", "2,,-1.0,,0.50"]
    assert back["types"] == {"id": "int", "zip": "string", "price": "float", "day": "date", "long": "string"}
    again = convert(flows, out["output"], "back.parquet")
    assert pq.read_table(again["output"]).schema.field("day").type == pa.date32()
    both = {"path": str(path), "other": out["output"], "keys": ["id"], "types": {"long": "decimal(38,2)"}}
    flows.flow({"id": "c", "type": "file_compare", "inputs": both})
    assert flows.run()["c"].outputs["equal"]
    assert not list(flows.folder.rglob("*-rows.csv"))
    assert not [each for each in flows.folder.rglob("scratch/*") if each.suffix == ".csv"]


def test_more_rows_than_a_sheet_has_are_refused(flows: FlowProject) -> None:
    path = flows.folder / "in.csv"
    path.write_text("a\n" + "1\n" * 1_048_576)
    message, _ = refused(flows, "file_convert", path=str(path), output="o.xlsx")
    assert "1,048,576" in message or "1048576" in message
    assert not list(flows.folder.rglob("o.xlsx"))


def test_parquet_in_parts(flows: FlowProject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aetherflow_builtins_db.tabular.parts._HELD_ROWS", 100)
    table = pa.table({"id": list(range(1000)), "v": pa.array([Decimal(n % 7) for n in range(1000)])})
    pq.write_table(table, flows.folder / "in.parquet")
    split = {"path": str(flows.folder / "in.parquet")}
    flows.flow(
        {"id": "rows", "type": "file_split", "inputs": {**split, "dest_dir": "rows", "rows": 400}},
        {"id": "by", "type": "file_split", "inputs": {**split, "dest_dir": "by", "by": "v"}},
    )
    done = flows.run()
    assert done.error is None
    assert [each["rows"] for each in done["rows"].outputs["files"]] == [400, 400, 200]
    together = pa.concat_tables([pq.read_table(each["path"]) for each in done["rows"].outputs["files"]])
    assert together.to_pylist() == table.to_pylist()
    by = {each["value"]: pq.read_table(each["path"]) for each in done["by"].outputs["files"]}
    assert {key: part.num_rows for key, part in by.items()} == {str(n): 143 if n < 6 else 142 for n in range(7)}
    assert by["3"]["id"].to_pylist() == list(range(3, 1000, 7))


@pytest.mark.parametrize("name", sample(sorted(hostile_parquet.ALL), sized(4, 1000), "file_steps hostile"))
def test_hostile_parquet_ends_at_a_limit(flows: FlowProject, name: str) -> None:
    """Each step refuses it by name, or reads it; none is ended by the machine."""
    path = flows.folder / "in.parquet"
    path.write_bytes(hostile_parquet.ALL[name]())
    for kind, inputs in (
        ("file_convert", {"path": str(path), "output": "o.csv"}),
        ("file_split", {"path": str(path), "dest_dir": "parts", "rows": 10_000}),
        ("file_compare", {"path": str(path), "other": str(path)}),
    ):
        flows.flow({"id": "s", "type": kind, "inputs": inputs})
        error = flows.run().error
        assert error is None or "in.parquet" in error.message or "Parquet" in error.message, error
