"""What can be said of the Oracle connector without a server; with one, see AETHERFLOW_TEST_ORACLE_URL below."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from aetherflow.core.api import ConnectorInit
from aetherflow.core.testing import SqlSuite
from aetherflow_builtins_db.connectors.oracledb.connector import OracleConnector
from svc import free_port
from tns import refusal

SERVER = os.environ.get("AETHERFLOW_TEST_ORACLE_URL")
Listener = Callable[[bytes, bool], int]


def connector(options: dict[str, Any] | None = None, **config: Any) -> OracleConnector:
    given = {"user": "etl", "password": "pw-0f-etl", **config}
    return OracleConnector(ConnectorInit("erp", "db", "oracledb", given, options or {}))


@pytest.fixture
def listener() -> Iterator[Listener]:
    """Speaks so much of TNS that a connect is refused, or accepted and left alone; gives its port."""
    sockets: list[socket.socket] = []

    def start(reply: bytes, silent: bool) -> int:
        server = socket.create_server(("127.0.0.1", 0))
        sockets.append(server)

        def serve() -> None:
            while True:
                try:
                    peer, _ = server.accept()
                except OSError:
                    return
                sockets.append(peer)
                peer.recv(4096)
                if reply:
                    peer.sendall(reply)
                if not silent:
                    peer.close()

        threading.Thread(target=serve, daemon=True).start()
        return int(server.getsockname()[1])

    yield start
    for each in sockets:
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)  # else a thread that waits in accept() goes on, on the number of the socket
        each.close()


CHILD = """
import json, sys
from aetherflow.core.api import ConnectorError, ConnectorInit
from aetherflow_builtins_db.connectors.oracledb.connector import OracleConnector
config, options = json.loads(sys.argv[1])
try:
    OracleConnector(ConnectorInit("erp", "db", "oracledb", config, options)).probe()
except ConnectorError as error:
    print(json.dumps([str(error), error.fix]))
"""


def failing_probe(options: dict[str, Any], **config: Any) -> tuple[str, str]:
    """Message and advice, from a process of its own: a failed connect leaves sockets of the driver behind."""
    given = {"user": "etl", "password": "pw-0f-etl", "host": "127.0.0.1", **config}
    command = [sys.executable, "-c", CHILD, json.dumps([given, {"connect_attempts": 1, **options}])]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout, done.stderr
    message, fix = json.loads(done.stdout)
    assert "\n" not in message
    assert "pw-0f-etl" not in message
    return message, fix


@pytest.mark.parametrize(
    ("code", "advice"),
    [(12514, "check config.service_name or sid"), (12505, "check config.service_name or sid"), (12520, "")],
)
def test_a_refusal_is_one_line_with_advice(listener: Listener, code: int, advice: str) -> None:
    port = listener(refusal(code), False)
    message, fix = failing_probe({}, port=port, service_name="svc")
    assert message.startswith(f"resource erp (db:oracledb): connecting to etl@127.0.0.1:{port} failed: ")
    assert advice in fix


def test_nobody_listens() -> None:
    message, fix = failing_probe({"connect_attempts": 2}, port=free_port(), service_name="svc")
    assert "refused" in message
    assert "listener" in fix


def test_a_listener_that_stays_silent_holds_nobody(listener: Listener) -> None:
    begun = time.monotonic()
    message, _fix = failing_probe({"connect_timeout": 0.3}, port=listener(b"", True), service_name="svc")
    assert "did not answer" in message
    assert time.monotonic() - begun < 20


def test_thick_mode_needs_its_libraries(tmp_path: Path) -> None:
    message, fix = failing_probe({"lib_dir": str(tmp_path)}, service_name="svc")
    assert "DPI-1047" in message
    assert "lib_dir" in fix


if SERVER:

    class TestOracle(SqlSuite):
        """Collected only where a server is named: oracle://user:password@host:1521/?service_name=…"""

        connector = OracleConnector
        name = "db.oracledb"
        integer_type = "NUMBER(18)"
        text_type = "VARCHAR2(100)"
        sequence = "SELECT LEVEL AS n FROM dual CONNECT BY LEVEL <= {count}"
        endless = "SELECT count(*) FROM all_objects a, all_objects b, all_objects c, all_objects d"
        undoes_tables = False
        has_returning = False
        names_are_upper = True

        def config(self, place: Path) -> dict[str, Any]:
            return {"url": SERVER}

        def unreachable(self, place: Path) -> dict[str, Any]:
            return {"host": "127.0.0.1", "port": free_port(), "service_name": "none"}
