"""Servers for the tests: S3 by moto, FTP by pyftpdlib."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from moto.server import ThreadedMotoServer
from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import FTPHandler
from pyftpdlib.servers import ThreadedFTPServer

from acme_remote.s3 import S3
from aetherflow.core.api import ConnectorInit

pytest_plugins = ["aetherflow.core.testing.fixtures"]


def s3_config(url: str) -> dict[str, Any]:
    key = {"access_key_id": "test", "secret_access_key": "test"}
    return {"bucket": "lake", "prefix": "landing/zone", "endpoint_url": url, "region": "us-east-1", **key}


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    """Address of a server with the bucket `lake`."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    with S3(ConnectorInit("peer", "acme_remote", "s3", s3_config(url), {})) as peer:
        peer.fs.call_s3("create_bucket", Bucket="lake")
    yield url
    server.stop()


@contextmanager
def running(folder: Path) -> Iterator[int]:
    authorizer = DummyAuthorizer()
    authorizer.add_user("acme", "pass", str(folder), perm="elradfmwMT")
    server = ThreadedFTPServer(("127.0.0.1", 0), type("Handler", (FTPHandler,), {"authorizer": authorizer}))
    ended = threading.Event()

    def serve() -> None:
        while not ended.is_set():
            server.serve_forever(timeout=0.05, blocking=False, handle_exit=False)
        server.close_all()  # in this thread: the server's loop is not to lose its sockets while it runs

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield server.address[1]
    finally:
        ended.set()
        thread.join()


@pytest.fixture
def serve_ftp() -> Iterator[Callable[[Path], int]]:
    """A function that serves a folder to the account acme and returns the port."""
    with ExitStack() as stack:
        yield lambda folder: stack.enter_context(running(folder))
