"""The positions of the keys and values of a document."""

from typing import NamedTuple

from aetherflow.core.base.location import DocPath, Location


class Mark(NamedTuple):
    """Position in a document, counted from 1."""

    line: int
    column: int


class SourceMap:
    """Positions of a document's keys and values, by path; an unknown path falls back to its nearest parent."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.values: dict[DocPath, Mark] = {}
        self.keys: dict[DocPath, Mark] = {}
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

    def _find(self, marks: dict[DocPath, Mark], path: DocPath) -> Location:
        if path in marks:
            return Location(self.file, *marks[path])
        while path:
            path = path[:-1]
            if path in self.values:
                return Location(self.file, *self.values[path])
        return Location(self.file)
