"""The path sandbox: a path is inside one of the allowed roots, or refused."""

import re
import stat
from collections.abc import Sequence
from pathlib import Path

from aetherflow.core.base.errors import PathError

_FOLDER_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}\Z")
FOLDER_FIX = "use letters, digits, '.', '_' and '-', not starting with '.' or '-', at most 128 characters"


def is_folder_name(name: str) -> bool:
    """True for the plain name of one folder, which cannot lead out of its parent."""
    return bool(_FOLDER_NAME.match(name))


def inside(path: str | Path, base: Path, roots: Sequence[Path] | None) -> Path:
    """Absolute form of `path`, taken from `base` if it is relative, `..` resolved.

    Raises PathError when the result is outside every root, when a link stands below a root on the way there, or when
    the path cannot be one. `roots` None: any usable path is accepted, links are followed.
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
            allowed = ", ".join(str(root) for root in roots)
            raise PathError(f"path is outside the allowed folders: {text}", fix=f"keep it under one of: {allowed}")
        if (link := _link_below(base / text, [*roots, *real])) is not None:
            raise PathError(f"path contains a symbolic link (sandbox blocked): {link}", fix="name the file itself")
    except (OSError, RuntimeError, ValueError) as error:
        if isinstance(error, PathError):
            raise
        raise PathError(f"not a usable path: {text!r}: {error}") from error
    return found


def _link_below(path: Path, roots: Sequence[Path]) -> Path | None:
    """The first link on the way to `path` that stands below a root; how the root itself is reached is no matter."""
    here = Path(path.anchor)
    for part in path.parts[1:]:
        here = here.parent if part == ".." else here / part
        if _is_link(here) and any(root in here.parents for root in roots):
            return here
    return None


def _is_link(path: Path) -> bool:
    """Raises OSError where the system does not tell; Path.is_symlink() says no there, from Python 3.14 on."""
    try:
        return stat.S_ISLNK(path.lstat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False
