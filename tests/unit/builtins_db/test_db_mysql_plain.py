"""What of a CSV file LOAD DATA gets: only what the server reads as this package does."""

import io

import pytest

from aetherflow.core.api import ColumnType, CsvFormat, FieldMap, RowsRefusedError, TableColumn
from aetherflow_builtins_db.connectors.mysql.plain_csv import PlainRecords

INT = TableColumn("a", ColumnType("int"), "int(11)")
TEXT = TableColumn("b", ColumnType("string"), "varchar(40)")
PRICE = TableColumn("c", ColumnType("decimal", 5, 2), "decimal(5,2)")
MOMENT = TableColumn("d", ColumnType("datetime"), "datetime(3)", second_digits=3)


def taken(text: bytes, *columns: TableColumn, form: CsvFormat | None = None) -> tuple[bytes, int]:
    fields = FieldMap(columns, tuple(range(len(columns))), len(columns), None)
    records = PlainRecords(form or CsvFormat(include_header=False), fields, columns)
    sent = b"".join(block for blocks in records.statements(io.BytesIO(text)) for block in blocks)
    return sent, records.rows


@pytest.mark.parametrize(
    ("text", "sent", "rows"),
    [
        ("", "", 0),
        ("1,a,2.50\n", "1,a,2.50\n", 1),
        (",,\n1,,\n", "NULL,NULL,NULL\n1,NULL,NULL\n", 2),
        (',"",\n', 'NULL,"",NULL\n', 1),
        ('1,"a\nb,,c""d",2\n,,\n', '1,"a\nb,,c""d",2\nNULL,NULL,NULL\n', 2),
        ("1,a,2\r\n,ä,\r\n\r\n", "1,a,2\nNULL,ä,NULL\n", 2),
        ("\ufeff1,a\\,2", "1,a\\,2\n", 1),
        ("1,NULLS,2\n", "1,NULLS,2\n", 1),
    ],
)
def test_null_is_said_and_the_rest_stays(text: str, sent: str, rows: int) -> None:
    assert taken(text.encode(), INT, TEXT, PRICE) == (sent.encode(), rows)


@pytest.mark.parametrize(
    "odd",
    [b"1.5,a", b"true,a", b"0x1,a", b" 1,a", b"1e3,a", b'"",a', b"1,NULL", b"1,a,b", b"1", b"1,a\x00", b"1,a\rb",
     b'1,"a', b'1,a"b', b"1,a\n\n2,b", b"1,\xff", b"9999999999999999999,a"],
)  # fmt: skip
def test_what_the_server_would_read_otherwise_is_not_sent(odd: bytes) -> None:
    with pytest.raises(RowsRefusedError):
        taken(b"7,fine\n" + odd + b"\n8,fine\n", INT, TEXT)


@pytest.mark.parametrize(
    "odd",
    ["2026-1-2 03:04:05", "0000-00-00 00:00:00", "2026-01-02 03:04:05.1234", "2026-01-02 03:04:05+02", "20260102",
     "2026-01-02", "2026-13-02 03:04:05"],
)  # fmt: skip
def test_a_moment_that_it_would_cut_is_not_sent(odd: str) -> None:
    assert taken(b"1,2026-01-02 03:04:05.123\n", INT, MOMENT)[1] == 1
    with pytest.raises(RowsRefusedError):
        taken(f"1,{odd}\n".encode(), INT, MOMENT)


def test_a_null_where_none_may_be_is_not_sent() -> None:
    for column, value in ((INT, b""), (TEXT, b"")):
        strict = TableColumn("s", column.type, column.declared, nullable=False)
        with pytest.raises(RowsRefusedError):
            taken(b"1," + value + b"\n", INT, strict)


def test_records_are_whole_wherever_blocks_end() -> None:
    rows = [f"{number},{'t' * (number % 40)}{number},{number % 900}.5" for number in range(60_000)]
    text = "\n".join(rows).encode() + b"\n"
    for given in (text, text.replace(b"\n", b"\r\n"), b"a,b,c\n" + text):
        header = given.startswith(b"a")
        sent, count = taken(given, INT, TEXT, PRICE, form=CsvFormat(include_header=header))
        assert (sent == text, count) == (True, 60_000)


@pytest.mark.parametrize(
    "declared", ["bit(8)", "time(6)", "varbinary(9)", "year(4)", "enum('a')", "double(9,2)", "json"]
)
def test_columns_that_are_read_otherwise(declared: str) -> None:
    kind = ColumnType("float") if declared.startswith("double") else ColumnType("string")
    with pytest.raises(ValueError, match=declared[:3]):
        taken(b"1,1\n", INT, TableColumn("s", kind, declared))


@pytest.mark.parametrize(
    "form",
    [CsvFormat(null_value="-"), CsvFormat(escapechar="\\"), CsvFormat(quoting="none"), CsvFormat(encoding="cp1252")],
)
def test_forms_that_are_read_otherwise(form: CsvFormat) -> None:
    with pytest.raises(ValueError, match="plain"):
        taken(b"a,b\n1,1\n", INT, TEXT, form=form)
