"""Folders: deleted, swapped, cleared of leftovers of unfinished writes."""

import errno
import os
import shutil
import stat
import sys
from collections.abc import Iterable
from pathlib import Path

from aetherflow.core.base.durable.base import PART_SUFFIX, is_part, make_dir, parts_of, stems_of, sync_dir, sync_file
from aetherflow.core.base.durable.failpoint import hit
from aetherflow.core.base.durable.places import Folder, naming

ASIDE_SUFFIX = ".old"
"""End of the name under which the old folder is kept during a swap, on systems without an atomic exchange."""
_SWAP = 2
"""RENAME_EXCHANGE of Linux, RENAME_SWAP of macOS."""
_CANNOT = frozenset({errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EPERM})


def remove_tree(path: Path, *, last: str = "", sync: bool = True) -> None:
    """Delete a folder and everything below it; links are removed, never followed.

    `last` names a file in it that is deleted last, so that an interrupted deletion can be recognised and completed.
    Without `sync` it may be there again after a power cut.
    """
    hit(f"rmtree {path.name}")
    with Folder(path.parent) as around, naming(path):
        if last:
            with Folder(path) as folder:
                for name in folder.names():
                    if name != last:
                        _remove(folder, name)
                folder.sync()
            hit(f"rmtree {path.name} {last}")
        shutil.rmtree(path.name, dir_fd=around.descriptor)
        if sync:
            around.sync()


def clear(folder: Path, names: Iterable[str], *, sync: bool = True) -> tuple[int, int]:
    """Delete files and folders of these names in a folder; returns how many files that were, and their bytes.

    Those that are missing are left out. Links are removed, never followed. Without `sync` all of it may be there again
    after a power cut.
    """
    files = size = 0
    if not folder.is_dir():  # an error with its frames would keep what they hold: commands run without a collector
        return files, size
    with Folder(folder) as around, naming(folder):
        for name in names:
            hit(f"clear {name}")
            removed = _clear(around.descriptor, name)
            files, size = files + removed[0], size + removed[1]
        if sync:
            around.sync()
    return files, size


def _clear(around: int, name: str) -> tuple[int, int]:
    """Delete one name, with as few calls as possible: thousands of runs have a folder each."""
    try:
        facts = os.lstat(name, dir_fd=around)
    except FileNotFoundError:
        return 0, 0
    if not stat.S_ISDIR(facts.st_mode):
        os.unlink(name, dir_fd=around)
        return 1, facts.st_size
    files = size = 0
    here = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=around)
    try:
        for each in os.listdir(here):  # noqa: PTH208 of a descriptor
            removed = _clear(here, each)
            files, size = files + removed[0], size + removed[1]
    finally:
        os.close(here)
    os.rmdir(name, dir_fd=around)
    return files, size


def remove_empty_dir(path: Path) -> None:
    """Delete a folder that holds nothing."""
    with Folder(path.parent) as around, naming(path):
        hit(f"rmdir {path.name}")
        os.rmdir(path.name, dir_fd=around.descriptor)
        around.sync()


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
    prefix = f"{stems_of(final)[0]}."
    for aside in sorted(final.parent.iterdir()):
        if not (aside.name.startswith(prefix) and aside.name.endswith(ASIDE_SUFFIX)):
            continue
        if not final.exists():
            with Folder(final.parent) as around:
                hit(f"restore {final.name}")
                around.rename(aside.name, final.name)
                around.sync()
        elif aside == _hidden(final, owner, ASIDE_SUFFIX):
            remove_tree(aside)
    if (copy := _hidden(final, owner, PART_SUFFIX)).exists():
        remove_tree(copy)


def _take_place(fresh: Path, final: Path, owner: str) -> None:
    with Folder(fresh.parent) as source, Folder(final.parent) as around:
        if not final.exists():
            hit(f"swap in {final.name}")
            source.rename(fresh.name, final.name, around)
            _sync_both(source, around)
            return
        hit(f"swap {final.name}")
        if exchange(source, fresh.name, around, final.name):
            _sync_both(source, around)
            remove_tree(fresh)  # after the exchange this is the old folder
            return
        aside = _hidden(final, owner, ASIDE_SUFFIX)
        around.rename(final.name, aside.name)
        try:
            hit(f"swap in {final.name}")
            source.rename(fresh.name, final.name, around)
        except BaseException:
            around.rename(aside.name, final.name)
            raise
        _sync_both(source, around)
        remove_tree(aside)


def exchange(one: Folder, name: str, other: Folder, target: str) -> bool:
    """Swap a name in `one` and one in `other` atomically; False if the system or its file system does not support it.

    OSError if it fails.
    """
    import ctypes  # imported only when a folder is swapped

    library = ctypes.CDLL(None, use_errno=True)
    places = one.descriptor, os.fsencode(name), other.descriptor, os.fsencode(target)
    try:
        swap = library.renameatx_np if sys.platform == "darwin" else library.renameat2
    except AttributeError:  # an old C library
        return False
    if not swap(*places, _SWAP):
        return True
    if (number := ctypes.get_errno()) in _CANNOT:
        return False
    raise OSError(number, os.strerror(number), str(one.path / name), None, str(other.path / target))


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
    return final.with_name(f"{stems_of(final)[0]}.{owner}{suffix}")


def _sync_both(one: Folder, other: Folder) -> None:
    one.sync()
    if one.path != other.path:
        other.sync()


def _sync_tree(path: Path) -> None:
    for folder, _, names in os.walk(path):
        for name in names:
            file = Path(folder, name)
            if stat.S_ISREG(file.lstat().st_mode):  # links have no content; opening a pipe would block
                sync_file(file)
        sync_dir(Path(folder))


def remove_parts(folder: Path) -> None:
    """Delete the leftovers of unfinished writes below a folder; only while no other process writes there."""
    # not by `rglob`: each process that begins a run would compile a pattern
    for part in sorted(filter(is_part, (Path(at, one) for at, dirs, files in os.walk(folder) for one in dirs + files))):
        with Folder(part.parent) as around:
            hit(f"remove {part.name}")
            _remove(around, part.name)
            around.sync()


def remove_parts_of(final: Path) -> None:
    """Delete the leftovers of unfinished writes of one file."""
    try:
        around = Folder(final.parent)
    except (FileNotFoundError, NotADirectoryError):
        return
    with around:
        for name in parts_of(final, around):
            hit(f"remove {name}")
            _remove(around, name)


def _remove(folder: Folder, name: str) -> None:
    with naming(folder.path, name):
        if stat.S_ISDIR(os.stat(name, dir_fd=folder.descriptor, follow_symlinks=False).st_mode):
            shutil.rmtree(name, dir_fd=folder.descriptor)
        else:
            os.unlink(name, dir_fd=folder.descriptor)
