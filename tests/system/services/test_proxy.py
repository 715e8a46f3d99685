"""The faults that the proxy promises, against a plain echo."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from proxy import Proxy


@pytest.fixture
def echo() -> Iterator[int]:
    listener = socket.create_server(("127.0.0.1", 0))

    def talk(client: socket.socket) -> None:
        with client:
            try:
                while data := client.recv(65536):
                    client.sendall(data)
            except OSError:
                pass

    def serve() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=talk, args=(client,), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


def received(port: int, data: bytes, timeout: float = 3) -> bytes:
    """What comes back until the connection ends; raises what the client sees."""
    found = b""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout) as client:
        client.sendall(data)
        while len(found) < len(data) and (part := client.recv(65536)):
            found += part
    return found


def test_without_faults_everything_passes(echo: int) -> None:
    data = bytes(range(256)) * 4096
    with Proxy(echo) as proxy:
        assert received(proxy.port, data) == data
        deadline = time.monotonic() + 10
        while proxy.down < len(data) and time.monotonic() < deadline:
            time.sleep(0.001)  # it counts after it has sent: the client may have everything a moment earlier
    assert (proxy.up, proxy.down, proxy.connections, proxy.cuts) == (len(data), len(data), 1, 0)


def test_exactly_so_many_bytes_go_down(echo: int) -> None:
    with Proxy(echo, down=1000, how="fin") as proxy:
        assert received(proxy.port, b"x" * 5000) == b"x" * 1000
        assert received(proxy.port, b"x" * 5000) == b"x" * 5000, "only the first connection has the fault"


def test_exactly_so_many_bytes_go_up(echo: int) -> None:
    with Proxy(echo, up=1000, how="fin") as proxy:
        assert len(received(proxy.port, b"x" * 5000)) <= 1000
        assert proxy.up == 1000


def test_a_reset_ends_every_connection_until_the_proxy_is_mended(echo: int) -> None:
    with Proxy(echo, down=10, faults=None) as proxy:
        for _ in range(3):
            with contextlib.suppress(ConnectionError):
                assert len(received(proxy.port, b"x" * 5000)) <= 10
        assert proxy.cuts == 3
        proxy.mend()
        assert received(proxy.port, b"x" * 5000) == b"x" * 5000


def test_a_stall_answers_nothing_and_stays_open(echo: int) -> None:
    with Proxy(echo, up=10, how="stall") as proxy, pytest.raises(TimeoutError):
        received(proxy.port, b"x" * 5000, timeout=0.3)


def test_a_rate_is_kept(echo: int) -> None:
    with Proxy(echo, rate=40_000) as proxy:
        started = time.monotonic()
        assert len(received(proxy.port, b"x" * 20_000)) == 20_000
        assert time.monotonic() - started > 0.4
