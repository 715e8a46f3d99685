"""The check of the path sandbox: a path must be inside one of the allowed roots."""

import os
import re
import stat
from collections.abc import Sequence
from pathlib import Path

from aetherflow.core.base.errors import PathError

_FOLDER_NAME = r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}"
FOLDER_FIX = "use letters, digits, '.', '_' and '-', not starting with '.' or '-', at most 128 characters"


def is_folder_name(name: str) -> bool:
    """True for a plain folder name, which cannot lead out of its parent."""
    return bool(re.fullmatch(_FOLDER_NAME, name))


def inside(path: str | Path, base: Path, roots: Sequence[Path] | None) -> Path:
    """The absolute form of `path`, resolved against `base` if it is relative, without `..`.

    Raises PathError if the result is outside every root, if the path goes through a link below a root, or if it is not
    a valid path. With `roots` None every valid path is accepted, and links are followed.
    """
    text = str(path)
    if not text or "\0" in text:
        raise PathError(f"not a usable path: {text!r}")
    try:
        found = (base / text).resolve()
        if roots is None:
            return found
        real = [root.resolve() for root in roots]
        if not any(found.is_relative_to(root) for root in real):
            allowed = ", ".join(dict.fromkeys(map(str, roots)))
            raise PathError(f"path is outside the allowed folders: {text}", fix=f"keep it under one of: {allowed}")
        if (link := _link_below(base / text, [*roots, *real])) is not None:
            raise PathError(f"path contains a symbolic link (sandbox blocked): {link}", fix="name the file itself")
    except (OSError, RuntimeError, ValueError) as error:
        if isinstance(error, PathError):
            raise
        raise PathError(f"not a usable path: {text!r}: {error}") from error
    return found


def _link_below(path: Path, roots: Sequence[Path]) -> Path | None:
    """The first link on the way to `path` that is below a root; links above a root are allowed."""
    here = path.anchor  # a text: each path of a run is looked at, and a Path of each folder on the way costs more
    for part in path.parts[1:]:
        here = os.path.dirname(here) if part == ".." else os.path.join(here, part)  # noqa: PTH118, PTH120
        if _is_link(here) and any(root in Path(here).parents for root in roots):
            return Path(here)
    return None


def _is_link(path: str) -> bool:
    """As Path.is_symlink(), but raises OSError if the path cannot be examined; Python 3.14 returns False then."""
    try:
        return stat.S_ISLNK(os.lstat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False
