"""Servers for the tests: S3 by moto, FTP by pyftpdlib and by ProFTPD, which was not written for tests."""

import contextlib
import grp
import os
import pwd
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from moto.server import ThreadedMotoServer
from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import FTPHandler, TLS_FTPHandler
from pyftpdlib.servers import ThreadedFTPServer

from acme_remote.s3 import S3
from aetherflow.core.api import ConnectorInit

pytest_plugins = ["aetherflow.core.testing.fixtures"]

PROFTPD = shutil.which("proftpd", path=f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin")
CONFIG = """\
<IfModule mod_dso.c>
ModulePath /usr/lib/proftpd
LoadModule mod_ls.c
LoadModule mod_xfer.c
</IfModule>
ServerName test
ServerType standalone
DefaultAddress 127.0.0.1
Port {port}
UseIPv6 off
UseReverseDNS off
WtmpLog off
User {user}
Group {group}
RootLogin on
RequireValidShell off
AuthOrder mod_auth_file.c
AuthUserFile {work}/users
AllowOverwrite on
MaxInstances 50
PidFile {work}/pid
ScoreboardFile {work}/scoreboard
SystemLog {work}/log
TransferLog none
"""
HASHED = "$1$aetherfl$gN7xF1g7GH88H04sxAJ27/"
"""`pass`, by `openssl passwd -1 -salt aetherfl pass`."""


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
def running(folder: Path, certificate: Path | None = None) -> Iterator[int]:
    authorizer = DummyAuthorizer()
    authorizer.add_user("acme", "pass", str(folder), perm="elradfmwMT")
    if certificate is None:
        handler = type("Handler", (FTPHandler,), {"authorizer": authorizer})
    else:
        secured = {"certfile": str(certificate), "tls_control_required": True, "tls_data_required": True}
        handler = type("Handler", (TLS_FTPHandler,), {"authorizer": authorizer, **secured})
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


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and its certificate for 127.0.0.1, which nobody signed but itself."""
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    made = ["-newkey", "rsa:2048", "-nodes", "-days", "2", "-keyout", str(path), "-out", f"{path}.crt"]
    subprocess.run(["openssl", "req", "-x509", *made, *names], check=True, capture_output=True)
    path.write_text(path.read_text() + Path(f"{path}.crt").read_text())
    return path


@pytest.fixture
def serve_ftp() -> Iterator[Callable[..., int]]:
    """A function that serves a folder to the account acme, with TLS if it gets a certificate; returns the port."""
    with ExitStack() as stack:
        yield lambda folder, certificate=None: stack.enter_context(running(folder, certificate))


@contextmanager
def running_proftpd(folder: Path, work: Path) -> Iterator[int]:
    """Serve a folder to the account acme; the port."""
    if PROFTPD is None:
        raise RuntimeError("proftpd is missing: apt-get install proftpd-core")
    user, group = pwd.getpwuid(os.getuid()), grp.getgrgid(os.getgid())
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    work.mkdir(mode=0o700)
    users = work / "users"
    users.write_text(f"acme:{HASHED}:{user.pw_uid}:{group.gr_gid}::{folder}:/bin/sh\n")
    users.chmod(0o600)
    config = work / "config"
    config.write_text(CONFIG.format(port=port, user=user.pw_name, group=group.gr_name, work=work))
    with (work / "out").open("w") as out:
        process = subprocess.Popen([PROFTPD, "-n", "-q", "-c", str(config)], stdout=out, stderr=out)
    try:
        deadline = time.monotonic() + 20
        while True:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((work / "out").read_text())
            time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait()


@pytest.fixture
def serve_proftpd(tmp_path: Path) -> Iterator[Callable[[Path], int]]:
    """The same by ProFTPD, which shows the whole file system."""
    if PROFTPD is None:
        pytest.skip("proftpd is missing: apt-get install proftpd-core")
    with ExitStack() as stack:
        yield lambda folder: stack.enter_context(running_proftpd(folder, tmp_path / "proftpd"))
