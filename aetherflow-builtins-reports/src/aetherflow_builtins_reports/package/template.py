"""An open template: its workbook, its styles, and readers of its sheets."""

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from types import TracebackType
from typing import Self

from aetherflow_builtins_reports.package.archive import Archive
from aetherflow_builtins_reports.package.markup import MarkupError
from aetherflow_builtins_reports.package.refs import MAX_ROW
from aetherflow_builtins_reports.package.shared_strings import read_shared_strings
from aetherflow_builtins_reports.package.sheet_stream import Event, Row, SheetStream
from aetherflow_builtins_reports.package.styles import Styles
from aetherflow_builtins_reports.package.workbook import Sheet, Workbook

_NO_STYLES = (
    b'<styleSheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><fonts count="1"><font/></fonts>'
    b'<fills count="2"><fill><patternFill patternType="none"/></fill><fill><patternFill patternType="gray125"/></fill>'
    b'</fills><borders count="1"><border/></borders><cellStyleXfs count="1"><xf/></cellStyleXfs>'
    b'<cellXfs count="1"><xf numFmtId="0" fontId="0" fillId="0" borderId="0" xfId="0"/></cellXfs></styleSheet>'
)


class Template:
    def __init__(self, source: Path | BytesIO, name: str = "") -> None:
        self.archive = Archive(source, name)
        try:
            self.workbook = Workbook(self.archive)
            self.styles_part = self._related("styles")
            data = self.archive.read(self.styles_part) if self.styles_part else _NO_STYLES
            self.styles = Styles(data, self.archive.name)
        except BaseException:
            self.archive.close()
            raise
        self.strings_part = self._related("sharedStrings")

    def _related(self, kind: str) -> str | None:
        found = [relation.target for relation in self.workbook.relations if relation.kind == kind]
        return found[0] if found and found[0] in self.archive else None

    def is_new(self, sheet: Sheet) -> bool:
        """Whether the sheet was added by the fill and is not in the template."""
        return sheet.part not in self.archive

    def events(self, sheet: Sheet, detail_from: int = MAX_ROW + 1) -> tuple[SheetStream, Iterator[Event]]:
        """A reader of a sheet, and its events; rows from `detail_from` on have `cells`. Raises WorkbookError."""
        stream = SheetStream(self.archive.stream(sheet.part), detail_from)
        return stream, self._guarded(stream, sheet)

    def _guarded(self, stream: SheetStream, sheet: Sheet) -> Iterator[Event]:
        try:
            yield from stream.events()
        except MarkupError as error:
            raise self.archive.error(f"cannot be read: sheet {sheet.name!r}: {error}") from error

    def rows(self, sheet: Sheet, detail_from: int = 1) -> Iterator[Row]:
        """Yield the rows of a sheet; a new sheet has none."""
        if not self.is_new(sheet):
            yield from (event for event in self.events(sheet, detail_from)[1] if isinstance(event, Row))

    def shared_strings(self) -> Iterator[str]:
        """Yield the shared strings, which cells refer to by index; WorkbookError if they cannot be read."""
        if self.strings_part is None:
            return
        try:
            yield from read_shared_strings(self.archive.stream(self.strings_part))
        except MarkupError as error:
            raise self.archive.error(f"cannot be read: its texts: {error}") from error

    def close(self) -> None:
        self.archive.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file; an error about its markup, wherever it was noticed, is one of the workbook."""
        self.close()
        if isinstance(error, MarkupError):
            raise self.archive.error(f"cannot be read: {error}") from error
