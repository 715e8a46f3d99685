"""Locations in documents: file position `flow.yaml:12:9`, and document path `jobs[1].steps[0].inputs.sql`."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

DocPath = tuple[str | int, ...]
"""Keys and list indexes from the root of a document to a value."""


class Location(NamedTuple):
    """A place in a file; line and column count from 1, the column in characters."""

    file: str
    line: int = 1
    column: int = 1

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


def absolute(path: Path) -> Path:
    """The absolute path without `..`; with it, if it leads elsewhere without, behind a symbolic link."""
    found = path.absolute()
    if ".." not in found.parts:
        return found
    short = Path(os.path.normpath(found))
    try:
        return short if short.parent.samefile(found.parent) else found
    except OSError:
        return found


def format_path(path: Sequence[str | int]) -> str:
    """Write a document path as `jobs[1].steps[0].inputs.q`; the root is `<root>`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text or "<root>"
