"""Checking the listing of a source (safe paths, no duplicates, limits), and the two fingerprints of a bundle.

The listing fingerprint is cheap and valid for one source: it uses hashes if the source has them, else size and time.
The content fingerprint is made from the sha256 of every file: it is the same on every machine and for every source.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from aetherflow.core.bundle.failures import BundleError
from aetherflow.core.contracts.connector import RemoteFileMeta

MAX_FILES = 100_000
MAX_BYTES = 4 * 1024**3
"""Largest total size of a bundle, as listed and as fetched."""
MAX_PATH = 1_000
"""Longest path in bytes, so that it fits below the store on every file system."""
MAX_NAME = 255
_HEX64 = re.compile(r"[0-9a-f]{64}")
_DRIVE = re.compile(r"[A-Za-z]:")
_CONTROL = re.compile(r"[\0-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class ListedFile:
    """One file of a listing."""

    path: str
    size: int | None
    """Size in bytes; None if the source does not give it."""
    mtime: float | None
    """Time of change in unix seconds; None if the source does not give it."""
    sha256: str | None

    @property
    def signature(self) -> str:
        """The file's part of the listing fingerprint (contract): its hash, else its size and time."""
        if self.sha256:
            return f"sha256:{self.sha256}"
        return f"sz:{self.size or 0}|mt_ms:{int((self.mtime or 0) * 1000)}"


def read_listing(found: Iterable[RemoteFileMeta]) -> dict[str, ListedFile]:
    """Check a listing; returns path to file, sorted. BundleError for the first entry that is refused."""
    files: dict[str, ListedFile] = {}
    total = 0
    for number, each in enumerate(found, 1):
        if number > MAX_FILES:
            raise _refuse(f"more than {MAX_FILES:,} files", "split the bundle, or keep data out of it")
        path = each.rel_path or ""
        if (why := why_unsafe(path)) is not None:
            raise _refuse(f"the path {path[:200]!r} {why}", "rename it at the source")
        if path in files:
            raise _refuse(f"the path {path!r} is listed twice", "remove one of the two at the source")
        size, sha256 = each.size, each.sha256
        if size is not None and size < 0:
            raise _refuse(f"{path}: the size {size!r} is none", "correct the listing at the source")
        if sha256 is not None and not _HEX64.fullmatch(sha256 := str(sha256).lower()):
            raise _refuse(f"{path}: the hash {sha256[:80]!r} is no sha256", "list 64 hexadecimal digits, or none")
        total += size or 0
        if total > MAX_BYTES:
            raise _refuse(f"more than {MAX_BYTES:,} bytes", "keep data out of the bundle")
        files[path] = ListedFile(path, size, each.mtime, sha256)
    _refuse_files_as_folders(files)
    return dict(sorted(files.items()))


def why_unsafe(path: str) -> str | None:
    """Why a path of a bundle is refused; None if it is safe."""
    if not path:
        return "is empty"
    try:
        length = len(path.encode())
    except UnicodeEncodeError:
        return "is not Unicode"
    if "\\" in path:
        return "holds a backslash"
    if _CONTROL.search(path):
        return "holds a control character"
    if path.startswith("/") or _DRIVE.match(path):
        return "is absolute"
    parts = path.split("/")
    if ".." in parts or "." in parts or "" in parts:
        return "has a part that is empty, '.' or '..'"
    if length > MAX_PATH or any(len(part.encode()) > MAX_NAME for part in parts):
        return f"is too long: {MAX_PATH} bytes, {MAX_NAME} in one part"
    return None


def _refuse_files_as_folders(files: Mapping[str, ListedFile]) -> None:
    for path in files:
        at = path.find("/")
        while at >= 0:
            if path[:at] in files:
                raise _refuse(f"{path[:at]!r} is a file and, for {path!r}, a folder", "correct the source")
            at = path.find("/", at + 1)


def _refuse(what: str, fix: str) -> BundleError:
    return BundleError(f"the source's listing is refused: {what}", fix=fix)


def listing_fingerprint(files: Mapping[str, ListedFile]) -> str:
    """sha256 of the compact JSON of `[[path, signature], …]`, sorted by path (contract)."""
    return _fingerprint([[path, files[path].signature] for path in sorted(files)])


def content_fingerprint(hashes: Mapping[str, str]) -> str:
    """sha256 of the compact JSON of `[[path, sha256], …]`, sorted by path."""
    return _fingerprint([[path, hashes[path]] for path in sorted(hashes)])


def _fingerprint(pairs: list[list[str]]) -> str:
    return hashlib.sha256(json.dumps(pairs, ensure_ascii=False, separators=(",", ":")).encode()).hexdigest()
