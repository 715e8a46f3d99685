"""CSV and TSV: what is written can be read back, null and empty text apart."""

import csv
import datetime
import io
import tempfile
import tracemalloc
from decimal import Decimal
from typing import Any

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from aetherflow.core.api import CsvFormat, StepError
from aetherflow_builtins_db.formats.delimited import DelimitedWriter
from aetherflow_builtins_db.formats.options import DelimitedInputs
from aetherflow_builtins_db.formats.sink import HashingSink
from aetherflow_builtins_db.loading.delimited import DelimitedReader


def written(rows: list[tuple[Any, ...]], **options: Any) -> str:
    """The text of rows without a header."""
    dialect = CsvFormat(**options)
    buffer = io.BytesIO()
    writer = DelimitedWriter(HashingSink(buffer), [f"c{index}" for index in range(len(rows[0]))], dialect)
    for start in range(0, len(rows), 3):
        writer.write(rows[start : start + 3])
    return buffer.getvalue().decode(dialect.encoding)


_CELL = st.none() | st.text(alphabet="ab,;\t\"'\\\r\n Nü|0", max_size=6)
_ROWS = st.one_of([st.lists(st.tuples(*[_CELL] * width), min_size=1, max_size=7) for width in range(1, 5)])
_DIALECT = st.fixed_dictionaries(
    {
        "delimiter": st.sampled_from([",", "\t", ";", "|"]),
        "quotechar": st.sampled_from(['"', "'"]),
        "escapechar": st.sampled_from([None, "\\"]),
        "quoting": st.sampled_from(["minimal", "all", "nonnumeric"]),
        "linefeed": st.sampled_from(["\n", "\r\n", "\r"]),
        "encoding": st.sampled_from(["utf-8", "utf-16"]),
    }
)


@given(_ROWS, _DIALECT)
def test_python_reads_back_what_was_written(rows: list[tuple[Any, ...]], options: dict[str, Any]) -> None:
    reader = csv.reader(
        io.StringIO(written(rows, **options), newline=""),
        delimiter=options["delimiter"],
        quotechar=options["quotechar"],
        escapechar=options["escapechar"],
        strict=True,
    )
    # The reader cannot tell null from empty text; a lone null is an empty line.
    assert [line or [""] for line in reader] == [["" if cell is None else cell for cell in row] for row in rows]


@given(_ROWS, st.sampled_from(["minimal", "all"]), st.sampled_from(["", "NULL", "N"]))
def test_null_is_bare_and_text_like_it_is_quoted(rows: list[tuple[Any, ...]], quoting: str, null: str) -> None:
    text = written(rows, quoting=quoting, null_value=null)
    assert [[None if bare and cell == null else cell for cell, bare in row] for row in _bare_fields(text)] == [
        list(row) for row in rows
    ]


def _bare_fields(text: str) -> list[list[tuple[str, bool]]]:
    """A reader of RFC 4180 that also says whether a field was without quotes."""
    rows, row, at = [], [], 0
    while at < len(text):
        if text[at] == '"':
            end, cell = at + 1, ""
            while True:
                stop = text.index('"', end)
                cell += text[end:stop]
                if text[stop + 1 : stop + 2] != '"':
                    break
                cell, end = cell + '"', stop + 2
            row.append((cell, False))
            at = stop + 1
        else:
            stop = min(text.index(sign, at) for sign in (",", "\n") if sign in text[at:])
            row.append((text[at:stop], True))
            at = stop
        if text[at] == "\n":
            rows.append(row)
            row = []
        elif text[at + 1] == "\n":  # a last field that is empty and bare
            row.append(("", True))
            rows.append(row)
            row, at = [], at + 1
        at += 1
    return rows


@given(st.lists(st.tuples(_CELL, _CELL, _CELL), min_size=1, max_size=7))
def test_duckdb_reads_back_what_was_written(rows: list[tuple[Any, ...]]) -> None:
    with tempfile.NamedTemporaryFile(suffix=".csv") as file:
        file.write(written(rows).encode())
        file.flush()
        found = duckdb.execute(
            f"SELECT * FROM read_csv('{file.name}', header=false, delim=',', quote='\"', escape='\"', "
            "all_varchar=true, allow_quoted_nulls=false, new_line='\\n', "
            "columns={'a': 'VARCHAR', 'b': 'VARCHAR', 'c': 'VARCHAR'})"
        ).fetchall()
    assert found == rows


def test_values_have_one_text_form() -> None:
    zone = datetime.timezone(datetime.timedelta(hours=2))
    rows = [
        (True, 1.5, Decimal("1E+2"), datetime.date(2024, 1, 2), datetime.datetime(2024, 1, 2, 3, 4, 5, 6, tzinfo=zone)),
        (False, float("nan"), Decimal("0.10"), datetime.time(1, 2), b"\x00\xff"),
        (None, 1e-7, 2**70, [1, {"a": None}], ""),
    ]
    assert written(rows) == (
        "true,1.5,100,2024-01-02,2024-01-02 01:04:05.000006+00\n"
        "false,nan,0.10,01:02:00,AP8=\n"
        ',1e-07,1180591620717411303424,"[1, {""a"": null}]",""\n'
    )


def test_nonnumeric_leaves_numbers_bare() -> None:
    assert (
        written([(1, 1.5, Decimal("1E+1"), "1", None, "", True)], quoting="nonnumeric") == '1,1.5,10,"1",,"","true"\n'
    )


def test_quoting_none_writes_text_as_it_is_or_says_where_it_cannot() -> None:
    assert written([("a", '"b"', None, "")], quoting="none", delimiter="\t") == 'a\t"b"\t\t\n'
    assert written([("a,b", "c\nd")], quoting="none", escapechar="\\") == "a\\,b,c\\\nd\n"
    with pytest.raises(StepError, match="column 'c1', row 5: the value cannot be written") as caught:
        written([("a", "b")] * 4 + [("a", "b,c")], quoting="none")
    assert "quoting" in caught.value.fix


def test_a_value_outside_of_the_encoding_is_named() -> None:
    with pytest.raises(StepError, match="column 'c1', row 4: the value cannot be written") as caught:
        written([("a", "b")] * 3 + [("a", "€")], encoding="latin-1")
    assert "utf-8" in caught.value.fix


def test_the_byte_order_mark_comes_once() -> None:
    assert written([("a",)] * 9, encoding="utf-8-sig").encode("utf-8") == b"a\n" * 9
    assert written([("a",)] * 9, encoding="utf-16").count("\ufeff") == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"delimiter": ";", "file": {"delimiter": "|"}}, "delimiter and file.delimiter are both given and differ"),
        ({"delimiter": '"'}, "must differ"),
        ({"delimiter": "ab"}, "must be one character"),
        ({"null_value": "a,b"}, "null_value"),
        ({"doublequote": False}, "escapechar"),
        ({"encoding": "klingon"}, "klingon"),
        ({"encoding": "hex"}, "hex"),
        ({"linefeed": "x"}, "linefeed"),
        ({"quoting": "some"}, "quoting"),
        ({"include_header": "perhaps"}, "true, false"),
        ({"file": {"delimter": ";"}}, "delimter"),
    ],
)
def test_contradictions_are_found_before_anything_is_read(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        DelimitedInputs.model_validate(options)


def test_options_stand_at_either_place() -> None:
    assert DelimitedInputs.model_validate({"delimiter": r"\t", "file": {"linefeed": r"\r\n"}}).dialect(
        "csv"
    ) == CsvFormat(delimiter="\t", linefeed="\r\n")
    assert (
        DelimitedInputs.model_validate({"quotechar": "'", "file": {"quotechar": "'"}}).dialect("csv").quotechar == "'"
    )
    assert DelimitedInputs().dialect("tsv").delimiter == "\t"
    assert DelimitedInputs.model_validate({"include_header": "no"}).dialect("csv").include_header is False


def test_a_record_of_many_short_lines_takes_the_memory_of_its_text() -> None:
    size = 2 << 20
    text = 'a,b\n1,"\n' + "x\n" * (size // 2) + '"\n2,end\n'
    tracemalloc.start()
    try:
        (batch,) = DelimitedReader(io.StringIO(text, newline=""), CsvFormat()).batches(
            10, lambda each: pytest.fail(each.reason)
        )
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert [len(row[1] or "") for row in batch.rows] == [size + 1, 3]
    assert batch.numbers == [2, 4 + size // 2]
    assert peak < 16 * size  # the source and the field take four bytes each for a character
