"""Parquet files that nobody should read, made at test time."""

import functools
import io
import struct
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

MIB = 1 << 20
Make = Callable[[], bytes]


def parquet(table: pa.Table, **options: Any) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out, **{"compression": "zstd", **options})
    return out.getvalue()


@functools.cache
def sound() -> bytes:
    """A sound file of three row groups."""
    table = pa.table({"a": list(range(3000)), "s": [f"text {number}" for number in range(3000)]})
    return parquet(table, row_group_size=1000, compression="gzip", use_dictionary=False)


def dictionary(rows: int, size: int) -> pa.DictionaryArray:
    """A column of one text of `size` bytes."""
    return pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), pa.array(["x" * size]))


def zeros(kind: Any, size: "int | list[int]") -> pa.Array:
    """So many zeros, or with offsets one value of so many bytes."""
    if isinstance(size, int):
        return pa.Array.from_buffers(kind, size, [None, pa.py_buffer(bytes(size))])
    data = pa.py_buffer(bytes(size[-1]))
    return pa.Array.from_buffers(kind, len(size) - 1, [None, pa.py_buffer(struct.pack(f"<{len(size)}i", *size)), data])


def changed(at: int, new: bytes) -> Make:
    """Bytes of the sound file replaced, counted from its end if negative."""

    def make() -> bytes:
        data = bytearray(sound())
        start = at % len(data)
        data[start : start + len(new)] = new
        return bytes(data)

    return make


def with_footer(footer: bytes, length: int | None = None) -> Make:
    """A file of nothing but a footer."""
    size = len(footer) if length is None else length
    return lambda: b"PAR1" + footer + struct.pack("<I", size) + b"PAR1"


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def nested(depth: int) -> Any:
    kind: Any = pa.int8()
    for _ in range(depth):
        kind = pa.list_(kind)
    return kind


ALL: dict[str, Make] = {
    "one-text-for-all-rows.parquet": lambda: parquet(pa.table({"a": dictionary(20_000, MIB)}), store_schema=False),
    "one-text-kept-once.parquet": lambda: parquet(pa.table({"a": dictionary(20_000, MIB)})),
    "a-page-of-gigabytes.parquet": lambda: parquet(
        pa.table({"a": zeros(pa.binary(), [0, 240 * MIB])}), use_dictionary=False, write_statistics=False
    ),
    "a-list-without-end.parquet": lambda: parquet(
        pa.table({"a": pa.ListArray.from_arrays([0, 32 * MIB], zeros(pa.int8(), 32 * MIB))}),
        write_statistics=False,  # they take four times as long as the rest
    ),
    "a-dictionary-in-lists.parquet": lambda: parquet(
        pa.table({"a": pa.ListArray.from_arrays([0, 20_000], dictionary(20_000, 64 * 1024))})
    ),
    "empty.parquet": lambda: b"",
    "text.parquet": lambda: b"a,b\n1,2\n" * 10,
    "only-a-start.parquet": lambda: b"PAR1",
    "cut-in-the-middle.parquet": lambda: sound()[: len(sound()) // 2],
    "without-a-start.parquet": lambda: sound()[-600:],
    "a-footer-beyond-the-start.parquet": changed(-8, struct.pack("<I", 0x7FFFFFFF)),
    "a-footer-of-4-gib.parquet": changed(-8, b"\xff\xff\xff\xff"),
    "a-footer-of-nothing.parquet": with_footer(b""),
    "a-footer-of-zeros.parquet": with_footer(bytes(5000)),
    "a-footer-of-ones.parquet": with_footer(b"\xff" * 5000),
    "a-list-of-2-31-columns.parquet": with_footer(b"\x15\x02\x19\xfc" + varint(2**31 - 1) + bytes(50)),
    "a-name-of-2-gib.parquet": with_footer(b"\x15\x02\x19\x1c\x48" + varint(2**31 - 1) + b"name"),
    "nested-structures.parquet": with_footer(b"\x15\x02\x19\x1c" + b"\x1c" * 20_000),
    "an-encrypted-footer.parquet": changed(-4, b"PARE"),
    "a-page-of-zeros.parquet": changed(60, bytes(400)),
    "a-page-of-ones.parquet": changed(4, b"\xff" * 300),
    "a-page-of-2-gib.parquet": changed(4, b"\x15\x00\x15" + varint(2 * (2**31 - 1)) + b"\x15\x02"),
    "a-negative-page.parquet": changed(4, b"\x15\x00\x15" + varint(9) + b"\x15\x09"),
}
