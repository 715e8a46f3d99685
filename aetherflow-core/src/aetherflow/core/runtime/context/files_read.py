"""Note the files that an attempt was given to read, and the programs that it started, to compare runs later.

A step doesn't wait for this: it only opens each file, which stays what it was even if the step moves or deletes it.
Files up to SMALL_BYTES are read at once and hashed after the step, larger ones are hashed at the same time by a thread.
"""

import hashlib
import os
import stat
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

HASHED_BYTES = 16 << 20
"""Of longer files only the size is noted: reading them twice would cost more than it tells."""
SMALL_BYTES = 64 << 10
MOST_FILES = 100
"""Of one attempt; what else it reads is not noted."""
_CHUNK, _TEXT_PROBE = 1 << 20, 4096
_File = tuple[str, tuple[int, ...]]
"""Path of a file, and what is another one as soon as it is exchanged."""
_known_programs: dict[_File, dict[str, Any]] = {}
"""Facts of the programs that this process has hashed."""


class FilesRead:
    """What one attempt has read and started. `facts` waits for the hashes."""

    def __init__(self, hurry: Callable[[], bool]) -> None:
        """`hurry` tells whether the attempt is being ended by force: files that aren't hashed yet are noted by size."""
        self._hurry = hurry
        self._files: dict[str, dict[str, Any]] = {}
        self._programs: dict[str, tuple[_File, dict[str, Any]]] = {}
        self._small: list[tuple[dict[str, Any], bytes]] = []
        self._large: deque[tuple[dict[str, Any], int, os.stat_result]] = deque()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def note(self, path: Path) -> None:
        """Note a file that the attempt reads, as it is now; one that can't be read is left to the step."""
        name = str(path)
        if len(self._files) < MOST_FILES and name not in self._files and (found := self._opened(path)) is not None:
            self._files[name] = found

    def note_program(self, word: str, path: Path) -> None:
        """Note a program, or a script, by the word of the command that names it."""
        if len(self._programs) == MOST_FILES or word in self._programs:
            return
        try:
            key = str(path), _identity(path.stat())
        except OSError:
            return
        if (found := _known_programs.get(key) or self._opened(path, program=True)) is not None:
            self._programs[word] = key, found

    def facts(self) -> dict[str, dict[str, Any]]:
        """Size, sha256, number of lines and sha256 of the first line by path; and of programs by the word."""
        small, self._small = self._small, []
        for found, data in small:
            found |= _Digest(data).facts()
        while (thread := self._thread) is not None:
            thread.join(0.05)
            if self._hurry() or not thread.is_alive():
                with self._lock:
                    while self._large:
                        os.close(self._large.popleft()[1])
                break
        _known_programs.update({key: found for key, found in self._programs.values() if "sha256" in found})
        if not self._files and not self._programs:
            return {}
        files = {name: dict(found) for name, found in self._files.items()}
        programs = {word: dict(found) for word, (_, found) in self._programs.items()}
        return {"files": files, **({"programs": programs} if programs else {})}

    def _opened(self, path: Path, *, program: bool = False) -> dict[str, Any] | None:
        """The facts of a file; those that need its content are added later. None if it can't be read."""
        try:
            if not stat.S_ISREG(path.stat().st_mode):
                return None
            file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError:  # the step says so
            return None
        keep = False
        try:
            before = os.fstat(file)
            found: dict[str, Any] = {"path": str(path)} if program else {}
            found["size"] = before.st_size
            if before.st_size <= SMALL_BYTES:
                data = _read(file, SMALL_BYTES + 1)
                if len(data) == before.st_size:
                    self._small.append((found, data))
                else:
                    found["changed"] = True
            elif before.st_size <= HASHED_BYTES:
                keep = True
                self._hash_later(found, file, before)
        except OSError:
            return None
        finally:
            if not keep:
                os.close(file)
        return found

    def _hash_later(self, found: dict[str, Any], file: int, before: os.stat_result) -> None:
        with self._lock:
            self._large.append((found, file, before))
            if self._thread is None:
                self._thread = threading.Thread(target=self._hash_all, name="hash", daemon=True)
                self._thread.start()

    def _hash_all(self) -> None:
        while True:
            with self._lock:
                if not self._large:
                    self._thread = None
                    return
                found, file, before = self._large.popleft()
            try:
                digest, left = _Digest(), before.st_size
                while left and (data := os.read(file, min(left, _CHUNK))):  # a file may grow faster than it is read
                    digest.add(data)
                    left -= len(data)
                same = _content(os.fstat(file)) == _content(before)
                found |= digest.facts() if same else {"changed": True}
            except OSError:  # its size is known
                pass
            finally:
                os.close(file)


class _Digest:
    """Hash, lines and first line of what was added."""

    def __init__(self, data: bytes = b"") -> None:
        self._hash = hashlib.sha256()
        self._start = b""
        self._head: list[bytes] | None = []
        self._first: bytes | None = None
        self._lines, self._last = 0, b""
        if data:
            self.add(data)

    def add(self, data: bytes) -> None:
        """Add the next part of the content."""
        self._hash.update(data)
        if len(self._start) < _TEXT_PROBE:
            self._start += data[: _TEXT_PROBE - len(self._start)]
        if self._first is None and self._head is not None:
            part, end, _ = data.partition(b"\n")
            self._head.append(part)
            if end:
                self._first, self._head = b"".join(self._head), None
        self._lines += data.count(b"\n")
        self._last = data[-1:]

    def facts(self) -> dict[str, Any]:
        """Facts of the content; lines only of a text."""
        found: dict[str, Any] = {"sha256": self._hash.hexdigest()}
        if b"\0" not in self._start:
            first = self._first if self._first is not None else b"".join(self._head or ())
            found["lines"] = self._lines + (self._last not in (b"", b"\n"))
            found["head"] = hashlib.sha256(first.strip()).hexdigest()[:16]
        return found


def content_hash(path: Path) -> str | None:
    """The sha256 of a file as `facts` has it; None if it is too long or can't be read."""
    try:
        if path.stat().st_size > HASHED_BYTES:
            return None
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


def _read(file: int, most: int) -> bytes:
    parts, left = [], most
    while left and (data := os.read(file, left)):
        parts.append(data)
        left -= len(data)
    return b"".join(parts)


def _identity(found: os.stat_result) -> tuple[int, ...]:
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _content(found: os.stat_result) -> tuple[int, int]:
    return found.st_size, found.st_mtime_ns
