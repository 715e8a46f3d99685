"""The lock store through its Python interface."""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from aetherflow.core.base.errors import LockBusyError
from aetherflow.core.kernel.locks.records import Owner
from aetherflow.core.kernel.locks.store import LockStore

if TYPE_CHECKING:
    from core_project import Project

A, B, C = Owner("load", "a"), Owner("load", "b"), Owner("other", "c", 2)
WaitFor = Callable[..., None]


@pytest.fixture
def path(project: "Project") -> Path:
    return project.folder / "new" / "locks.sqlite"


@pytest.fixture
def store(path: Path) -> Iterator[LockStore]:
    with LockStore(path) as found:
        yield found


@pytest.fixture
def other(path: Path, store: LockStore) -> Iterator[LockStore]:
    with LockStore(path) as found:
        yield found


def start(path: Path, reap: list[int], wait_seconds: float = 0) -> "subprocess.Popen[bytes]":
    """A process that takes lock `k`, and keeps it."""
    code = (
        "import sys, time; from pathlib import Path; from aetherflow.core.kernel.locks.records import Owner; "
        "from aetherflow.core.kernel.locks.store import LockStore; store = LockStore(Path(sys.argv[1])); "
        "lease = store.acquire('k', Owner('load', 'b'), wait_seconds=float(sys.argv[2])); "
        "sys.stdin.read(); store.close()"
    )
    argv = [sys.executable, "-c", code, str(path), str(wait_seconds)]
    process = subprocess.Popen(argv, stdin=subprocess.PIPE)
    reap.append(process.pid)
    return process


def end(process: "subprocess.Popen[bytes]", reap: list[int]) -> None:
    process.communicate()
    reap.remove(process.pid)


def test_a_dead_holder_is_known_at_once(path: Path, store: LockStore, reap: list[int], wait_for: WaitFor) -> None:
    process = start(path, reap)
    wait_for(store.holders)
    with pytest.raises(LockBusyError):
        store.acquire("k", A)
    process.kill()
    end(process, reap)
    assert not store.holders()[0].alive
    with LockStore(path) as other:
        assert store.holders() == [], "who enters the store tidies up"
        assert other.acquire("k", A).token == 2


def test_a_child_does_not_keep_the_lock_of_a_dead_parent(
    project: "Project", path: Path, store: LockStore, reap: list[int]
) -> None:
    out = project.python(
        f"""
        import os, time
        from pathlib import Path
        from aetherflow.core.kernel.locks.records import Owner
        from aetherflow.core.kernel.locks.store import LockStore
        store = LockStore(Path({str(path)!r}))
        store.acquire("k", Owner("f", "parent"))
        pid = os.fork()
        if pid == 0:
            os.close(1), os.close(2)
            store._me.close()
            time.sleep(60)
        print(pid, flush=True)
        os._exit(0)
        """
    )
    reap.append(int(out))
    assert store.acquire("k", A).token == 2


def test_a_stopped_or_dead_waiter_does_not_block_the_queue(
    path: Path, store: LockStore, reap: list[int], wait_for: WaitFor
) -> None:
    lease = store.acquire("k", A)
    stopped = start(path, reap, 60)
    wait_for(lambda: len(store.waiters()) == 1)
    stopped.send_signal(signal.SIGSTOP)
    dead = start(path, reap, 60)
    wait_for(lambda: len(store.waiters()) == 2)
    dead.kill()
    end(dead, reap)
    lease.release()
    store.acquire("k", C, wait_seconds=60).release()
    assert [waiter.pid for waiter in store.waiters()] == [stopped.pid], "it keeps its place, the dead one does not"
    stopped.send_signal(signal.SIGCONT)
    wait_for(store.holders)
    end(stopped, reap)
    assert store.acquire("k", A).token == 4
