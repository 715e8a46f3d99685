"""MariaDB's text goes into CSV as the server sends it: the bytes that its values, as Python knows them, would give."""

from aetherflow_builtins_db.connectors.mysql.rows import parse


def test_a_length_of_eight_bytes() -> None:
    packet = b"\xfe" + (3).to_bytes(8, "little") + b"abc" + b"\xfb" + b"\x00"
    assert parse(packet, [("utf-8", None), ("utf-8", None), (None, None)]) == ("abc", None, b"")
