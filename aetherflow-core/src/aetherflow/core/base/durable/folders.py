"""Folders: deleted, swapped, cleared of leftovers of unfinished writes."""

import errno
import os
import shutil
import stat
import sys
from pathlib import Path

from aetherflow.core.base.durable.base import (
    PART_PREFIX,
    PART_SUFFIX,
    make_dir,
    naming,
    parts_of,
    sync_dir,
    sync_file,
)
from aetherflow.core.base.durable.failpoint import hit

ASIDE_SUFFIX = ".old"
"""End of the name under which the old folder is kept during a swap, on systems without an atomic exchange."""
_SWAP = 2
"""RENAME_EXCHANGE of Linux, RENAME_SWAP of macOS."""
_AT_FDCWD = -100
_CANNOT = frozenset({errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EPERM})


def remove_tree(path: Path, *, last: str = "") -> None:
    """Delete a folder and everything below it; links are removed, never followed.

    `last` names a file in it that is deleted last, so that an interrupted deletion can be recognised and completed.
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


def swap_dir(staged: Path, final: Path, owner: str, *, at_once: bool = False) -> None:
    """Replace the folder `final` by `staged`: at any moment `final` is the complete old or the complete new folder.

    On a system without an atomic exchange the old folder is renamed first; if the process dies then, `restore_dir`
    puts it back. From another file system `staged` is copied first. `owner` is part of hidden names and must be equal
    for all attempts of one piece of work, so that each cleans up after the previous one. `at_once` syncs the whole
    system instead of file by file, which is faster for thousands of files.
    """
    make_dir(final.parent)
    if final.exists() and not final.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(final))
    restore_dir(final, owner)
    if at_once:
        hit(f"sync {staged.name}")
        os.sync()
    else:
        _sync_tree(staged)
    try:
        _take_place(staged, final, owner)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _take_place(_copy_beside(staged, final, owner), final, owner)
        remove_tree(staged)


def restore_dir(final: Path, owner: str) -> None:
    """Undo an interrupted `swap_dir`: put the old folder back if `final` is missing; remove what `owner` left."""
    if not final.parent.is_dir():
        return
    prefix = _hidden(final, "", "").name
    for aside in sorted(final.parent.iterdir()):
        if not (aside.name.startswith(prefix) and aside.name.endswith(ASIDE_SUFFIX)):
            continue
        if not final.exists():
            hit(f"restore {final.name}")
            aside.rename(final)
            sync_dir(final.parent)
        elif aside == _hidden(final, owner, ASIDE_SUFFIX):
            remove_tree(aside)
    if (copy := _hidden(final, owner, PART_SUFFIX)).exists():
        remove_tree(copy)


def _take_place(fresh: Path, final: Path, owner: str) -> None:
    if not final.exists():
        hit(f"swap in {final.name}")
        fresh.rename(final)
        _sync_parents(fresh, final)
        return
    hit(f"swap {final.name}")
    if exchange(fresh, final):
        _sync_parents(fresh, final)
        remove_tree(fresh)  # after the exchange this is the old folder
        return
    aside = _hidden(final, owner, ASIDE_SUFFIX)
    final.rename(aside)
    try:
        hit(f"swap in {final.name}")
        fresh.rename(final)
    except BaseException:
        aside.rename(final)
        raise
    _sync_parents(fresh, final)
    remove_tree(aside)


def exchange(one: Path, other: Path) -> bool:
    """Swap two names atomically; False if the system or the file system does not support it."""
    import ctypes  # imported only when a folder is swapped

    library = ctypes.CDLL(None, use_errno=True)
    names = os.fsencode(one), os.fsencode(other)
    try:
        if sys.platform == "darwin":
            failed = library.renamex_np(*names, _SWAP)
        else:
            failed = library.renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _SWAP)
    except AttributeError:  # an old C library
        return False
    if not failed:
        return True
    if (number := ctypes.get_errno()) in _CANNOT:
        return False
    raise OSError(number, os.strerror(number), str(one), None, str(other))


def _copy_beside(staged: Path, final: Path, owner: str) -> Path:
    copy = _hidden(final, owner, PART_SUFFIX)
    hit(f"copy {final.name}")
    try:
        shutil.copytree(staged, copy, symlinks=True, ignore=_special)
        _sync_tree(copy)
    except BaseException as error:
        shutil.rmtree(copy, ignore_errors=True)
        if isinstance(error, shutil.Error):  # holds a list of all failures
            source, _, reason = error.args[0][0]
            raise OSError(f"{source}: {reason}") from error
        raise
    return copy


def _special(folder: str, names: list[str]) -> list[str]:
    """Pipes, sockets and devices, which have no content to copy."""
    modes = {name: Path(folder, name).lstat().st_mode for name in names}
    return [
        name for name, mode in modes.items() if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode))
    ]


def _hidden(final: Path, owner: str, suffix: str) -> Path:
    stem = final.name.encode(errors="surrogateescape")[:120].decode(errors="ignore")
    return final.with_name(f"{PART_PREFIX}{stem}.{owner}{suffix}")


def _sync_parents(one: Path, other: Path) -> None:
    for folder in sorted({one.parent, other.parent}):
        sync_dir(folder)


def _sync_tree(path: Path) -> None:
    for folder, _, names in os.walk(path):
        for name in names:
            file = Path(folder, name)
            if stat.S_ISREG(file.lstat().st_mode):  # links have no content; opening a pipe would block
                sync_file(file)
        sync_dir(Path(folder))


def remove_parts(folder: Path) -> None:
    """Delete the leftovers of unfinished writes below a folder; only while no other process writes there."""
    for part in sorted(folder.rglob(f"{PART_PREFIX}*{PART_SUFFIX}")):
        hit(f"remove {part.name}")
        _remove(part)
        sync_dir(part.parent)


def remove_parts_of(final: Path) -> None:
    """Delete the leftovers of unfinished writes of one file."""
    for part in parts_of(final) if final.parent.is_dir() else ():
        hit(f"remove {part.name}")
        _remove(part)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
