"""Files of rows whose lines or records do not end, or are far too wide: each is refused, and read no further."""

import contextlib
import gzip
from pathlib import Path

import pytest
import zstandard

from aetherflow.core.api import LimitExceededError
from aetherflow_builtins_reports.sources import meter
from aetherflow_builtins_reports.sources.counting import count_rows
from aetherflow_builtins_reports.sources.delimited import DelimitedSource, Dialect
from aetherflow_builtins_reports.sources.jsonl import JsonlSource
from reports_project import Reports

LIMIT = 1 << 16
RECORDS = {
    "a-line.csv.gz": "a,s\n1," + "x" * 4 * LIMIT,
    "a-header.csv": "a" * 4 * LIMIT,
    "a-quoted-field.csv": 'a,s\n1,"' + "x\n" * 4 * LIMIT,
    "many-quoted-fields.csv": "a,s\n" + ('"' + "x" * 99 + '\n",') * LIMIT,
    "a-line.jsonl.gz": '{"a": "' + "x" * 4 * LIMIT,
    "a-later-line.jsonl": '{"a": 1}\n' * 2000 + "x" * 4 * LIMIT,
}


@pytest.fixture(autouse=True)
def _low_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meter, "MOST_BYTES", LIMIT)


@pytest.mark.parametrize("name", RECORDS)
def test_a_record_without_an_end_is_refused(reports: Reports, name: str) -> None:
    path, text = reports.folder / name, RECORDS[name].encode()
    path.write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    ran = reports.run_step("excel_write", {"output": "o.xlsx", "tables": [{"name": "S", "source_path": str(path)}]})
    assert ran.error is not None
    assert (ran.status, ran.error.code) == ("FAILED", "AF5102")
    assert f"{name}: what follows record " in ran.error.message
    assert "does not end within 65,536 bytes" in ran.error.message
    kind = "jsonl" if "jsonl" in name else "csv"
    with pytest.raises(LimitExceededError):
        count_rows(path, kind, Dialect(), fast=False, has_header=True)


def test_long_records_are_held_only_up_to_the_limit(tmp_path: Path) -> None:
    rows = [source_of(tmp_path, name, 200) for name in ("long.csv", "long.jsonl")]
    for source in rows:
        with contextlib.closing(source):
            sizes = [chunk.rows for chunk in source.chunks()]
        assert sum(sizes) == 200
        assert max(sizes) < 100  # what is read ahead counts


def source_of(folder: Path, name: str, count: int) -> DelimitedSource | JsonlSource:
    row = {"long.csv": "1,{}\n", "long.jsonl": '{{"a": "{}"}}\n'}[name].format("x" * (LIMIT // 20))
    (folder / name).write_text("a,s\n" * name.endswith("csv") + row * count)
    if name.endswith("csv"):
        return DelimitedSource(folder / name, Dialect(), has_header=True)
    return JsonlSource(folder / name, None)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("fields.csv", "a\n" + "," * 16_384 + "\n"),
        ("list.jsonl", "[" + "1," * 16_384 + "1]\n"),
        ("keys.jsonl", "".join(f'{{"k{number}": 1}}\n' for number in range(16_385))),
    ],
)
def test_more_fields_than_a_sheet_has_columns(reports: Reports, name: str, text: str) -> None:
    (reports.folder / name).write_text(text)
    tables = [{"name": "S", "source_path": str(reports.folder / name)}]
    message = reports.fails("excel_write", output="o.xlsx", tables=tables)
    assert "16385 columns do not fit" in message


def test_json_that_is_nested_too_deeply(reports: Reports) -> None:
    (reports.folder / "deep.jsonl").write_text('{"a": 1}\n{"a": ' + "[" * 30_000 + "\n")
    tables = [{"name": "S", "source_path": str(reports.folder / "deep.jsonl")}]
    assert "deep.jsonl:2: the JSON is nested too deeply" in reports.fails("excel_write", output="o.xlsx", tables=tables)


def test_packed_records_are_counted(tmp_path: Path) -> None:
    text = b'{"a": 1}\n\n{"a": 2}\n'
    for name, pack in (("a.jsonl", bytes), ("a.jsonl.gz", gzip.compress), ("a.jsonl.zst", zstandard.compress)):
        (tmp_path / name).write_bytes(pack(text))
        assert count_rows(tmp_path / name, "jsonl", Dialect(), fast=True, has_header=True) == 2
