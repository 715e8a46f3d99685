"""A Redis server for the tests."""

import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from redis import AuthenticationError, Redis, RedisError

pytest_plugins = ["aetherflow.core.testing.fixtures"]
PROGRAM = shutil.which("redis-server")


def find_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


@contextmanager
def running(folder: Path, port: int, *options: str) -> Iterator[int]:
    assert PROGRAM is not None
    command = [PROGRAM, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder), *options]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while not answers(port):
            assert server.poll() is None, "redis-server has ended"
            assert time.monotonic() < deadline, "redis-server does not answer"
            time.sleep(0.02)
        yield port
    finally:
        server.terminate()
        server.wait()


def answers(port: int) -> bool:
    with Redis(host="127.0.0.1", port=port) as client:
        try:
            return bool(client.ping())
        except AuthenticationError:
            return True
        except RedisError:
            return False


@pytest.fixture
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., int]]:
    """A function that starts a server, by default at a free port, and returns its port."""
    if PROGRAM is None:
        pytest.skip("redis-server is not installed: apt-get install redis-server")
    with ExitStack() as stack:

        def start(*options: str, port: int | None = None) -> int:
            folder = tmp_path_factory.mktemp("redis")
            return stack.enter_context(running(folder, port or find_port(), *options))

        yield start


@pytest.fixture
def free_port() -> int:
    """A port at which nobody listens."""
    return find_port()
