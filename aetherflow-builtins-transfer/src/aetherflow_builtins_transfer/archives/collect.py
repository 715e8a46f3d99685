"""Collects the files for an archive, and their names in it."""

import os
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from aetherflow.core.api import ArchiveInput, RunContext, StepError, StepInputError
from aetherflow_builtins_transfer.archives.failures import RefusedMemberError
from aetherflow_builtins_transfer.archives.names import target_of

_WILD = re.compile(r"[*?\[]")
_UNFINISHED = re.compile(r"\.aetherflow-.*\.part\Z")


@dataclass
class Collection:
    """The files that the items of a step select."""

    sources: list[ArchiveInput] = field(default_factory=list)
    total: int = 0
    missing: list[str] = field(default_factory=list)
    """Items that select no file."""


def collect(
    ctx: RunContext,
    items: Sequence[str],
    src_dir: str | None,
    *,
    recursive: bool = True,
    exclude: Sequence[str] = (),
    leave_out: Path | None = None,
) -> Collection:
    """The files and empty folders that items select: paths, folders, patterns with `*`, `?`, `[…]` and `**`.

    `leave_out` is the archive itself, which may be among them. Names are relative to `src_dir`; StepInputError for a
    file outside it, PathError for links and for files outside the allowed folders.
    """
    base = ctx.read_path(src_dir) if src_dir else ctx.artifacts_dir(ctx.job_id).resolve()
    walk = _Walk(ctx, base, recursive, exclude, leave_out)
    found = Collection()
    for item in items:
        before = len(walk.found)
        seen = sum(walk.add(path) for path in _paths(ctx, item))
        if not seen and len(walk.found) == before:
            found.missing.append(item)
    found.sources = [walk.found[name] for name in sorted(walk.found, key=lambda name: name.encode(errors="replace"))]
    found.total = walk.total
    return found


def _paths(ctx: RunContext, item: str) -> list[Path]:
    """The paths that an item selects; its part before the first wildcard must be inside the allowed folders."""
    if not _WILD.search(item) or Path(ctx.artifacts_dir(ctx.job_id), item).exists():
        path = ctx.read_path(item)
        return [path] if path.exists() else []
    parts = Path(item).parts
    first = next(number for number, part in enumerate(parts) if _WILD.search(part))
    folder = ctx.read_path(str(Path(*parts[:first]))) if first else ctx.artifacts_dir(ctx.job_id).resolve()
    pattern = str(Path(*parts[first:]))
    return sorted(folder.glob(pattern)) if folder.is_dir() else []


class _Walk:
    def __init__(
        self, ctx: RunContext, base: Path, recursive: bool, exclude: Sequence[str], leave_out: Path | None
    ) -> None:
        self._ctx = ctx
        self._base = base
        self._recursive = recursive
        self._exclude = exclude
        self._leave_out = leave_out
        self.found: dict[str, ArchiveInput] = {}
        self.total = 0

    def add(self, path: Path) -> int:
        """Add a file, or a folder and its content; return the number of entries, including known ones."""
        self._ctx.check_cancelled()
        if path == self._leave_out or _UNFINISHED.match(path.name):
            return 0
        path = self._ctx.read_path(str(path))  # refuses links, which may lead anywhere
        if path.is_dir():
            return self._folder(path)
        name = self._name(path)
        if self._excluded(name):
            return 1
        facts = path.stat()
        if not stat.S_ISREG(facts.st_mode):
            raise StepError(f"{path} is neither a file nor a folder", fix="leave it out by `exclude`")
        if name not in self.found:
            self.found[name] = ArchiveInput(str(path), name)
            self.total += facts.st_size
        return 1

    def _folder(self, path: Path) -> int:
        name = "" if path == self._base else self._name(path)
        if name and self._excluded(name):
            return 1
        with os.scandir(path) as listing:
            entries = sorted(listing, key=lambda entry: os.fsencode(entry.name))
        inside = [entry for entry in entries if self._recursive or not entry.is_dir(follow_symlinks=False)]
        seen = sum(self.add(Path(entry.path)) for entry in inside)
        if name and not entries:
            self.found.setdefault(name, ArchiveInput(str(path), name, is_dir=True))
            return 1
        return seen

    def _name(self, path: Path) -> str:
        if not path.is_relative_to(self._base):
            raise StepInputError(
                f"{path} does not lie under src_dir ({self._base})", fix="set src_dir to a folder above all items"
            )
        name = path.relative_to(self._base).as_posix()
        try:
            target_of(name)
        except RefusedMemberError as error:
            raise StepError(f"{error.reason}, which nobody could unpack", fix="rename it") from error
        return name

    def _excluded(self, name: str) -> bool:
        last = name.rpartition("/")[2]
        return any(fnmatchcase(name, each) or fnmatchcase(last, each) for each in self._exclude)
