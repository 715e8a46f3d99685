"""Unpacks archives: every member is checked, read and counted; files are written to an empty folder."""

import os
from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from aetherflow.core.api import ExtractRules, Unpacked
from aetherflow_builtins_transfer.archives.entries import Member, Opener, Reader
from aetherflow_builtins_transfer.archives.failures import ArchiveError, RefusedMemberError
from aetherflow_builtins_transfer.archives.formats import open_archive
from aetherflow_builtins_transfer.archives.limits import Budget
from aetherflow_builtins_transfer.archives.names import Collisions, shown, target_of

CHUNK_BYTES = 1 << 18
_PRIVATE, _PRIVATE_PROGRAM, _PRIVATE_FOLDER = 0o600, 0o700, 0o700

Tick = Callable[[int], None]
"""Called with the number of bytes done so far; shows progress, and raises if the run is cancelled."""


def no_tick(_: int) -> None:
    """A `Tick` for callers without a progress display."""


def unpack(path: Path, rules: ExtractRules, into: Path | None, tick: Tick = no_tick) -> list[Unpacked]:
    """Unpack an archive into an empty folder, or with `into=None` read all of it and write nothing.

    Raises ArchiveError, with the archive's name and the first reason, if any member breaks a rule or is damaged, even
    an unwanted one. The caller must then delete the files that were already written.
    """
    with refusing(path), open_archive(path, rules.limits, rules.password) as reader:
        _check_declared(reader, rules)
        wanted = MemberSelection(rules.members)
        budget, collisions = Budget(rules.limits, reader.packed), Collisions(allow_case=rules.allow_case_collisions)
        done = []
        for entry, opened in reader.members():
            found = _check(entry, budget, collisions)
            if found is None:
                continue
            if not wanted.has(found.name):
                if reader.declared() is None:  # a sequential archive: its bytes must be read anyway
                    _pour(entry, opened, None, budget, tick)
                continue
            if into is not None:
                _write(into / found.name, entry, opened, budget, tick)
            elif entry.kind == "file":
                _pour(entry, opened, None, budget, tick)
            done.append(found)
        wanted.check()
        return done


def survey(path: Path, rules: ExtractRules, tick: Tick = no_tick) -> list[Unpacked]:
    """The members of an archive, checked by their declarations; a tar archive is read completely for this."""
    with refusing(path), open_archive(path, rules.limits, rules.password) as reader:
        if (entries := reader.declared()) is None:
            return unpack(path, rules, None, tick)
        budget, collisions = Budget(rules.limits, reader.packed), Collisions(allow_case=rules.allow_case_collisions)
        found = [_declared(entry, budget, collisions) for entry in entries]
        return [each for each in found if each is not None]


class refusing:  # noqa: N801 used like a function
    """Context manager that converts RefusedMemberError to an ArchiveError with the archive's name."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, RefusedMemberError):
            fix = error.fix or "ask its sender for another one; nothing of it was put in place"
            raise ArchiveError(f"archive {self._path.name}: {error.reason}", fix=fix) from error


def _check_declared(reader: Reader, rules: ExtractRules) -> None:
    """Check all declarations before the first byte is written, if the archive has a table of contents."""
    if (entries := reader.declared()) is None:
        return
    budget, collisions = Budget(rules.limits, reader.packed), Collisions(allow_case=rules.allow_case_collisions)
    for entry in entries:
        _declared(entry, budget, collisions)


def _declared(entry: Member, budget: Budget, collisions: Collisions) -> Unpacked | None:
    found = _check(entry, budget, collisions)
    budget.spend(entry.name, entry.size)
    return found


def _check(entry: Member, budget: Budget, collisions: Collisions) -> Unpacked | None:
    """Check a member's declaration and return its target, None for the destination itself; RefusedMemberError."""
    budget.member()
    target = target_of(entry.name)
    if entry.kind not in ("file", "folder"):
        raise RefusedMemberError(f"member {shown(entry.name)} is a {entry.kind}", "only files and folders are unpacked")
    budget.declared(entry.name, entry.size, entry.packed)
    is_dir = entry.kind == "folder"
    if target is None:
        if not is_dir:
            raise RefusedMemberError(f"member {shown(entry.name)} is a file without a name")
        return None
    collisions.add(target, is_dir=is_dir)
    return Unpacked(target, entry.size, is_dir, entry.encrypted, entry.packed)


def private_mode(*, is_dir: bool, executable: bool) -> int:
    """The mode of what is unpacked, whatever the archive says."""
    return _PRIVATE_FOLDER if is_dir else _PRIVATE_PROGRAM if executable else _PRIVATE


def _write(target: Path, entry: Member, opened: Opener, budget: Budget, tick: Tick) -> None:
    if entry.kind == "folder":
        target.mkdir(mode=_PRIVATE_FOLDER, parents=True, exist_ok=True)
        return
    target.parent.mkdir(mode=_PRIVATE_FOLDER, parents=True, exist_ok=True)
    mode = private_mode(is_dir=False, executable=entry.executable)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    with os.fdopen(os.open(target, flags, mode), "wb") as file:
        _pour(entry, opened, file, budget, tick)


def _pour(entry: Member, opened: Opener, file: BinaryIO | None, budget: Budget, tick: Tick) -> None:
    """Read a member to its end, write it to `file` if given, and check its real size against the declared one."""
    size = 0
    with opened() as content:
        for chunk in _chunks(content, entry):
            size += len(chunk)
            budget.spend(entry.name, len(chunk))
            if file is not None:
                file.write(chunk)
            tick(budget.total)
    if size != entry.size:
        raise RefusedMemberError(f"member {shown(entry.name)} has {size:,} bytes but declares {entry.size:,}")


def _chunks(content: BinaryIO, entry: Member) -> Iterator[bytes]:
    from aetherflow_builtins_transfer.archives.zip_read import damage

    try:
        with damage():
            while chunk := content.read(CHUNK_BYTES):
                yield chunk
    except RefusedMemberError as error:
        if not entry.encrypted:
            raise
        raise RefusedMemberError(
            f"member {shown(entry.name)} cannot be decrypted", "check the password; if it is right, the archive is not"
        ) from error


class MemberSelection:
    """Selects members by names and patterns."""

    def __init__(self, patterns: Sequence[str] | None) -> None:
        self._patterns = patterns
        self._missed = set(patterns or ())

    def has(self, name: PurePosixPath) -> bool:
        if self._patterns is None:
            return True
        path = name.as_posix()
        found = [each for each in self._patterns if path == each.strip("/") or fnmatchcase(path, each)]
        found += [each for each in self._patterns if path.startswith(f"{each.strip('/')}/")]
        self._missed -= set(found)
        return bool(found)

    def check(self) -> None:
        """RefusedMemberError if a name or pattern has selected no member."""
        if self._missed:
            names = ", ".join(sorted(self._missed))
            raise RefusedMemberError(f"no member is called {names}", "archive_list shows the names")
