"""`decimal: ","`: numbers of text files with a decimal comma, in every step that reads such files."""

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from db_loads import load, write

from aetherflow.core.testing import FlowProject

TEXT = 'id;amount;ratio;code\n1;1,50;"2,5e1";1,5\n2;-0,25;0;1.5\n3;;,5;\n'
MIXED = "id;amount\n1;1,50\n2;1.234,56\n3;1.5\n4;1,234,567\n5;x\n6;7\n"


@pytest.fixture
def flows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FlowProject:
    found = FlowProject(tmp_path / "project")
    monkeypatch.chdir(found.folder)
    found.write(f"version: 1\npaths: {{write: ['{found.folder}/out']}}\n", "aetherflow.yaml")
    return found


def run(flows: FlowProject, kind: str, **inputs: Any) -> Any:
    flows.flow({"id": "s", "type": kind, "inputs": inputs})
    return flows.run()


def given(flows: FlowProject, name: str, text: str) -> str:
    (flows.folder / name).write_text(text)
    return str(flows.folder / name)


READ = {"delimiter": ";", "decimal": ","}


@pytest.fixture(params=["lite", "duck"])
def embedded(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(request.param)


def test_numbers_come_to_parquet_and_text_stays(flows: FlowProject) -> None:
    done = run(flows, "file_convert", path=given(flows, "in.csv", TEXT), output="out.parquet", read=READ)
    assert done.error is None, done.error
    table = pq.read_table(done["s"].outputs["output"])
    assert [str(each) for each in table.column("amount").to_pylist()] == ["1.50", "-0.25", "None"]
    assert [float(each) for each in table.column("ratio").to_pylist()] == [25.0, 0.0, 0.5]
    assert table.column("code").to_pylist() == ["1,5", "1.5", None]


def test_a_column_with_thousands_separators_is_text(flows: FlowProject) -> None:
    text = "a;b\n1,5;1,5\n1.234,56;1.5\n"
    done = run(flows, "file_convert", path=given(flows, "in.csv", text), output="out.jsonl", read=READ)
    lines = Path(done["s"].outputs["output"]).read_text().splitlines()
    assert [json.loads(line) for line in lines] == [{"a": "1,5", "b": "1,5"}, {"a": "1.234,56", "b": "1.5"}]


def test_text_that_nothing_types_stays_in_csv(flows: FlowProject) -> None:
    path = given(flows, "in.csv", TEXT)
    types = {"amount": "decimal(9,2)"}
    done = run(flows, "file_convert", path=path, output="out.csv", read=READ, types=types, write={"delimiter": ";"})
    assert Path(done["s"].outputs["output"]).read_text() == (
        "id;amount;ratio;code\n1;1.50;2,5e1;1,5\n2;-0.25;0;1.5\n3;;,5;\n"
    )


def test_lines_of_fixed_width(flows: FlowProject) -> None:
    read = {"format": "fixed", "widths": {"a": 4, "b": 5}, "decimal": ","}
    path = given(flows, "in.txt", "   1  1,5\n   2 2,25\n")
    done = run(flows, "file_convert", path=path, output="out.jsonl", read=read)
    lines = Path(done["s"].outputs["output"]).read_text().splitlines()
    assert [json.loads(line)["b"] for line in lines] == ["1.50", "2.25"]


@pytest.mark.parametrize("number", ["1.234,56", "1.5", "1,234,567"])
def test_a_number_with_a_separator_fails_by_line(flows: FlowProject, number: str) -> None:
    path = given(flows, "in.csv", f"a\n1,5\n{number}\n")
    done = run(flows, "file_convert", path=path, output="o.csv", read=READ, types={"a": "decimal(9,2)"})
    message = str(done.error.message)
    assert "line 3: column 'a'" in message
    assert number in message


def test_it_is_not_for_what_is_written_or_has_types(flows: FlowProject) -> None:
    path = given(flows, "in.csv", "a\n1\n")
    assert "write: decimal: not for csv" in str(
        run(flows, "file_convert", path=path, output="o.csv", write={"decimal": ","}).error.message
    )
    path = given(flows, "in.jsonl", "{}\n")
    assert "read: decimal: not for jsonl" in str(
        run(flows, "file_convert", path=path, output="o.csv", read={"decimal": ","}).error.message
    )


def test_files_with_different_signs_are_compared(flows: FlowProject) -> None:
    inputs = {
        "path": given(flows, "a.csv", "id;n\n1;1,50\n2;1.5\n3;x\n"),
        "other": given(flows, "b.csv", "id;n\n1;1.5\n2;1.5\n3;x\n"),
        "read": READ, "read_other": {"delimiter": ";"}, "keys": ["id"], "on_difference": "report",
    }  # fmt: skip
    done = run(flows, "file_compare", types={"n": "decimal(9,2)"}, **inputs)
    assert done.error is None, done.error
    assert done["s"].outputs["changed"] == 1
    with Path(done["s"].outputs["differences"]).open() as file:
        assert [row["id"] for row in csv.DictReader(file)] == ["2"]


def test_parts_keep_their_text(flows: FlowProject) -> None:
    done = run(flows, "file_split", path=given(flows, "a.csv", TEXT), dest_dir="parts", rows=1, read=READ)
    assert done.error is None, done.error
    assert Path(done["s"].outputs["files"][0]["path"]).read_text().endswith('1;1,50;"2,5e1";1,5\n')


CREATE = "CREATE TABLE t (id INTEGER, amount DECIMAL(10, 2), ratio DOUBLE PRECISION, code VARCHAR(20))"


def test_a_load_gives_numbers_and_keeps_text(embedded: Any) -> None:
    embedded.sql(CREATE)
    assert embedded.one(**load(write(embedded, TEXT), **READ))["rows"] == 3
    rows = embedded.rows("SELECT id, amount, ratio, code FROM t ORDER BY id")
    assert [[each and float(each) for each in row[:3]] for row in rows] == [[1, 1.5, 25], [2, -0.25, 0], [3, None, 0.5]]
    assert [row[3] for row in rows] == ["1,5", "1.5", None]


def test_rejects_by_line_have_the_text_of_the_file(embedded: Any) -> None:
    embedded.sql("CREATE TABLE t (id INTEGER, amount DECIMAL(10, 2))")
    out = embedded.one(**load(write(embedded, MIXED), max_rejects=4, file=READ))
    assert (out["rows"], out["rejected"]) == (2, 4)
    with Path(out["reject_file"]).open() as file:
        rejects = list(csv.DictReader(file))
    assert [row["line"] for row in rejects] == ["3", "4", "5", "6"]
    assert [json.loads(row["record"])[1] for row in rejects] == ["1.234,56", "1.5", "1,234,567", "x"]


def test_a_table_is_made_with_the_types_of_the_numbers(embedded: Any) -> None:
    ran = embedded.run(step=load(write(embedded, TEXT), create="if_missing", **READ))
    assert ran.status["step"] == "SUCCESS", ran.error
    rows = embedded.rows("SELECT sum(amount), sum(ratio) FROM t")
    assert [float(each) for each in rows[0]] == [1.25, 25.5]


def test_both_places_must_agree(lite: Any) -> None:
    with pytest.raises(Exception, match=r"decimal and file\.decimal are both given and differ"):
        lite.run(step=load("x.csv", decimal=",", file={"decimal": "."}))
