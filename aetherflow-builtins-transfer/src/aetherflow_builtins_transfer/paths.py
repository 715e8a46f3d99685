"""Checks names and paths from external sources, and makes the names of unfinished files."""

import hashlib
import re
import secrets
from pathlib import Path, PurePosixPath

from aetherflow.core.api import ConnectorError, StepInputError
from aetherflow_builtins_transfer.failures import shown

PART_PREFIX, PART_SUFFIX = ".aetherflow-", ".part"
"""Start and end of the names of unfinished files, local and remote, as in the kernel; listings leave them out."""
NAME_BYTES, _CUT_BYTES = 255, 120


def is_part(name: str) -> bool:
    """Whether a name is that of an unfinished file."""
    return name.startswith(PART_PREFIX) and name.endswith(PART_SUFFIX)


def part_name(name: str, key: str | None = None) -> str:
    """The temporary name for a file `name`: fixed for a given key, random without one."""
    return part_names(name, key or secrets.token_hex(6))[0]


def part_names(name: str, key: str) -> list[str]:
    """`part_name`; for a name that is cut also the form before 1.1, which held no hash of the whole name."""
    whole = name.encode(errors="surrogateescape")
    cut = whole[:_CUT_BYTES].decode(errors="ignore")
    stems = [cut] if len(whole) <= _CUT_BYTES else [f"{cut}~{hashlib.sha256(whole).hexdigest()[:16]}", cut]
    return [f"{PART_PREFIX}{stem}.{key}{PART_SUFFIX}" for stem in stems]


def part_key(*facts: object) -> str:
    """A short hash of the facts, for `part_name`."""
    return hashlib.sha256("\0".join(map(str, facts)).encode(errors="surrogateescape")).hexdigest()[:12]


def check_name(name: str, separator: str, label: str) -> None:
    """Raise ConnectorError for a name in a listing that would lead out of the listed folder."""
    if name in ("", ".", "..") or "/" in name or "\0" in name or separator in name:
        raise ConnectorError(
            f"{label}: the peer lists a name that leads elsewhere: {shown(name)!r}",
            fix="nothing was taken; ask who runs the peer, it is broken or hostile",
        )


def safe_relative(rel_path: str) -> PurePosixPath:
    """A relative path from a listing; StepInputError if it would leave the folder to which it is joined."""
    path = PurePosixPath(rel_path)
    parts = rel_path.split("/")
    if path.is_absolute() or "\0" in rel_path or any(part in ("", ".", "..") for part in parts):
        raise StepInputError(
            f"rel_path leads out of the destination: {shown(rel_path)!r}", fix="give a path below it, without '..'"
        )
    if any(len(part.encode(errors="surrogateescape")) > NAME_BYTES for part in parts):
        raise StepInputError(f"a name in rel_path is longer than {NAME_BYTES} bytes: {shown(rel_path)[:80]!r}...")
    return path


def private_folder(path: Path) -> None:
    """Create a local folder and its missing parents, accessible by this account only."""
    missing = [each for each in (path, *path.parents) if not each.exists()]
    for each in reversed(missing):
        each.mkdir(mode=0o700, exist_ok=True)


_REMOTE_NAME = re.compile(r"[^/\\\0]+\Z")


def safe_remote_name(name: str) -> str:
    """The remote name of a file; StepInputError if it is a path."""
    if not _REMOTE_NAME.match(name) or name in (".", ".."):
        raise StepInputError(f"not a file name: {shown(name)!r}", fix="remote_name is one name; remote_dir the folder")
    return name
