"""Folders: deleted, swapped, cleared of what unfinished writes left."""

import os
import shutil
from pathlib import Path

from aetherflow.core.durable.base import (
    PART_PREFIX,
    PART_SUFFIX,
    make_dir,
    naming,
    part_of,
    parts_of,
    sync_dir,
    sync_file,
)
from aetherflow.core.durable.failpoint import hit


def remove_tree(path: Path, *, last: str = "") -> None:
    """Delete a folder and all below it; links are removed, never followed.

    `last` names a file in it that outlives all the rest, so that a deletion cut short can be recognised and ended.
    """
    hit(f"rmtree {path.name}")
    with naming(path):
        if last:
            for entry in [entry for entry in path.iterdir() if entry.name != last]:
                _remove(entry)
            sync_dir(path)
            hit(f"rmtree {path.name} {last}")
        shutil.rmtree(path)
    sync_dir(path.parent)


def remove_empty_dir(path: Path) -> None:
    """Delete a folder that holds nothing."""
    hit(f"rmdir {path.name}")
    path.rmdir()
    sync_dir(path.parent)


def swap_dir(staged: Path, final: Path, *, at_once: bool = False) -> None:
    """Put `staged` in the place of `final` by renames; if the second rename fails the old folder is put back.

    `at_once` syncs the whole system in place of one file after the other, which thousands of files are worth.
    """
    make_dir(final.parent)
    if at_once:
        hit(f"sync {staged.name}")
        os.sync()
    else:
        _sync_tree(staged)
    aside: Path | None = None
    if final.exists():
        aside = part_of(final)
        hit(f"swap aside {final.name}")
        final.rename(aside)
    try:
        hit(f"swap in {final.name}")
        staged.rename(final)
    except BaseException:
        if aside is not None:
            aside.rename(final)
        raise
    sync_dir(final.parent)
    if aside is not None:
        remove_tree(aside)


def _sync_tree(path: Path) -> None:
    for folder, _, files in os.walk(path):
        for name in files:
            sync_file(Path(folder, name))
        sync_dir(Path(folder))


def remove_parts(folder: Path) -> None:
    """Delete what unfinished writes of a dead process left below a folder."""
    for part in sorted(folder.rglob(f"{PART_PREFIX}*{PART_SUFFIX}")):
        hit(f"remove {part.name}")
        _remove(part)
        sync_dir(part.parent)


def remove_parts_of(final: Path) -> None:
    """Delete what unfinished writes of one file left beside it."""
    for part in parts_of(final) if final.parent.is_dir() else ():
        hit(f"remove {part.name}")
        _remove(part)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
