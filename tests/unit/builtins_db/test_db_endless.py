"""Files to load whose lines or records do not end: each is refused at the limit, and read no further."""

import csv
import gzip
import io
from pathlib import Path
from typing import Any

import pytest
from db_loads import load, write
from hypothesis import given
from hypothesis import strategies as st

from aetherflow.core.api import CsvFormat, LimitExceededError
from aetherflow_builtins_db.loading import meter
from aetherflow_builtins_db.loading.delimited import DelimitedReader
from aetherflow_builtins_db.loading.source import SourceFile, format_of, packing_of

LIMIT = 1 << 16
RECORDS = {
    "a-line.csv.gz": "a,s\n1,x\n2," + "x" * 40 * LIMIT,
    "a-header.csv": "a" * 40 * LIMIT,
    "a-quoted-field.csv": 'a,s\n1,"' + "x\n" * 40 * LIMIT,
    "many-quoted-fields.csv": "a,s\n" + ('"' + "x" * 99 + '\n",') * (LIMIT // 2),
    "a-line.jsonl.gz": '{"a": "' + "x" * 40 * LIMIT,
    "a-later-line.jsonl": '{"a": 1}\n' * 2000 + "x" * 40 * LIMIT,
}


@pytest.fixture(autouse=True)
def _low_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meter, "MOST_BYTES", LIMIT)


def read_all(source: SourceFile) -> list[int]:
    """Rows of each batch."""
    with source.reader(keys=None, width=None) as reader:
        return [len(batch.rows) for batch in reader.batches(10_000, lambda _: None)]


@pytest.mark.parametrize("name", RECORDS)
def test_a_record_without_an_end_is_refused(tmp_path: Path, name: str) -> None:
    path, text = tmp_path / name, RECORDS[name].encode()
    path.write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    read = 0

    def count(so_far: int) -> None:
        nonlocal read
        read = so_far

    source = SourceFile(path, format_of(name), packing_of(name), CsvFormat(), count)
    with pytest.raises(LimitExceededError, match="end within 65,536 bytes") as caught:
        read_all(source)
    assert " at line " in str(caught.value)
    assert caught.value.fix
    assert name.endswith(".gz") or read < 20 * LIMIT


WIDE = {
    "one-line": "1" + "," * LIMIT,
    "quotes-within-fields": '1"' + ',"",x"' * LIMIT,
    "many-lines": '"1' + '\n",,,"' * LIMIT + '"',
    "doubled-quotes": '"""' + '",""""' * LIMIT,
}


@pytest.mark.parametrize("name", WIDE)
def test_a_record_of_too_many_fields_is_refused_before_it_is_read(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(meter, "MOST_BYTES", 64 << 20)
    monkeypatch.setattr(meter, "MOST_FIELDS", LIMIT // 2)
    path = tmp_path / "wide.csv"
    path.write_text("a,s\n1,x\n" + WIDE[name] + "\n")
    with pytest.raises(LimitExceededError, match=r"wide.csv: the record at line 3 has more than 32,768 fields"):
        read_all(SourceFile(path, "csv", "none", CsvFormat()))


@given(
    st.lists(st.lists(st.text('a",\n', max_size=4), min_size=2, max_size=9), min_size=1),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
def test_the_fields_of_a_record_are_counted_as_they_are_read(rows: list[list[str]], quoting: Any) -> None:
    text = io.StringIO()
    csv.writer(text, quoting=quoting, lineterminator="\n").writerows(rows)
    lines = text.getvalue().splitlines(keepends=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(meter, "MOST_FIELDS", 4)
        reader = DelimitedReader(lines, CsvFormat(include_header=False))
        wide = next((number for number, row in enumerate(rows) if len(row) > 4), None)
        seen: list[int] = []
        try:
            for batch in reader.batches(1, lambda reject: seen.append(reject.number)):
                seen.extend(batch.numbers)
        except LimitExceededError:
            assert wide == len(seen)
        else:
            assert wide is None


def test_delimiters_within_quotes_are_no_fields(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meter, "MOST_BYTES", 64 << 20)
    monkeypatch.setattr(meter, "MOST_FIELDS", LIMIT // 2)
    path = tmp_path / "list.csv"
    path.write_text("a,s\n" + ('1,"[' + "1,\n2," * LIMIT + '""]"\n') * 3)
    assert sum(read_all(SourceFile(path, "csv", "none", CsvFormat()))) == 3


@pytest.mark.parametrize("name", ["long.csv", "long.jsonl"])
def test_long_records_are_held_only_up_to_the_limit(tmp_path: Path, name: str) -> None:
    row = {"long.csv": '1,"{}"\n', "long.jsonl": '{{"a": "{}"}}\n'}[name].format("x" * (LIMIT // 4))
    (tmp_path / name).write_text("a,s\n" * name.endswith("csv") + row * 80)
    sizes = read_all(SourceFile(tmp_path / name, format_of(name), "none", CsvFormat()))
    assert sum(sizes) == 80
    assert max(sizes) < 40  # what is read ahead counts


def test_records_that_are_left_out_are_held_only_up_to_the_limit(lite: Any) -> None:
    lite.sql("CREATE TABLE t (a INTEGER, s TEXT)")
    path = write(lite, "a,s\n" + ("1," + "x" * (LIMIT // 4) + ",\n") * 40)
    error = lite.run(step=load(path, max_rejects=100)).error
    assert error.code == "AF5102"
    assert "line 5: the rows that cannot be loaded are not within 65,536 bytes" in error.message


def test_json_that_is_nested_too_deeply_is_a_row_that_cannot_be_loaded(lite: Any) -> None:
    lite.sql("CREATE TABLE t (a INTEGER)")
    path = write(lite, '{"a": 1}\n{"a": ' + "[" * 30_000 + "\n", "in.jsonl")
    assert "line 2: no JSON: it is nested too deeply" in lite.run(step=load(path)).error.message
