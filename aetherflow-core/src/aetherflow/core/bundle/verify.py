"""Verifying the store: every file of a version and every blob is hashed again."""

import os
import shlex
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from aetherflow.core.base import durable
from aetherflow.core.bundle.failures import BundleStoreError
from aetherflow.core.bundle.listing import content_fingerprint
from aetherflow.core.bundle.store import BundleStore


def check_version(store: BundleStore, content: str, check: Callable[[], None] = lambda: None) -> Iterator[str]:
    """The findings about a version, one line each."""
    version = store.version(content)
    folder = store.versions_dir / content
    if content_fingerprint({path: sha256 for path, (sha256, _) in version.files.items()}) != content:
        yield f"{folder}.json: the list of files is not that of this version"
    seen = set()
    for path in files_in(folder):
        check()
        rel_path = path.relative_to(folder).as_posix()
        seen.add(rel_path)
        expected = version.files.get(rel_path)
        if expected is None:
            yield f"{path}: does not belong to the version"
        elif not stat.S_ISREG(path.lstat().st_mode):
            yield f"{path}: is no regular file"
        elif (found := durable.file_facts(path)) != (expected[1], expected[0]):
            yield f"{path}: was changed (sha256 {found[1][:12]}, expected {expected[0][:12]})"
    for rel_path in sorted(version.files.keys() - seen):
        yield f"{folder / rel_path}: is missing"


def check_blobs(store: BundleStore, check: Callable[[], None] = lambda: None) -> Iterator[str]:
    """The findings about the cache, one line each."""
    for path in sorted(store.cache_dir.iterdir()) if store.cache_dir.is_dir() else ():
        check()
        if not durable.is_part(path) and durable.file_facts(path)[1] != path.name:
            yield f"{path}: was changed"


def require_whole(store: BundleStore, content: str, named: Sequence[str]) -> None:
    """Raise BundleStoreError with the first finding about a version, if there is one. `named`: as in `mending`."""
    for finding in check_version(store, content):
        raise BundleStoreError(f"the bundle's version {content[:12]} is damaged: {finding}", fix=mending(named))


def mending(named: Sequence[str]) -> str:
    """What to type about a damaged version; `named` are the options that name the bundle on a command line."""
    sync = shlex.join(["aetherflow", "bundle", "sync", "--always", *named])
    back = shlex.join(["aetherflow", "bundle", "rollback", *named])
    return f"fetch it again: {sync}; or go back: {back}"


def files_in(folder: Path) -> Iterator[Path]:
    """Every entry below a folder that is no folder, links among them."""
    for parent, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            yield Path(parent, name)
        for name in [name for name in folders if Path(parent, name).is_symlink()]:
            yield Path(parent, name)
