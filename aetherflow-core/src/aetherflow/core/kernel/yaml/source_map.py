"""The positions of the keys and values of a document."""

from typing import Any

from aetherflow.core.base.location import DocPath, Location


class SourceMap:
    """Positions of a document's keys and values, by path; an unknown path falls back to its nearest parent."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.values: dict[DocPath, Any] = {}
        """The parser's own marks, which count from 0: of thousands of positions hardly any is ever read."""
        self.keys: dict[DocPath, Any] = {}
        self.words: dict[DocPath, str] = {}
        """Written form of booleans other than `true` and `false`, and of nulls that are written in lists."""
        self.texts: dict[DocPath, str] = {}
        """Text of the numbers, booleans and nulls that text fields took; filled when the document is bound."""

    def value(self, path: DocPath) -> Location:
        """Location of the value at `path`."""
        return self._find(self.values, path)

    def key(self, path: DocPath) -> Location:
        """Location of the key at `path`; for a list item, which has no key, that of its value."""
        return self._find(self.keys, path) if path in self.keys else self.value(path)

    def _find(self, marks: dict[DocPath, Any], path: DocPath) -> Location:
        while (mark := marks.get(path)) is None and path:
            path, marks = path[:-1], self.values
        return Location(self.file) if mark is None else Location(self.file, mark.line + 1, mark.column + 1)
