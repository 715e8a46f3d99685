"""Control files beside a file, which hold its SHA-256 or its number of rows."""

import hashlib
from pathlib import Path
from typing import BinaryIO

from aetherflow.core.api import ResumableWriter, open_file
from aetherflow_builtins_transfer.moving.files import Files
from aetherflow_builtins_transfer.records import ControlFile

MOST_BYTES = 64 * 1024


def sha256_of(path: Path) -> str:
    """SHA-256 of a local file, in hexadecimal."""
    with open_file(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def rows_of(file: BinaryIO, header_rows: int) -> int:
    """Number of lines without the header; a last line without a line end counts."""
    lines, last = 0, b"\n"
    while chunk := file.read(1 << 20):
        lines += chunk.count(b"\n")
        last = chunk[-1:]
    return max(0, lines + (last != b"\n") - header_rows)


def control_text(control: ControlFile, local: Path, name: str, sha256: str, header_rows: int) -> bytes:
    """The content of a control file: as sha256sum writes it, or the number of rows."""
    if control == "sha256":
        return f"{sha256}  {name}\n".encode()
    with open_file(local) as file:
        return f"{rows_of(file, header_rows)}\n".encode()


def check_control(control: ControlFile, peer: Files, path: str, arrived: ResumableWriter, header_rows: int) -> None:
    """Compare a downloaded file with its control file; RemoteError if that is missing, unreadable or different."""
    side = f"{path}.{control}"
    found = peer.stat(side)
    if found.is_dir or (found.size or 0) > MOST_BYTES:
        raise peer.error("other", f"{side} is no control file", "leave `control_files` out, or ask the sender for it")
    words = peer.read_bytes(side).decode("utf-8", "replace").split()
    expected = words[0].lower() if words else ""
    actual = arrived.sha256
    if control == "rows":
        with arrived.reader() as file:
            actual = str(rows_of(file, header_rows))
    if expected != actual:
        raise peer.error(
            "other",
            f"{path} does not match {side}: {control} {actual} instead of {expected or 'nothing'}",
            "ask the sender; the file was not kept",
        )
