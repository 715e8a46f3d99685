"""Matching files by patterns: `*`, `?`, `[a-z]` within a name, `**` for any folders.

The rules are those of a shell: a name that begins with a dot matches only a pattern that begins with a dot, and `**`
does not enter such a folder. Links are neither listed nor followed, so no pattern leads out of its folder.
"""

import fnmatch
import os
import re
import stat
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from aetherflow.core.api import StepError, StepInputError

WILDCARDS = frozenset("*?[")
ANY_FOLDERS = "**"


class MatchedFile(NamedTuple):
    """A regular file; `rel` is its path below the folder that was searched."""

    path: Path
    rel: str
    size: int
    mtime_ns: int
    inode: int


def has_wildcard(text: str) -> bool:
    """True for a pattern, false for a plain path."""
    return bool(WILDCARDS & set(text))


def split_pattern(text: str) -> tuple[str, str]:
    """The folder to search, and the pattern below it; `*.csv` has no folder."""
    parts = Path(text).parts
    plain = next((index for index, part in enumerate(parts) if has_wildcard(part)), len(parts))
    return str(Path(*parts[:plain])) if plain else ".", str(Path(*parts[plain:]))


class Pattern:
    """One pattern, matched name by name on the way down."""

    def __init__(self, text: str) -> None:
        parts = [part for part in text.split("/") if part not in ("", ".")]
        if not parts or text.startswith("/") or ".." in parts:
            raise StepInputError(f"not a pattern below the folder: {text!r}", fix="write it relative, without '..'")
        self._parts = parts

    @property
    def start(self) -> frozenset[int]:
        """The matching state at the folder that is searched."""
        return self._closed({0})

    def enter(self, state: frozenset[int], name: str) -> frozenset[int]:
        """The state after entering a folder; empty if nothing below it can match."""
        found = set()
        for index in state:
            if index == len(self._parts):
                continue
            if self._parts[index] == ANY_FOLDERS:
                if not name.startswith("."):
                    found.add(index)
            elif _fits(name, self._parts[index]):
                found.add(index + 1)
        return self._closed(found)

    def means(self, state: frozenset[int], name: str) -> bool:
        """Whether a file of this name, in a folder that was entered in this state, is a match."""
        for index in state:
            rest = self._parts[index:]
            if rest and all(part == ANY_FOLDERS for part in rest):
                found = not name.startswith(".")
            else:
                found = len(rest) == 1 and _fits(name, rest[0])
            if found:
                return True
        return False

    def _closed(self, state: set[int]) -> frozenset[int]:
        for index in sorted(state):
            while index < len(self._parts) and self._parts[index] == ANY_FOLDERS:
                index += 1
                state.add(index)
        return frozenset(state)


class Excluded:
    """Exclusion patterns: one with a slash is matched against the whole path, else against each name in it."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._names = [_expression(text) for text in texts if "/" not in text]
        self._paths = [_expression(text) for text in texts if "/" in text]

    def __call__(self, name: str, rel: str) -> bool:
        """Whether the file or folder is left out."""
        return any(each.match(name) for each in self._names) or any(each.match(rel) for each in self._paths)


def find(folder: Path, patterns: Sequence[str], exclude: Sequence[str] = ()) -> Iterator[MatchedFile]:
    """Every regular file below `folder` that matches a pattern and no exclusion, in no order.

    Raises StepError for a file whose name is not UTF-8, StepInputError for an invalid pattern, OSError.
    """
    wanted = [Pattern(text) for text in patterns]
    yield from _walk(folder, "", wanted, [each.start for each in wanted], Excluded(exclude))


def _walk(
    folder: Path, rel: str, wanted: list[Pattern], states: list[frozenset[int]], excluded: Excluded
) -> Iterator[MatchedFile]:
    with os.scandir(folder) as entries:
        listed = list(entries)
    for entry in listed:
        here = f"{rel}{entry.name}"
        if excluded(entry.name, here) or _is_ours(entry.name):
            continue
        if entry.is_dir(follow_symlinks=False):
            below = [each.enter(state, entry.name) for each, state in zip(wanted, states, strict=True)]
            if any(below):
                yield from _walk(Path(entry.path), f"{here}/", wanted, below, excluded)
            continue
        meant = any(each.means(state, entry.name) for each, state in zip(wanted, states, strict=True))
        if meant and (found := look(Path(entry.path), here)) is not None:
            yield found


def is_meant(rel: str, patterns: Sequence[str], exclude: Sequence[str] = ()) -> bool:
    """Whether `find` would list a file of this path below the folder."""
    *folders, name = rel.split("/")
    excluded = Excluded(exclude)
    if any(excluded(part, "/".join((*folders, name)[: index + 1])) for index, part in enumerate((*folders, name))):
        return False
    for pattern in map(Pattern, patterns):
        state = pattern.start
        for folder in folders:
            state = pattern.enter(state, folder)
        if pattern.means(state, name):
            return True
    return False


def look(path: Path, rel: str) -> MatchedFile | None:
    """The current facts of a file; None if it does not exist or is not a regular file."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(status.st_mode):
        return None
    try:
        rel.encode()
    except UnicodeEncodeError:
        message = f"the name of a file is not UTF-8: {os.fsencode(path.name)!r} in {path.parent}"
        raise StepError(message, fix="rename it, or leave it out by a pattern in `exclude`") from None
    return MatchedFile(path, rel, status.st_size, status.st_mtime_ns, status.st_ino)


def _is_ours(name: str) -> bool:
    return name.startswith(".aetherflow-") and name.endswith(".part")  # an unfinished write


def _fits(name: str, pattern: str) -> bool:
    if name.startswith(".") and not pattern.startswith("."):
        return False
    return _expression(pattern).match(name) is not None


@lru_cache(maxsize=256)
def _expression(pattern: str) -> re.Pattern[str]:
    return re.compile(fnmatch.translate(pattern))
