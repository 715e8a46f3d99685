"""Reads the files of an import, and writes its result whole or not at all."""

import sys
from pathlib import Path

from aetherflow.core.api import UsageError
from aetherflow.core.embedding import durable

MOST = 4 << 20
"""Bytes of a file that are read; crontabs and units have thousands."""


def read_file(path: Path) -> bytes:
    """The bytes of a file; `-` is standard input. Raises UsageError for one that cannot be read, or is too long."""
    try:
        if str(path) == "-":
            data = sys.stdin.buffer.read(MOST + 1)
        else:
            with path.open("rb") as file:
                data = file.read(MOST + 1)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", fix="name a file that is there") from None
    if len(data) > MOST:
        raise UsageError(f"{path} is longer than {MOST >> 20} MiB", fix="name a crontab, or a unit of systemd")
    return data


def write_document(text: str, path: Path) -> None:
    """Write a document to a new file. Raises UsageError if one is there: it may have been changed by hand since."""
    if path.exists() or path.is_symlink():
        raise UsageError(f"{path} exists and is left as it is", fix="name another file, or remove it")
    durable.make_dir(path.absolute().parent, mode=durable.SOURCE_FOLDER_MODE)
    durable.write_bytes(path.absolute(), text.encode(), mode=durable.SOURCE_FILE_MODE)
