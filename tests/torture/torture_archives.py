"""Archives that nobody should unpack, each with the words by which it is refused. Made, not collected."""

import functools
import gzip
import io
import itertools
import os
import stat
import struct
import tarfile
import warnings
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

MIB = 1 << 20
Case = tuple[str, bytes, str]
"""Name of the file, its content, a pattern of the reason."""


def zip_of(
    *members: tuple[str | zipfile.ZipInfo, bytes], method: int = zipfile.ZIP_DEFLATED, level: int | None = None
) -> bytes:
    """A zip archive; names are taken as they are."""
    out = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(out, "w", method) as archive:
        warnings.simplefilter("ignore", UserWarning)  # of duplicate names
        for name, data in members:
            info = name if isinstance(name, zipfile.ZipInfo) else _info(name)
            info.compress_type = method
            archive.writestr(info, data, compresslevel=level)
    return out.getvalue()


def _info(name: str, mode: int = stat.S_IFREG | 0o644) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo("x")
    info.filename = name
    info.create_system = 3
    info.external_attr = mode << 16
    return info


def tar_of(*members: tuple[Any, bytes]) -> bytes:
    """A tar archive of names or TarInfos."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in members:
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            if info.isreg():
                info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def tar_entry(name: str, kind: bytes, link: str = "", **facts: Any) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    for key, value in facts.items():
        setattr(info, key, value)
    return info


def patched(data: bytes, old: bytes, new: bytes, count: int = -1) -> bytes:
    """The archive with bytes exchanged, lengths kept."""
    assert old in data
    assert len(old) == len(new)
    return data.replace(old, new, count)


def _central(data: bytes, offset: int, value: bytes) -> bytes:
    """The first entry of the table of contents with some bytes exchanged."""
    at = data.index(b"PK\x01\x02") + offset
    return data[:at] + value + data[at + len(value) :]


def _local(data: bytes, offset: int, value: bytes) -> bytes:
    return data[:offset] + value + data[offset + len(value) :]


ESCAPES = {
    "../evil": "leads out",
    "a/../../evil": "leads out",
    "a/../b/../../evil": "leads out",
    "..": "leads out",
    "../": "leads out|folder with content",
    "a/..": "leads out",
    "./../evil": "leads out",
    "..\\evil": "leads out",
    "a\\..\\..\\evil": "leads out",
    "a/..\\../evil": "leads out",
    "/evil": "absolute path",
    "//evil": "absolute path",
    "/tmp/aetherflow-evil": "absolute path",
    "\\evil": "absolute path",
    "\\\\server\\share\\evil": "absolute path",
    "C:\\evil": "drive letter",
    "c:/evil": "drive letter",
    "C:evil": "drive letter",
    "C:": "drive letter",
    "... /evil": "dots and blanks",
    ".../evil": "dots and blanks",
    ".. /evil": "dots and blanks",
    "a/ /b": "dots and blanks",
    "a\nb": "control character",
    "a\x1b[2Jb": "control character",
    "a\x7fb": "control character",
    "a\u0085b": "control character",
    "x" * 216: "a part of more than",
    "ä" * 120: "a part of more than",
    "/".join(["d" * 100] * 12): "1,024 is the most",
    "/".join(["d"] * 65): "64 is the most",
}
"""Spellings of a way out, and names that people or file systems cannot be trusted with."""


def names() -> Iterator[Case]:
    """Each spelling in a zip and in a tar archive."""
    for number, (name, reason) in enumerate(ESCAPES.items()):
        yield f"name-{number}.zip", zip_of(("good.txt", b"good"), (name, b"evil")), reason
        yield f"name-{number}.tar", tar_of(("good.txt", b"good"), (name, b"evil")), reason
    yield "null.zip", patched(zip_of(("good.txt~.exe", b"x")), b"good.txt~.exe", b"good.txt\0.exe"), "control character"
    yield "no-name.zip", zip_of(("", b"x")), "no name"
    yield "only-a-slash.zip", zip_of(("/", b"")), "absolute path"
    yield "bytes.tar", patched(tar_of(("caf~.txt", b"x")), b"caf~.txt", b"caf\xe9.txt"), "damaged|not valid text"
    odd = zip_of(("caf~.txt", b"x"))
    yield "utf8-flag.zip", _flagged(patched(odd, b"caf~.txt", b"caf\xff.txt")), "damaged"


def _flagged(data: bytes) -> bytes:
    """With the flag that says names are UTF-8, in both headers."""
    return _central(_local(data, 6, struct.pack("<H", 0x800)), 8, struct.pack("<H", 0x800))


def kinds() -> Iterator[Case]:
    """Links, devices, and what pretends to be something else."""
    for kind, name in (
        (stat.S_IFLNK, "symbolic link"), (stat.S_IFCHR, "device"), (stat.S_IFBLK, "device"), (stat.S_IFIFO, "pipe"),
        (stat.S_IFSOCK, "socket"),
    ):  # fmt: skip
        yield f"kind-{kind:o}.zip", zip_of((_info("x", kind | 0o777), b"/etc/passwd")), f"is a {name}"
    yield "link-pair.zip", zip_of((_info("d", stat.S_IFLNK | 0o777), b"/tmp"), ("d/evil", b"x")), "is a symbolic link"
    yield "link-dots.zip", zip_of((_info("d", stat.S_IFLNK | 0o777), b".."), ("d/evil", b"x")), "is a symbolic link"
    for tag, name in (
        (tarfile.SYMTYPE, "symbolic link"), (tarfile.LNKTYPE, "hard link"), (tarfile.CHRTYPE, "device"),
        (tarfile.BLKTYPE, "device"), (tarfile.FIFOTYPE, "pipe"),
    ):  # fmt: skip
        yield f"kind-{tag.decode()}.tar", tar_of((tar_entry("x", tag, "/etc/passwd"), b"")), f"is a {name}"
    yield (
        "link-pair.tar",
        tar_of((tar_entry("d", tarfile.SYMTYPE, "/tmp"), b""), ("d/evil", b"x")),
        "is a symbolic link",
    )
    yield "hard-link.tar", tar_of(("a", b"x"), (tar_entry("b", tarfile.LNKTYPE, "a"), b"")), "is a hard link"
    yield "unknown.tar", tar_of((tar_entry("x", b"Z"), b"")), "unknown type"
    yield "folder-with-content.zip", zip_of(("d/", b"content"), method=zipfile.ZIP_STORED), "a folder with content"


def collisions() -> Iterator[Case]:
    """Members that would overwrite each other."""
    for kind, make in (("zip", zip_of), ("tar", tar_of)):
        make_any: Callable[..., bytes] = make
        yield f"twice.{kind}", make_any(("a", b"1"), ("a", b"2")), "there twice"
        yield f"twice-spelt.{kind}", make_any(("a/b", b"1"), ("a/./b", b"2")), "there twice"
        yield f"twice-slashed.{kind}", make_any(("a/b", b"1"), ("a\\b", b"2")), "there twice"
        yield f"case.{kind}", make_any(("Readme", b"1"), ("README", b"2")), "where case does not count"
        yield f"case-folder.{kind}", make_any(("Data/a", b"1"), ("data/b", b"2")), "where case does not count"
        yield f"sharp-s.{kind}", make_any(("straße", b"1"), ("STRASSE", b"2")), "where case does not count"
        yield f"unicode.{kind}", make_any(("\u00e9", b"1"), ("e\u0301", b"2")), "where case does not count"
        yield f"file-folder.{kind}", make_any(("a", b"1"), ("a/b", b"2")), "as a file and as a folder"
        yield f"folder-file.{kind}", make_any(("a/b", b"1"), ("a", b"2")), "as a file and as a folder"


def bombs() -> Iterator[tuple[str, Callable[[], bytes], str]]:
    """More than one wants on a disk; limits of the tests: 20 MiB, 100 members, ratio 200.

    Each is made where it is needed: all of them would take half a second and a hundred megabytes of every worker.
    """
    total = "more than 20,971,520 bytes"
    yield "ratio.zip", lambda: zip_of(("zeros", bytes(5 * MIB))), "200 times its size"
    yield "ratio-many.zip", lambda: zip_of(*[(f"z{n}", bytes(MIB)) for n in range(10)]), "200 times its size"
    yield "ratio.tar.gz", lambda: gzip.compress(tar_of(("zeros", bytes(5 * MIB)))), "200 times its size"
    yield "total.tar", lambda: tar_of(("zeros", bytes(30 * MIB))), total
    yield "total.zip", lambda: zip_of(("zeros", bytes(30 * MIB)), method=zipfile.ZIP_STORED), total
    yield "total-many.zip", _many, total
    yield "members.zip", lambda: zip_of(*[(f"m{n}", b"") for n in range(101)]), "more than 100 members"
    yield "members.tar", lambda: tar_of(*[(f"m{n}", b"") for n in range(101)]), "more than 100 members"
    yield "pax-header.tar", lambda: _pax_bomb(3 * MIB), "header of more than 1,048,576 bytes"
    yield "overlap.zip", lambda: overlapping(50), "overlaps another one"
    yield "trailing.tar.gz", lambda: gzip.compress(tar_of(("a", b"x")) + bytes(30 * MIB)), "more than padding"


def _many() -> bytes:
    """Members of which none is too large; deflated at level 0, so that the ratio is no matter."""
    return zip_of(*[(f"r{n}", os.urandom(1 << 14) * 192) for n in range(8)], level=0)


def _pax_bomb(size: int) -> bytes:
    """A header of attributes that would be read into memory as a whole."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo("x")
        info.pax_headers = {"comment": "y" * size}
        archive.addfile(info)
    return out.getvalue()


def overlapping(copies: int) -> bytes:
    """One compressed file that many entries of the table share: Fifield's bomb in small."""
    data = zip_of(("f00", bytes(MIB)))
    start = data.index(b"PK\x01\x02")
    end = data.index(b"PK\x05\x06")
    entry = data[start:end]
    table = b"".join(patched(entry, b"f00", b"f%02d" % number) for number in range(copies))
    tail = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, copies, copies, len(table), start, 0)
    return data[:start] + table + tail


def lies() -> Iterator[Case]:
    """Two tables that do not say the same, wrong sizes, cut and broken files."""
    good = zip_of(("member.txt", b"hello hello hello hello"))
    stored = zip_of(("member.txt", b"hello"), method=zipfile.ZIP_STORED)
    yield "size-small.zip", _central(good, 24, struct.pack("<I", 5)), "damaged"
    yield "size-large.zip", _central(good, 24, struct.pack("<I", 999)), "23 bytes but declares 999"
    yield "size-stored.zip", _central(stored, 24, struct.pack("<I", 3)), "declares others"
    yield "packed-large.zip", _central(good, 20, struct.pack("<I", 5000)), "overlaps the table of contents"
    yield "packed-small.zip", _central(good, 20, struct.pack("<I", 3)), "damaged|23 bytes|has 0 bytes|but declares"
    yield "crc.zip", _central(good, 16, b"\0\0\0\0"), "damaged: Bad CRC-32"
    yield "other-name.zip", _local(good, 30, b"MEMBER.txt"), "another name in its own header"
    yield "evil-local-name.zip", _local(good, 30, b"../../evil"), "another name in its own header"
    yield "other-method.zip", _local(good, 8, struct.pack("<H", 0)), "another method in its own header"
    yield "half-encrypted.zip", _local(good, 6, struct.pack("<H", 1)), "one table only"
    yield "no-local.zip", _central(good, 42, struct.pack("<I", 5)), "no header where"
    yield "beyond.zip", _central(good, 42, struct.pack("<I", 0xFFFFFF)), "no header where|overlaps"
    yield "bzip2.zip", zip_of(("a", b"x" * 1000), method=zipfile.ZIP_BZIP2), "method 12, which is not supported"
    yield "lzma.zip", zip_of(("a", b"x" * 1000), method=zipfile.ZIP_LZMA), "method 14, which is not supported"
    yield "cut.zip", good[:-30], "its end is missing|cut off"
    yield "head-only.zip", good[:40], "its end is missing"
    yield "flipped.zip", _flip(zip_of(("a", os.urandom(5000)), method=zipfile.ZIP_STORED), 2000), "Bad CRC-32"
    yield "flipped-deflate.zip", _flip(zip_of(("a", b"abc " * 5000)), 60), "damaged"
    yield "two-disks.zip", _end(good, 4, struct.pack("<H", 1)), "several files"
    yield "table-outside.zip", _end(good, 12, struct.pack("<I", 1 << 30)), "table of contents"
    yield "table-broken.zip", patched(good, b"PK\x01\x02", b"PKXX"), "table of contents is broken"
    yield "encrypted.zip", _central(_local(stored, 6, b"\1\0"), 8, b"\1\0"), "is encrypted"
    yield "nothing.zip", b"", "it is empty"
    yield "text.zip", b"hello, this is no archive" * 50, "no archive that can be read"
    yield from _broken_tars()


def _broken_tars() -> Iterator[Case]:
    good = tar_of(("a", os.urandom(2000)), ("b", b"x" * 3000))
    packed = gzip.compress(good)
    yield "cut.tar", good[:3000], "damaged"
    yield "no-end.tar", good[: 512 + 2048 + 512 + 3072], "its end is missing"
    yield "cut.tar.gz", packed[:-200], "damaged"
    yield "crc.tar.gz", packed[:-8] + b"\0\0\0\0" + packed[-4:], "damaged"
    yield "flipped.tar", _flip(good, 512 + 2048 + 3), "its end is missing|damaged"
    yield "not-tar.tar.gz", gzip.compress(b"hello" * 1000), "damaged"
    yield "negative.tar", _tar_size(good, b"\xff" * 8 + (-512).to_bytes(4, "big", signed=True)), "negative size|damaged"
    yield "huge.tar", _tar_size(good, b"\x80" + b"\0" * 6 + b"\x7f" + b"\xff" * 4), "more than 20,971,520 bytes|damaged"
    long_name = tar_entry("x" * 300, tarfile.REGTYPE)
    named = tar_of((long_name, b""))
    yield "long-header.tar", _tar_size(named, b"%011o\0" % (1 << 30)), "header of more than|damaged"
    yield "sparse.tar", _sparse(), "holes"
    yield "bad.tar.zst", b"\x28\xb5\x2f\xfd" + os.urandom(200), "damaged"


def _tar_size(data: bytes, field: bytes) -> bytes:
    """The first header with another size, and a checksum that fits."""
    header = bytearray(data[:512])
    header[124:136] = field
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + data[512:]


def _sparse() -> bytes:
    info = tar_entry("holes", tarfile.GNUTYPE_SPARSE)
    return tar_of((info, b""))


def _flip(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]


def _end(data: bytes, offset: int, value: bytes) -> bytes:
    at = data.rindex(b"PK\x05\x06") + offset
    return data[:at] + value + data[at + len(value) :]


@functools.cache
def all_cases() -> tuple[tuple[str, Callable[[], bytes], str], ...]:
    """Every archive: its name, what makes its content, a pattern of the reason."""
    small = itertools.chain(names(), kinds(), collisions(), lies())
    made = ((name, functools.partial(bytes, content), reason) for name, content, reason in small)
    return (*made, *bombs())
