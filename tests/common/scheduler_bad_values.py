"""Helpers shared by the unit and the system tests of test_scheduler_bad_values.py."""

from collections.abc import Callable

from aetherflow.scheduler.launchers import Launcher, Outcome, Running, RunRequest


class Faulty(Launcher):
    """A launcher that breaks its contract in one chosen place."""

    def __init__(self, where: str, error: BaseException) -> None:
        self.where, self.error, self.starts = where, error, 0

    def start(self, request: RunRequest, ended: Callable[[], None]) -> Running:
        self.starts += 1
        if self.where == "start":
            raise self.error
        return None if self.where == "nothing" else _Faulty(self)  # type: ignore[return-value]


class _Faulty(Running):
    def __init__(self, launcher: Faulty) -> None:
        self.launcher = launcher

    def _call(self, name: str) -> None:
        if self.launcher.where == name:
            raise self.launcher.error

    def poll(self) -> Outcome | None:
        self._call("poll")
        return "done" if self.launcher.where == "outcome" else None  # type: ignore[return-value]

    def terminate(self) -> None:
        self._call("terminate")

    def kill(self) -> None:
        raise self.launcher.error
