"""What waits for a server that is not reached ends with a stop."""

import threading
from collections.abc import Callable

import pytest

from aetherflow_builtins_db.connectors.common.pool import Limits, Pool, PoolFullError
from aetherflow_builtins_db.connectors.common.stops import StoppedError, Stops


def stopped(act: Callable[[], object], stop: Callable[[], object], error: type[Exception]) -> None:
    """`act`, which waits, ends with the error as soon as `stop` is called; calling it earlier changes nothing."""
    found: list[BaseException] = []

    def work() -> None:
        with pytest.raises(error) as caught:
            act()
        found.append(caught.value)

    thread = threading.Thread(target=work)
    thread.start()
    while thread.is_alive():
        stop()
        thread.join(0.05)
    assert len(found) == 1


def test_a_stop_ends_a_connect_and_what_it_returns_later_is_closed() -> None:
    stops, go, closed = Stops(), threading.Event(), threading.Event()

    def connect() -> str:
        assert go.wait(60)
        return "connection"

    stopped(lambda: stops.opened(0, connect, lambda _: closed.set()), stops.add, StoppedError)
    assert not closed.is_set()
    go.set()
    assert closed.wait(60)


def test_a_connect_gives_its_result_or_its_error() -> None:
    stops = Stops()
    assert stops.opened(0, lambda: "connection", pytest.fail) == "connection"

    def refused() -> str:
        raise ConnectionRefusedError

    with pytest.raises(ConnectionRefusedError):
        stops.opened(0, refused, pytest.fail)


def test_a_pause_ends_with_a_stop() -> None:
    stops = Stops()
    stops.add()
    stops.pause(1e6, since=0)


def test_a_stop_ends_the_wait_for_a_connection_of_the_pool() -> None:
    pool = Pool[str](lambda: "connection", lambda _: None, None, Limits(1, 1, 60, 1e6))
    assert pool.acquire() == "connection"
    stopped(pool.acquire, pool.stop_waiting, PoolFullError)
    pool.release("connection")
    assert pool.acquire() == "connection"
