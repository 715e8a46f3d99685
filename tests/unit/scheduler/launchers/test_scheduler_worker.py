"""What a worker makes of orders that are delivered more than once; no broker is asked, and no process started."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from aetherflow.scheduler.launchers import broker
from aetherflow.scheduler.launchers.base import Outcome, Running, RunRequest
from aetherflow.scheduler.launchers.broker import RunOrder
from aetherflow.scheduler.launchers.subprocess import SubprocessLauncher
from aetherflow.scheduler.launchers.worker import BUSY, CoveredError, Worker
from celery_workers import lay_keys

WAIT_SECONDS = 30


class Started(Running):
    def __init__(self, code: int) -> None:
        self.code = code

    def poll(self) -> Outcome:
        return Outcome(self.code)

    def terminate(self) -> None:
        raise AssertionError

    kill = terminate


class Here(SubprocessLauncher):
    """Starts runs that end when they are told."""

    def __init__(self, code: int) -> None:
        self.code = code
        self.begun = threading.Event()
        self.end: Callable[[], None] = lambda: None

    def start(self, request: RunRequest, ended: Callable[[], None]) -> Running:
        self.end = ended
        self.begun.set()
        return Started(self.code)


@pytest.fixture(autouse=True)
def url(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    for name, value in lay_keys(tmp_path / "keys").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv(broker.URL, "amqp://guest@127.0.0.1:1//")
    broker.application.cache_clear()
    yield
    broker.application.cache_clear()


@pytest.mark.parametrize(("code", "again"), [(BUSY, True), (BUSY, False), (0, True)])
def test_an_order_that_is_delivered_twice_comes_back_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, *, again: bool
) -> None:
    worker, here = Worker([], 1), Here(code)
    monkeypatch.setattr(worker, "_here", here)
    order = RunOrder("i", "r", "", ("run", "f.yaml"), str(tmp_path), str(tmp_path / "r.1.log"), {}, "me", "r.1")
    with ThreadPoolExecutor() as pool:
        first = pool.submit(worker.execute, order)
        assert here.begun.wait(WAIT_SECONDS)
        if again:
            assert worker.execute(order) is None, "it comes back"
        here.end()
        if code != BUSY:
            assert first.result(WAIT_SECONDS) == Outcome(0)
        elif again:
            with pytest.raises(CoveredError):
                first.result(WAIT_SECONDS)
        else:
            assert first.result(WAIT_SECONDS) is None, "it comes back"
