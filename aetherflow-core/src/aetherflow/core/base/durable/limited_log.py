"""A log of limited size, for what programs print."""

import os
from io import FileIO
from pathlib import Path

from aetherflow.core.base.durable.places import FOLDER_MODE, Folder

NOTE = "[... {lines:,} lines, {size:,} bytes left out ...]\n"
NOTE_ROOM = 200
"""More bytes than the note ever has."""
CHUNK = 1 << 20


class LimitedLog:
    """A log whose middle is left out once it is longer than `limit` bytes: the first half stays, and the last eighth.

    A line in between says how much is missing. It is one file at any time. Room is made by copying what is kept of the
    end to behind the first half; the two places do not overlap, and the old one is given up last: a kill at any time
    leaves the last lines.
    """

    def __init__(self, path: Path, limit: int) -> None:
        with Folder(path.parent, mode=FOLDER_MODE) as folder:
            self._file = FileIO(folder.open(path.name, os.O_RDWR | os.O_CREAT), "r+")
        self._limit = limit
        self._size = self._file.seek(0, os.SEEK_END)
        self._head = self._begin = 0
        """Where the first half ends, and where what can be left out begins: behind the note."""
        self._lines = self._bytes = 0

    def write(self, data: bytes) -> None:
        """Append lines, each with its end; beyond the limit lines in the middle go. Raises OSError."""
        view = memoryview(data)
        while view:  # a write may be partial, on a disk that is nearly full
            done = self._file.write(view) or 0
            self._size += done
            view = view[done:]
        if self._size > self._limit:
            self._leave_out()

    def close(self) -> None:
        """Close the file; nothing may be written after that."""
        self._file.close()

    def _leave_out(self) -> None:
        if not self._head:
            self._head = self._begin = self._line_end(self._limit // 2)
        kept = self._line_end(max(self._begin, self._size - self._limit * 3 // 16 + NOTE_ROOM))
        self._lines += self._count_lines(self._begin, kept)
        self._bytes += kept - self._begin
        note = NOTE.format(lines=self._lines, size=self._bytes).encode()
        self._put(self._head, note)
        to = self._begin = self._head + len(note)
        while kept < self._size:
            data = os.pread(self._file.fileno(), min(CHUNK, self._size - kept), kept)
            self._put(to, data)
            to, kept = to + len(data), kept + len(data)
        self._file.truncate(to)
        self._size = self._file.seek(to)

    def _put(self, at: int, data: bytes) -> None:
        while data:
            done = os.pwrite(self._file.fileno(), data, at)
            at, data = at + done, data[done:]

    def _line_end(self, at: int) -> int:
        """The end of the line at this place; the place itself in a line that is too long."""
        found = os.pread(self._file.fileno(), self._limit // 16, at - 1).find(b"\n")
        return at + found if found >= 0 else at

    def _count_lines(self, begin: int, end: int) -> int:
        found = 0
        while begin < end:
            data = os.pread(self._file.fileno(), min(CHUNK, end - begin), begin)
            found += data.count(b"\n")
            begin += len(data) or end
        return found
