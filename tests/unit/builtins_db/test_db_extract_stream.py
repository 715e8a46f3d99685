"""`db_extract_stream`, through flows: CSV, TSV, and what all formats share."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from aetherflow.core.api import SpecError

SETUP = """
CREATE TABLE t (a INTEGER, s VARCHAR(20), f DOUBLE);
INSERT INTO t VALUES (1, 'plain', 0.5), (2, NULL, NULL), (3, '', 1e300), (4, 'tab\t"q", ü', -1), (5, 'two
lines', 0)
"""
QUERY = "SELECT a, s, f FROM t ORDER BY a"
CSV = 'a,s,f\n1,plain,0.5\n2,,\n3,"",1e+300\n4,"tab\t""q"", ü",-1.0\n5,"two\nlines",0.0\n'


@pytest.fixture
def filled(project: Any) -> Any:
    """A project with the table t."""
    project.sql(SETUP)
    return project


def test_csv_and_all_outputs(filled: Any) -> None:
    out = filled.one(type="db_extract_stream", sql=QUERY, output="out/t.csv", format="csv", fetch_size=2)
    path = Path(out["output"])
    assert path.read_text(encoding="utf-8") == CSV
    assert path.parts[-3:] == ("artifacts", "out", "t.csv")
    assert [each["kind"] for each in out.pop("receipt")["read"]] == ["query"]
    assert out == {
        "output": str(path), "artifact_path": str(path), "format": "csv", "rows": 5, "row_count": 5,
        "bytes": path.stat().st_size, "columns": ["a", "s", "f"],
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }  # fmt: skip


def test_the_kernel_records_the_same_hash(filled: Any) -> None:
    ran = filled.run(step={"type": "db_extract_stream", "sql": QUERY, "output": "t.tsv"})
    (artifact,) = ran.summary.jobs[0].steps[0].artifacts
    assert (artifact.path, artifact.sha256) == (ran.outputs["step"]["output"], ran.outputs["step"]["sha256"])


@pytest.mark.parametrize(
    ("output", "inputs", "expected"),
    [
        ("x.tsv", {}, "tsv"),
        ("x.dat", {}, "tsv"),
        ("x.CSV", {}, "csv"),
        ("x.parquet", {}, "parquet"),
        ("x.csv", {"format": "tsv"}, "tsv"),
    ],
)
def test_the_format_is_given_or_told_by_the_suffix(
    filled: Any, output: str, inputs: dict[str, Any], expected: str
) -> None:
    assert filled.one(type="db_extract_stream", sql=QUERY, output=output, **inputs)["format"] == expected


@pytest.mark.parametrize("place", ["top", "file"])
def test_the_options_of_the_file(filled: Any, place: str) -> None:
    options = {
        "delimiter": ";", "quoting": "all", "linefeed": "\r\n", "encoding": "utf-16-le", "null_value": "NULL",
        "include_header": "false", "quotechar": "'",
    }  # fmt: skip
    inputs = options if place == "top" else {"file": options}
    out = filled.one(
        type="db_extract_stream", sql="SELECT a, s FROM t WHERE a < 4 ORDER BY a", output="t.csv", **inputs
    )
    text = Path(out["output"]).read_bytes().decode("utf-16-le")
    assert text == "'1';'plain'\r\n'2';NULL\r\n'3';''\r\n"


def test_an_empty_result_has_a_header(filled: Any) -> None:
    out = filled.one(type="db_extract_stream", sql=f"SELECT * FROM ({QUERY}) AS q WHERE a > 99", output="t.tsv")
    assert Path(out["output"]).read_text() == "a\ts\tf\n"
    assert out["rows"] == 0


@pytest.mark.parametrize("output", ["t.csv", "t.parquet"])
def test_too_few_rows_leave_no_file_and_the_old_one_stays(filled: Any, output: str) -> None:
    sql = "SELECT a FROM t WHERE a > 4"
    ran = filled.run(
        first={"type": "db_extract_stream", "sql": QUERY, "output": output},
        skip={"type": "db_extract_stream", "sql": sql, "output": output, "min_rows": 2, "on_empty": "skip"},
        fail={"type": "db_extract_stream", "sql": sql, "output": output, "min_rows": 2},
    )
    assert ran.status == {"first": "SUCCESS", "skip": "SKIPPED", "fail": "FAILED"}
    assert ran.reason["skip"] == "row_count(1) < min_rows(2)"
    assert ran.outputs["skip"] | {"reason": None} == {
        "output": None, "artifact_path": None, "format": output[2:], "rows": 1, "row_count": 1,
        "bytes": None,
        "columns": ["a"], "sha256": None,
        "reason": None,
    }  # fmt: skip
    assert ran.error.message == "too few rows: row_count(1) < min_rows(2)"
    path = Path(ran.outputs["first"]["output"])
    assert hashlib.sha256(path.read_bytes()).hexdigest() == ran.outputs["first"]["sha256"]
    assert [each.name for each in path.parent.iterdir()] == [output], "no temporary file is left"


def test_duplicate_names_are_refused_and_nothing_is_written(filled: Any) -> None:
    ran = filled.run(step={"type": "db_extract_stream", "sql": "SELECT a, s AS a FROM t", "output": "t.csv"})
    assert "of the same name: a" in ran.error.message
    assert list(Path(ran.summary.work_root).rglob("*t.csv*")) == []


def test_a_failing_query_leaves_nothing(filled: Any) -> None:
    ran = filled.run(step={"type": "db_extract_stream", "sql": "SELECT * FROM nope", "output": "t.csv"})
    assert "nope" in ran.error.message
    assert list(Path(ran.summary.work_root).rglob("*t.csv*")) == []


def test_dtypes_are_emitted_for_csv(filled: Any) -> None:
    out = filled.one(
        type="db_extract_stream", sql=f"SELECT *, NULL AS n FROM ({QUERY}) AS q", output="t.csv", emit_dtypes="yes"
    )
    assert out["dtypes"] == {"a": "int", "s": "string", "f": "float", "n": "string"}
    assert json.loads(out["dtypes_json"]) == out["dtypes"]
    assert Path(out["output"]).read_text(encoding="utf-8").startswith('a,s,f,n\n1,plain,0.5,\n2,,,\n3,"",1e+300,\n')


def test_a_path_outside_of_the_run_is_refused(filled: Any) -> None:
    assert filled.run(step={"type": "db_extract_stream", "sql": QUERY, "output": "/etc/t.csv"}).error.code == "AF5003"


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"sql_file": "x.sql"}, "exactly one of sql and sql_file"),
        ({"format": "xlsx"}, "format"),
        ({"fetch_sise": 1}, "fetch_sise"),
        ({"emit_dtypes": "perhaps"}, "emit_dtypes"),
        ({"dtypes": {"a": "money"}}, "money"),
        ({"delimiter": ";", "file": {"delimiter": ","}}, "differ"),
        ({"on_empty": "explode"}, "on_empty"),
        ({"resource": "nope"}, "nope"),
    ],
)
def test_wrong_inputs_are_found_before_the_run(lite: Any, inputs: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError) as caught:
        lite.run(step={"type": "db_extract_stream", "sql": "SELECT 1 AS a", "output": "t.csv"} | inputs)
    assert message in "\n".join(str(problem.as_text()) for problem in caught.value.problems)
