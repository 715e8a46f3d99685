"""Folders that take the place of others: what an earlier attempt left, and systems that cannot do it in one step."""

import ctypes
import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aetherflow.core.base import durable
from aetherflow.core.base.durable.base import PART_PREFIX, PART_SUFFIX
from aetherflow.core.base.durable.folders import ASIDE_SUFFIX, remove_parts_of, restore_dir


def fill(folder: Path, word: str) -> Path:
    (folder / "sub").mkdir(parents=True)
    (folder / "sub/a").write_text(word)
    return folder


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def left(final: Path, owner: str, suffix: str) -> Path:
    """What an attempt that was cut off left beside a folder."""
    return fill(final.with_name(f"{PART_PREFIX}{final.name}.{owner}{suffix}"), "left")


def test_thousands_of_files_are_synced_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr(os, "sync", lambda: calls.append("sync"))
    durable.swap_dir(fill(tmp_path / "staged", "new"), tmp_path / "final", "owner", at_once=True)
    assert calls == ["sync"]
    assert (tmp_path / "final/sub/a").read_text() == "new"


def test_what_an_attempt_of_the_same_work_left_is_cleared(tmp_path: Path) -> None:
    final = fill(tmp_path / "final", "old")
    left(final, "me", ASIDE_SUFFIX)
    left(final, "me", PART_SUFFIX)
    of_another = left(final, "another", ASIDE_SUFFIX)
    restore_dir(final, "me")
    assert names(tmp_path) == [of_another.name, "final"]
    assert (final / "sub/a").read_text() == "old"


def test_the_folder_that_was_set_aside_comes_back(tmp_path: Path) -> None:
    final = tmp_path / "final"
    left(final, "me", ASIDE_SUFFIX)
    restore_dir(final, "me")
    assert names(tmp_path) == ["final"]
    restore_dir(tmp_path / "none/final", "me")
    assert names(tmp_path) == ["final"]


def test_a_longer_name_that_begins_alike_touches_neither_file_nor_folder(tmp_path: Path) -> None:
    short = tmp_path / ("n" * 120)  # the longest name that is not cut
    long = short.with_name(f"{short.name}.sha256")
    with durable.AtomicFile(short) as file:
        file.write(b"content")
        remove_parts_of(long)
    assert short.read_bytes() == b"content"

    set_aside = left(short, "owner", ASIDE_SUFFIX)
    restore_dir(long, "owner")
    assert set_aside.is_dir()
    assert not long.exists()


def test_unfinished_files_of_one_file_are_deleted(tmp_path: Path) -> None:
    for name in (
        f"{PART_PREFIX}a.txt.0123456789ab{PART_SUFFIX}",
        f"{PART_PREFIX}b.txt.0123456789ab{PART_SUFFIX}",
        "a.txt",
    ):
        (tmp_path / name).write_text("x")
    remove_parts_of(tmp_path / "a.txt")
    assert names(tmp_path) == [f"{PART_PREFIX}b.txt.0123456789ab{PART_SUFFIX}", "a.txt"]
    remove_parts_of(tmp_path / "none/a.txt")


class Library:
    """A C library: an old one without the call, or one over a file system that cannot swap."""

    def __init__(self, error: int | None) -> None:
        if error is not None:
            self.renameat2 = lambda *_: ctypes.set_errno(error) or -1


@pytest.mark.parametrize("error", [None, errno.EINVAL, errno.ENOSYS])
def test_systems_that_cannot_swap_names_take_two_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int | None
) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: Library(error))
    final = fill(tmp_path / "final", "old")
    durable.swap_dir(fill(tmp_path / "staged", "new"), final, "owner")
    assert (final / "sub/a").read_text() == "new"
    assert names(tmp_path) == ["final"]


def test_a_swap_that_the_system_refuses_is_told_with_both_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: Library(errno.EACCES))
    final = fill(tmp_path / "final", "old")
    with pytest.raises(PermissionError) as caught:
        durable.swap_dir(fill(tmp_path / "staged", "new"), final, "owner")
    assert (caught.value.filename, caught.value.filename2) == (str(tmp_path / "staged"), str(final))
    assert (final / "sub/a").read_text() == "old"


@pytest.mark.parametrize("whole", [True, False], ids=["one file", "the disk"])
def test_a_copy_from_another_device_that_fails_leaves_nothing(
    tmp_path: Path, other_device: Callable[[Path], Path], monkeypatch: pytest.MonkeyPatch, whole: bool
) -> None:
    staged = fill(other_device(tmp_path) / "staged", "new")
    copy = shutil.copy2

    def fails(source: Any, target: Any, **more: Any) -> Any:
        if whole and str(source).endswith("/a"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return copy(source, target, **more)

    def full(source: Any, target: Any, **more: Any) -> Any:
        Path(target).mkdir()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    final = fill(tmp_path / "final", "old")
    if whole:
        monkeypatch.setattr(shutil.copytree, "__kwdefaults__", None)
        monkeypatch.setattr(shutil.copytree, "__defaults__", (False, None, fails, False, False))
    else:
        monkeypatch.setattr(shutil, "copytree", full)
    try:
        with pytest.raises(OSError, match="a: " if whole else "No space left") as caught:
            durable.swap_dir(staged, final, "owner")
        assert str(staged) in str(caught.value) or not whole
        assert (final / "sub/a").read_text() == "old"
        assert names(tmp_path) == ["final"]
    finally:
        shutil.rmtree(staged)
