"""An FTP server for the tests: `serve_ftp(folder)` starts one for the account acme and returns its port."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import FTPHandler
from pyftpdlib.servers import ThreadedFTPServer

pytest_plugins = ["aetherflow.core.testing.fixtures"]


@contextmanager
def running(folder: Path) -> Iterator[int]:
    authorizer = DummyAuthorizer()
    authorizer.add_user("acme", "pass", str(folder), perm="elradfmwMT")
    handler = type("Handler", (FTPHandler,), {"authorizer": authorizer})
    server = ThreadedFTPServer(("127.0.0.1", 0), handler)
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
    with ExitStack() as stack:
        yield lambda folder: stack.enter_context(running(folder))
