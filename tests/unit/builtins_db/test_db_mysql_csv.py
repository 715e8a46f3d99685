"""MariaDB's text goes into CSV as the server sends it: the bytes that its values, as Python knows them, would give."""

import io

from hypothesis import given
from hypothesis import strategies as st

from aetherflow.core.api import CsvFormat
from aetherflow_builtins_db.connectors.mysql.rows import ShortTexts, parse
from aetherflow_builtins_db.formats.delimited import write_delimited
from aetherflow_builtins_db.formats.sink import HashingSink

CELLS = st.one_of(
    st.none(),
    st.sampled_from(
        ["", "2013", "N14228", "-1.50", "ä" * 15, "x" * 31, "x" * 32, "y" * 250, "z" * 300, "\x00\x1f", "\t"]
    ),
    st.text(st.sampled_from("ab ,;\"'\n\r\t\x01\x1fäé€\U0001f600"), max_size=40),
)


def packet_of(row: list[str | None]) -> bytes:
    """The row as a server sends it."""
    sent = b""
    for value in row:
        if value is None:
            sent += b"\xfb"
            continue
        data = value.encode()
        length = bytes([len(data)]) if len(data) < 251 else b"\xfc" + len(data).to_bytes(2, "little")
        sent += length + data
    return sent


def written(rows: list[list[str | None]], delimiter: str) -> bytes:
    buffer = io.BytesIO()
    dialect = CsvFormat(delimiter=delimiter, include_header=False)
    names = [str(index) for index in range(len(rows[0]))]
    write_delimited(names, [[tuple(row) for row in rows]], HashingSink(buffer), dialect, lambda _: None)
    return buffer.getvalue()


@given(
    rows=st.integers(2, 5).flatmap(lambda w: st.lists(st.lists(CELLS, min_size=w, max_size=w), min_size=1, max_size=5)),
    delimiter=st.sampled_from(",;\t"),
)
def test_short_texts_are_the_bytes_of_the_writer_or_are_not_taken(rows: list[list[str | None]], delimiter: str) -> None:
    lines = ShortTexts(len(rows[0]), delimiter.encode(), b'"').lines([packet_of(row) for row in rows])
    assert lines is None or lines.decode() == written(rows, delimiter).decode()


def test_rows_of_short_texts_are_taken() -> None:
    rows: list[list[str | None]] = [["2013", None, ""], [None, "ä" * 15, "x" * 31], ["", "", None], [None, None, None]]
    for delimiter in ",;\t":
        lines = ShortTexts(3, delimiter.encode(), b'"').lines([packet_of(row) for row in rows])
        assert lines is not None
        assert lines.decode() == written(rows, delimiter).decode()
    for odd in ("x" * 32, "z" * 300, "a,b", 'q"', "two\nlines", "\x1f"):
        assert ShortTexts(2, b",", b'"').lines([packet_of(["1", odd])]) is None, odd


def test_a_length_of_eight_bytes() -> None:
    packet = b"\xfe" + (3).to_bytes(8, "little") + b"abc" + b"\xfb" + b"\x00"
    assert parse(packet, [("utf-8", None), ("utf-8", None), (None, None)]) == ("abc", None, b"")
