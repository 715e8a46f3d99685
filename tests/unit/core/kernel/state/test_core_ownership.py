"""The lock of a run: released for all who have a copy of it, and taken also while others look at it."""

import fcntl
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from aetherflow.core.base.durable import is_locked
from aetherflow.core.kernel.state.ownership import RunLock


def test_a_copy_in_a_process_that_a_step_has_forked_keeps_nothing(tmp_path: Path) -> None:
    path = tmp_path / "r.lock"
    lock = RunLock(path)
    lock.acquire("r")
    assert lock._descriptor is not None
    copy = os.dup(lock._descriptor)  # as a fork has it
    try:
        lock.release()
        assert not is_locked(path)
    finally:
        os.close(copy)


def test_a_forked_process_that_unwinds_takes_no_lock_from_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "r.lock"
    lock = RunLock(path)
    lock.acquire("r")
    assert lock._descriptor is not None
    parents = os.dup(lock._descriptor)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(os, "getpid", lambda: -1)  # as in the child
            lock.release()
        assert is_locked(path)
    finally:
        os.close(parents)


def test_one_who_only_looks_is_no_owner_however_slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "r.lock"
    path.touch()
    looks = os.open(path, os.O_RDONLY)
    fcntl.flock(looks, fcntl.LOCK_SH)
    waits = iter(range(10))

    def sleep(_: float) -> None:
        if next(waits) == 9:
            fcntl.flock(looks, fcntl.LOCK_UN)

    # not `time.sleep` itself: threads of other tests' connectors may sleep meanwhile
    monkeypatch.setattr("aetherflow.core.kernel.state.ownership.time", SimpleNamespace(sleep=sleep))
    lock = RunLock(path)
    try:
        lock.acquire("r")
        assert is_locked(path)
    finally:
        lock.release()
        os.close(looks)
