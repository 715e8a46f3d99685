"""`file_convert`, `file_split` and `file_compare` over text files; Parquet and workbooks are read by a child."""

import gzip
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from aetherflow.core.testing import FlowProject, StepSuite
from aetherflow_builtins_db.steps.compare import FileCompare
from aetherflow_builtins_db.steps.convert import FileConvert
from aetherflow_builtins_db.steps.split import FileSplit

WIDTHS = {"id": 4, "name": 8, "amount": 8}


def given(path: str, text: str) -> dict[str, Any]:
    """A step that writes a file."""
    return {"id": path.replace(".", "_"), "type": "file_write", "inputs": {"path": path, "content": text}}


class TestFileConvert(StepSuite):
    step = FileConvert
    name = "file_convert"
    before = (given("orders.csv", "id;amount\n1;2.50\n"),)


class TestFileSplit(StepSuite):
    step = FileSplit
    name = "file_split"
    before = (given("orders.csv", "id,country\n1,AT\n2,DE\n3,AT\n"),)


class TestFileCompare(StepSuite):
    step = FileCompare
    name = "file_compare"
    before = (
        given("yesterday.csv", "id,name\n1,one\n2,two\n"),
        given("today.csv", "id,name\n2,two\n1,uno\n"),
        {"id": "packed", "type": "file_convert", "inputs": {"path": "today.csv", "output": "today.csv.gz"}},
    )


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FlowProject:
    found = FlowProject(tmp_path / "project")
    monkeypatch.chdir(found.folder)
    found.write(f"version: 1\npaths: {{write: ['{found.folder}/out']}}\n", "aetherflow.yaml")
    return found


def write(project: FlowProject, name: str, content: str | bytes) -> str:
    """A file beside the flow, where steps may read it; returns its path."""
    path = project.folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def outputs(project: FlowProject, kind: str, **inputs: Any) -> Mapping[str, Any]:
    project.flow({"id": "s", "type": kind, "inputs": inputs})
    done = project.run()
    assert done.error is None, done.error
    found: Mapping[str, Any] = done["s"].outputs
    return found


def refused(project: FlowProject, kind: str, **inputs: Any) -> tuple[str, str]:
    """Message and fix of a step that fails."""
    project.flow({"id": "s", "type": kind, "inputs": inputs})
    error = project.run().error
    assert error is not None, "it did not fail"
    return str(error.message), str(error.fix or "")


# file_convert


def test_text_stays_as_it_is(project: FlowProject) -> None:
    """From one text format to another nothing is read into a value: neither zeros, nor signs, nor blanks are lost."""
    path = write(project, "in.csv", 'id,s,n\n007,"a,b",1.50\n+1,"",1e5\n 2 ,,TRUE\n')
    out = outputs(project, "file_convert", path=path, output="out.tsv.gz")
    assert gzip.decompress(Path(out["output"]).read_bytes()).decode() == (
        'id\ts\tn\n007\ta,b\t1.50\n+1\t""\t1e5\n 2 \t\tTRUE\n'
    )
    assert (out["rows"], out["columns"], out["types"]) == (3, ["id", "s", "n"], {})
    back = outputs(project, "file_convert", path=out["output"], output="back.csv")
    assert Path(back["output"]).read_bytes() == Path(path).read_bytes()


def test_encodings_and_dialects(project: FlowProject) -> None:
    path = write(project, "in.txt", "id;s\r\n1;'grün;'\r\n2;NULL\r\n".encode("cp1252"))
    read = {"encoding": "cp1252", "delimiter": ";", "quotechar": "'", "null_value": "NULL"}
    out = outputs(
        project, "file_convert", path=path, output="o.csv", read=read, write={"encoding": "utf-16", "linefeed": r"\r\n"}
    )
    assert Path(out["output"]).read_bytes().decode("utf-16") == "id,s\r\n1,grün;\r\n2,\r\n"


def test_types_are_those_of_all_values(project: FlowProject) -> None:
    """The last of many rows decides as the first: no sample would have seen it."""
    rows = "".join(f"{number},{number:05},{number}.25,2024-01-01\n" for number in range(12_000))
    path = write(project, "in.csv", f"a,zip,price,day\n{rows}x,00001,0.125,2024-02-29\n")
    out = outputs(project, "file_convert", path=path, output="o.parquet")
    assert out["types"] == {"a": "string", "zip": "string", "price": "decimal(15,3)", "day": "date"}
    table = pq.read_table(out["output"])
    assert table.num_rows == out["rows"] == 12_001
    assert str(table["price"][12_000]) == "0.125"
    assert str(table["zip"][7]) == "00007"


def test_types_can_be_given_and_a_value_that_does_not_fit_is_named(project: FlowProject) -> None:
    path = write(project, "in.csv", "a,b\n1,2.5\n2,x\n")
    out = outputs(project, "file_convert", path=path, output="o.jsonl", types="string")
    assert Path(out["output"]).read_text() == '{"a":"1","b":"2.5"}\n{"a":"2","b":"x"}\n'
    message, fix = refused(project, "file_convert", path=path, output="o.jsonl", types={"b": "decimal(4,1)"})
    assert message == f"{path}, line 3: column 'b': the value 'x' is no decimal number"
    assert fix == "correct the file, or set types: {b: string}"
    message, fix = refused(project, "file_convert", path=path, output="o.jsonl", types={"c": "int"})
    assert message == "types: 'c' is no column of the file"
    assert fix == "there are: a, b"


def test_json_lines_stay_as_they_are(project: FlowProject) -> None:
    """Numbers of any form, nested values and missing keys included."""
    lines = '{"a": 1.50, "b": {"c": [1, 2]}}\r\n\n{"b": 1e400}\n'
    path = write(project, "in.jsonl", lines)
    out = outputs(project, "file_convert", path=path, output="o.jsonl.gz")
    text = gzip.decompress(Path(out["output"]).read_bytes()).decode()
    assert text == '{"a": 1.50, "b": {"c": [1, 2]}}\n{"b": 1e400}\n'
    assert (out["rows"], out["columns"]) == (2, ["a", "b"])
    message, _ = refused(project, "file_convert", path=path, output="o.jsonl", types={"a": "int"})
    assert message == "types: lines of JSON stay as they are"


def test_json_lines_as_csv_have_all_keys(project: FlowProject) -> None:
    rows = [{"a": number, "t": True} for number in range(1500)] + [{"late": [1, {"x": None}], "a": 0.5}]
    path = write(project, "in.jsonl", "".join(f"{json.dumps(row)}\n" for row in rows))
    out = outputs(project, "file_convert", path=path, output="o.csv")
    lines = Path(out["output"]).read_text().splitlines()
    assert (lines[0], lines[1], lines[-1]) == ("a,t,late", "0,true,", '0.5,,"[1, {""x"": null}]"')


def test_json_lines_without_a_row_tell_no_column(project: FlowProject) -> None:
    path = write(project, "in.jsonl", "\n")
    assert refused(project, "file_convert", path=path, output="o.csv")[0].endswith(
        "holds no row, so that no column is known"
    )
    assert outputs(project, "file_convert", path=path, output="o.jsonl")["rows"] == 0


def test_lines_of_fixed_width(project: FlowProject) -> None:
    path = write(project, "in.csv", "id,name,amount\n1,grün,2.50\n22,,-100.00\n")
    types = {"id": "int", "amount": "decimal(8,2)"}
    out = outputs(project, "file_convert", path=path, output="o.txt", write={"widths": WIDTHS}, types=types)
    assert out["format"] == "fixed"
    assert Path(out["output"]).read_text() == "   1grün        2.50\n  22         -100.00\n"
    back = outputs(project, "file_convert", path=out["output"], output="back.csv", read={"widths": WIDTHS})
    assert Path(back["output"]).read_bytes() == Path(path).read_bytes()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("id,name,amount\n1,longer than 8,2\n", "row 1: column 'name': the value 'longer than 8' has 13"),
        ("id,name,amount\n1,\" a\",2\n", "row 1: column 'name': the value ' a' has blanks at an end"),
        ("id,name,other\n1,a,2\n", "write.widths and the columns of the file differ: amount, other"),
    ],
)  # fmt: skip
def test_what_does_not_fit_into_a_width(project: FlowProject, text: str, expected: str) -> None:
    message, _ = refused(
        project, "file_convert", path=write(project, "in.csv", text), output="o.txt", write={"widths": WIDTHS}
    )
    assert message.startswith(expected)
    assert not list(project.folder.rglob("o.txt"))


def test_a_line_of_another_width_is_refused(project: FlowProject) -> None:
    path = write(project, "in.txt", "   1one         2.50\n   2two\n")
    message, _ = refused(project, "file_convert", path=path, output="o.csv", read={"widths": WIDTHS})
    assert message == f"{path}, line 2: has 7 characters, not 20"


def test_a_damaged_file_leaves_the_old_one(project: FlowProject) -> None:
    good, bad = write(project, "good.csv", "a,b\n1,2\n"), write(project, "bad.csv", "a,b\n1,2\n3\n")
    first = outputs(project, "file_convert", path=good, output=str(project.folder / "out/x.tsv"))
    before = Path(first["output"]).read_bytes()
    message, fix = refused(project, "file_convert", path=bad, output=first["output"])
    assert message == f"{bad}, line 3: has 1 fields, not 2"
    assert fix == "correct the file, or how it is read"
    assert Path(first["output"]).read_bytes() == before


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        ({"output": "o.csv", "read": {"sheet": "x"}}, "read: sheet: not for csv"),
        ({"output": "o.parquet", "write": {"delimiter": ";"}}, "write: delimiter: not for parquet"),
        ({"output": "o.jsonl", "write": {"encoding": "latin-1"}}, "write.encoding: JSON lines are UTF-8"),
        ({"output": "o.xls"}, "o.xls: a workbook is written as .xlsx"),
        ({"output": "o.dat"}, "the name 'o.dat' does not say what the file holds"),
    ],
)
def test_options_that_mean_nothing_are_refused(project: FlowProject, inputs: dict[str, Any], expected: str) -> None:
    message, _ = refused(project, "file_convert", path=write(project, "in.csv", "a\n1\n"), **inputs)
    assert message == expected


def test_two_columns_of_one_name_are_refused(project: FlowProject) -> None:
    path = write(project, "in.csv", "a,b,a\n1,2,3\n")
    assert refused(project, "file_convert", path=path, output="o.parquet")[0] == f"{path}: two columns are named 'a'"


def test_a_file_without_header_has_numbered_columns(project: FlowProject) -> None:
    path = write(project, "in.csv", "1,x\n2,y\n")
    out = outputs(project, "file_convert", path=path, output="o.jsonl", read={"include_header": False})
    assert Path(out["output"]).read_text() == '{"column_1":1,"column_2":"x"}\n{"column_1":2,"column_2":"y"}\n'


def test_a_dry_run_tells_the_types(project: FlowProject) -> None:
    path = write(project, "in.csv", "a,b\n1,007\n")
    project.flow(
        {"id": "s", "type": "file_convert", "inputs": {"path": path, "output": "o.parquet"}},
        {"id": "t", "type": "file_split", "inputs": {"path": path, "dest_dir": "parts", "by": "a"}},
        {"id": "u", "type": "file_compare", "inputs": {"path": path, "other": "none.csv", "keys": ["a"]}},
    )
    said = project.effects()
    assert said["s"] == [f"write o.parquet (parquet) with the rows of {path}:", "  a int", "  b string"]
    assert said["t"] == [f"make the folder parts: {path} split by the values of a"]
    assert said["u"] == [f"compare {path} with none.csv by a; not there yet: none.csv"]


# file_split


def parts(out: Mapping[str, Any]) -> dict[str, str]:
    """Name and content of each part, and nothing else in the folder."""
    found = {path.name: path.read_bytes().decode() for path in Path(out["dest_dir"]).iterdir()}
    assert sorted(found) == sorted(Path(each["path"]).name for each in out["files"])
    return found


def test_rows_keep_their_text_and_each_part_its_header(project: FlowProject) -> None:
    text = 'id,s\r\n1,"a\r\nb"\r\n2,\'x\r\n3,"""q"""\r\n'
    out = outputs(project, "file_split", path=write(project, "in.csv", text), dest_dir="parts", rows=2)
    assert parts(out) == {
        "in-0001.csv": 'id,s\r\n1,"a\r\nb"\r\n2,\'x\r\n',
        "in-0002.csv": 'id,s\r\n3,"""q"""\r\n',
    }
    assert [(each["value"], each["rows"]) for each in out["files"]] == [(None, 2), (None, 1)]
    assert (out["count"], out["rows"], out["columns"]) == (2, 3, ["id", "s"])


def test_bytes_are_those_of_the_part_with_its_header(project: FlowProject) -> None:
    text = "id\n" + "".join(f"{number:04}\n" for number in range(100)) + "one that is longer than a part\n"
    out = outputs(project, "file_split", path=write(project, "in.csv", text), dest_dir="parts", max_bytes=23)
    sizes = [each["bytes"] for each in out["files"]]
    assert sizes == [23] * 25 + [34]
    joined = "".join(part.removeprefix("id\n") for _, part in sorted(parts(out).items()))
    assert f"id\n{joined}" == text


def test_values_are_safe_as_names(project: FlowProject) -> None:
    """Also null, empty text, and what would leave the folder."""
    text = 'id,v\n1,../../x\n2,\n3,""\n4,null\n5,../../x\n6,é y\n'
    out = outputs(project, "file_split", path=write(project, "in.tar.csv", text), dest_dir="parts", by="v")
    found = parts(out)
    assert found["in-..%2F..%2Fx.tar.csv"] == "id,v\n1,../../x\n5,../../x\n"
    assert found["in.tar.csv"] == "id,v\n2,\n"
    assert found["in-.tar.csv"] == 'id,v\n3,""\n'
    assert sorted(found) == sorted(
        ["in-..%2F..%2Fx.tar.csv", "in.tar.csv", "in-.tar.csv", "in-null.tar.csv", "in-%C3%A9 y.tar.csv"]
    )
    assert {each["value"] for each in out["files"]} == {"../../x", None, "", "null", "é y"}


def test_lines_of_fixed_width_are_split_as_they_are(project: FlowProject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aetherflow_builtins_db.tabular.records.BATCH_ROWS", 2)
    path = write(project, "in.txt", "   1AT\r\n\r\n  22DE\n 333AT\r\n   4\u00d6 ")
    out = outputs(project, "file_split", path=path, dest_dir="parts", by="land", read={"widths": {"id": 4, "land": 2}})
    assert parts(out) == {
        "in-AT.txt": "   1AT\r\n 333AT\r\n",
        "in-DE.txt": "  22DE\n",
        "in-%C3%96.txt": "   4\u00d6 ",
    }


def test_the_folder_is_replaced_as_a_whole(project: FlowProject) -> None:
    """No part of a longer file is left; but what no split has made there is no part of it."""
    step = {"dest_dir": str(project.folder / "out" / "parts"), "rows": 1}
    long, short = (write(project, "in.csv", "a\n1\n2\n3\n"), "a\n4\n")
    assert outputs(project, "file_split", path=long, **step)["count"] == 3
    out = outputs(project, "file_split", path=write(project, "in.csv", short), **step)
    assert parts(out) == {"in-0001.csv": "a\n4\n"}
    (Path(out["dest_dir"]) / "mine.txt").write_text("x")
    message, fix = refused(project, "file_split", path=long, **step)
    assert message == f"{out['dest_dir']} holds other files, and is replaced as a whole: mine.txt"
    assert fix == "give the parts a folder of their own"


def test_a_damaged_file_leaves_the_old_parts(project: FlowProject) -> None:
    step = {"dest_dir": str(project.folder / "out" / "parts"), "rows": 1}
    out = outputs(project, "file_split", path=write(project, "in.csv", "a,b\n1,2\n"), **step)
    message, _ = refused(project, "file_split", path=write(project, "in.csv", "a,b\n3,4\n5\n"), **step)
    assert message.endswith("in.csv, line 3: has 1 fields, not 2")
    assert parts(out) == {"in-0001.csv": "a,b\n1,2\n"}


@pytest.mark.parametrize("name", ["in.csv.gz", "in.jsonl", "in.csv"])
def test_parts_that_wait_in_memory_are_written_when_there_are_many(
    project: FlowProject, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr("aetherflow_builtins_db.tabular.parts._HELD_BYTES", 100)
    monkeypatch.setattr("aetherflow_builtins_db.tabular.table.BATCH_ROWS", 7)
    monkeypatch.setattr("aetherflow_builtins_db.tabular.records.BATCH_ROWS", 7)
    line = '{{"a": {0}, "m": {1}}}\n' if "jsonl" in name else "{0},{1}\n"
    text = ("" if "jsonl" in name else "a,m\n") + "".join(line.format(number, number % 3) for number in range(500))
    data = gzip.compress(text.encode()) if name.endswith("gz") else text.encode()
    out = outputs(project, "file_split", path=write(project, name, data), dest_dir="parts", by="m")
    assert [each["rows"] for each in out["files"]] == [167, 167, 166]
    for number, each in enumerate(out["files"]):
        data = Path(each["path"]).read_bytes()
        lines = (gzip.decompress(data) if name.endswith("gz") else data).decode().splitlines(keepends=True)
        assert lines[len(lines) - 166 :] == [line.format(n, n % 3) for n in range(number, 500, 3)][-166:]


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        ({"path": "x.xlsx", "rows": 1}, "x.xlsx: a workbook is not split"),
        ({"path": "x.parquet", "max_bytes": 1}, "max_bytes is not for Parquet, whose size is known when it is written"),
    ],
)
def test_what_is_not_split(project: FlowProject, inputs: dict[str, Any], expected: str) -> None:
    assert refused(project, "file_split", dest_dir="parts", **inputs)[0] == expected


def test_a_column_that_is_not_there(project: FlowProject) -> None:
    message, fix = refused(project, "file_split", path=write(project, "in.csv", "a\n1\n"), dest_dir="p", by="b")
    assert (message, fix) == ("by: 'b' is no column of the file", "there are: a")


# file_compare

OLD = "id,name,n\n1,one,1.0\n2,two,\n3,three,3\n4,four,4\n"


def compared(project: FlowProject, new: str, **inputs: Any) -> Mapping[str, Any]:
    return outputs(
        project,
        "file_compare",
        path=write(project, "old.csv", OLD),
        other=write(project, "new.csv", new),
        on_difference="report",
        **inputs,
    )


def differences(out: Mapping[str, Any]) -> list[str]:
    return Path(out["differences"]).read_text().splitlines()[1:]


def test_equal_files(project: FlowProject) -> None:
    out = compared(project, OLD)
    assert (out["equal"], out["rows"], out["other_rows"], differences(out)) == (True, 4, 4, [])
    shuffled = "name,id,n\nfour,4,4\none,1,1.0\nthree,3,3\ntwo,2,\n"
    assert compared(project, shuffled, keys=["id"])["equal"]
    assert compared(project, shuffled, any_order=True)["equal"]
    assert not compared(project, shuffled)["equal"]


def test_what_differs_by_key(project: FlowProject) -> None:
    out = compared(project, 'id,name,n\n5,five,5\n3,drei,3\n2,two,""\n1,one,1.0\n', keys=["id"])
    assert differences(out) == [
        "added,,2,5,,,",
        "changed,4,3,3,name,three,drei",
        'changed,3,4,2,n,,""',
        "missing,5,,4,,,",
    ]
    assert (out["missing"], out["added"], out["changed"]) == (1, 1, 2)
    assert (out["equal"], out["rows"], out["other_rows"], out["columns"]) == (False, 4, 4, ["id", "name", "n"])


def test_what_differs_row_by_row(project: FlowProject) -> None:
    out = compared(project, "id,name,n\n1,ONE,1.00\n2,two,\n3,three,3\n")
    assert differences(out) == ["changed,2,2,name,one,ONE", "changed,2,2,n,1.0,1.00", "missing,5,,,,"]
    assert (out["missing"], out["added"], out["changed"]) == (1, 0, 1)


def test_what_differs_in_any_order_counts_equal_rows(project: FlowProject) -> None:
    out = compared(project, "id,name,n\n4,four,4\n3,three,3\n3,three,3\n1,one,1.0\n", any_order=True)
    assert differences(out) == ['missing,,,,"[""2"", ""two"", null]",', 'added,,,,,"[""3"", ""three"", ""3""]"']


def test_types_compare_values_and_not_their_text(project: FlowProject) -> None:
    new = "id,name,n\n01,one,1.00\n2,two,\n3,three,3.0\n4,four,x\n"
    out = compared(project, new, types={"id": "int", "n": "decimal(9,2)"})
    assert differences(out) == ["changed,5,5,n,4,x"]


def test_columns_of_one_file_alone(project: FlowProject) -> None:
    new = "id,name,other\n1,one,\n2,two,\n3,three,\n4,four,\n"
    out = compared(project, new)
    assert (out["equal"], out["missing_columns"], out["added_columns"]) == (False, ["n"], ["other"])
    assert compared(project, new, columns=["name"], keys=["id"])["equal"]
    message, fix = refused(
        project, "file_compare", path=write(project, "a.csv", OLD), other=write(project, "b.csv", new), columns=["n"]
    )
    assert (message, fix) == ("columns: 'n' is no column of both files", "there are: id, name")


def test_a_difference_fails_the_step_and_is_listed(project: FlowProject) -> None:
    message, fix = refused(
        project,
        "file_compare",
        path=write(project, "old.csv", OLD),
        other=write(project, "new.csv", "id,name\n1,one\n2,zwei\n"),
        differences=str(project.folder / "out" / "d.csv"),
    )
    path = project.folder / "out" / "d.csv"
    assert message.endswith(
        f"new.csv differ: 2 rows missing; 1 rows changed; columns missing: n; {path} lists the differences"
    )
    assert fix == "on_difference: report goes on"
    assert path.read_text().splitlines()[1:] == ["changed,3,3,name,two,zwei", "missing,4,,,,", "missing,5,,,,"]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("id\n1\n1\n", "id\n1\n", "old.csv, row 3: another row has the same key: id '1'"),
        ("id\n1\n", "id\n1\n1\n", "new.csv, row 3: another row has the same key: id '1'"),
        ("id\n1\n", "id\n2\n2\n", "new.csv, row 3: another row has the same key: id '2'"),
        ("id,x\n1,\n,\n", "id,x\n1,\n", "old.csv, row 3: a key is null"),
    ],
)
def test_keys_that_are_none(project: FlowProject, old: str, new: str, expected: str) -> None:
    message, _ = refused(
        project, "file_compare", path=write(project, "old.csv", old), other=write(project, "new.csv", new), keys=["id"]
    )
    assert message.endswith(expected)
