"""The path sandbox: a path is inside one of the allowed roots, or refused."""

import re
from collections.abc import Sequence
from pathlib import Path

from aetherflow.core.errors import PathError

_FOLDER_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}\Z")
FOLDER_FIX = "use letters, digits, '.', '_' and '-', not starting with '.' or '-', at most 128 characters"


def is_folder_name(name: str) -> bool:
    """True for the plain name of one folder, which cannot lead out of its parent."""
    return bool(_FOLDER_NAME.match(name))


def inside(path: str | Path, base: Path, roots: Sequence[Path]) -> Path:
    """Absolute form of `path`, taken from `base` if it is relative, with links and `..` resolved.

    Raises PathError when the result is outside every root, or when the path cannot be one.
    """
    text = str(path)
    if not text or "\0" in text:
        raise PathError(f"not a usable path: {text!r}")
    try:
        found = (base / text).resolve()
    except (OSError, RuntimeError, ValueError) as error:
        raise PathError(f"not a usable path: {text!r}: {error}") from error
    if not any(found.is_relative_to(root.resolve()) for root in roots):
        allowed = ", ".join(str(root) for root in roots)
        raise PathError(f"path is outside the allowed folders: {text}", fix=f"keep it under one of: {allowed}")
    return found
