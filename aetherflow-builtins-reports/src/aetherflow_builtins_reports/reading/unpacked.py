"""Unpacks one sheet of .xlsx and .xlsm: the reading library goes through it once then, and its text can be searched."""

import contextlib
import re
import tempfile
import zipfile
from collections.abc import Iterator
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import NamedTuple

from aetherflow_builtins_reports.errors import WorkbookError
from aetherflow_builtins_reports.package.archive import Archive
from aetherflow_builtins_reports.package.relations import rels_part
from aetherflow_builtins_reports.package.workbook import Workbook

_ROWS = re.compile(rb"<(?:[\w.-]+:)?sheetData\b")
_MERGED = b"<mergeCells></mergeCells>"
"""In front of the rows: the library looks for the list of merged cells, which comes behind them, by a second pass."""
_HEAD_BYTES = 1 << 20
_OTHER_SHEETS = frozenset({"worksheet", "chartsheet", "dialogsheet", "xlMacrosheet", "xlIntlMacrosheet"})


class UnpackedSheet(NamedTuple):
    """A workbook of this sheet alone; its part is between `start` and `end` of `content`."""

    path: str
    content: mmap
    start: int
    end: int
    date1904: bool


@contextlib.contextmanager
def unpacked_sheet(archive: Archive, name: str | None, folder: Path) -> Iterator[UnpackedSheet | None]:
    """The sheet of that name, the first one for None, in an unnamed file in `folder`; None for other formats."""
    try:
        book = Workbook(archive)
        first = next((sheet.name for sheet in book.sheets if sheet.index == 0), "")
        part = book.sheet(first if name is None else name).part
    except WorkbookError:
        yield None
        return
    others = {
        relation.target for relation in book.relations if not relation.external and relation.kind not in _OTHER_SHEETS
    }
    wanted = [rels_part(""), rels_part(book.part), book.part, *sorted(others)]
    with tempfile.TemporaryFile(dir=folder) as file:
        with zipfile.ZipFile(file, "w") as copy:
            for each in wanted:
                if each in archive:
                    _write(copy, archive.info(each).filename, archive.stream(each))
            _write(copy, archive.info(part).filename, _with_merged(archive.stream(part)))
            end = copy.start_dir
            start = end - copy.infolist()[-1].file_size
        file.flush()
        with mmap(file.fileno(), 0, access=ACCESS_READ) as content:
            yield UnpackedSheet(f"/dev/fd/{file.fileno()}", content, start, end, book.date1904)


def _write(copy: zipfile.ZipFile, name: str, blocks: Iterator[bytes]) -> None:
    with copy.open(name, "w", force_zip64=True) as part:
        for block in blocks:
            part.write(block)


def _with_merged(blocks: Iterator[bytes]) -> Iterator[bytes]:
    head = b""
    for block in blocks:
        head += block
        if found := _ROWS.search(head):
            head = head[: found.start()] + _MERGED + head[found.start() :]
        if found or len(head) > _HEAD_BYTES:
            break
    yield head
    yield from blocks
