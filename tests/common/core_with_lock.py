"""Helpers shared by the unit and the system tests of test_core_with_lock.py."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aetherflow.core.api import Step, StepCancelledError, StepResult
from aetherflow.core.kernel.locks.records import Owner
from aetherflow.core.kernel.locks.store import LockStore

if TYPE_CHECKING:
    from core_project import Project

from typing import TYPE_CHECKING

SEEN: dict[str, Any] = {}


OTHER = Owner("other", "o")


WaitFor = Callable[..., None]


class UseLease(Step[Any]):
    """Acquires locks in every way that the context offers, and records the results in `SEEN`."""

    def run(self) -> None:
        ctx = self.ctx
        with ctx.lease("k", ttl_seconds=5) as lock:
            SEEN["held"] = (lock.key, lock.token, lock.lost)
            lock.check()
            with ctx.lease("k") as again:
                SEEN["again"] = again.token
        with ctx.lease("k") as lock:
            SEEN["second"] = lock.token
        SEEN["by hand"] = [ctx.acquire_lock("h"), ctx.acquire_lock("h"), ctx.acquire_lock("taken")]
        ctx.release_lock("h")
        ctx.release_lock("never taken")


class Loop(Step[Any]):
    """Loops with a lock held until it is cancelled."""

    def run(self) -> None:
        with self.ctx.lease("k", ttl_seconds=0.3):
            Path(os.environ["EFFECTS"]).write_text("looping")
            for _ in range(6000):
                self.ctx.check_cancelled()
                time.sleep(0.01)


class NeverLooks(Step[Any]):
    """Loses its lock without noticing, and succeeds."""

    def run(self) -> StepResult:
        with self.ctx.lease("k"):
            break_lock(Path(os.environ["AETHERFLOW_STATE_ROOT"]))
        return StepResult()


class Wait(Step[Any]):
    """Waits for a lock, and writes to EFFECTS if it is cancelled."""

    def run(self) -> None:
        try:
            with self.ctx.lease("k", wait_seconds=60):
                pass
        except StepCancelledError:
            Path(os.environ["EFFECTS"]).write_text("cancelled")
            raise


def opened(project: "Project") -> LockStore:
    return LockStore(project.states / "engine/locks.sqlite")


def break_lock(states: Path) -> None:
    with LockStore(states / "engine/locks.sqlite") as store:
        assert store.break_lock("k", reason="to see what happens", actor="ann") is not None


def locked(inner: str, more: str = "") -> str:
    return f"{{id: s, type: with_lock, inputs: {{lock_key: k{more}, step: {inner}}}}}"


ECHO = '{type: external.process, inputs: {command: [sh, -c, "echo %s"], log: {stdout: capture}}}'
