"""Database servers that are slow, silent, endless, lie about sizes or talk nonsense: each limit holds."""

import socket
import struct
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from hostile_peers import FAULTS, HERE, Hostile, costs, hostile

from aetherflow.core.api import ConnectorError, ConnectorInit
from aetherflow_builtins_db.connectors.common import server as server_base
from aetherflow_builtins_db.connectors.common import settings
from aetherflow_builtins_db.connectors.mysql import limits
from aetherflow_builtins_db.connectors.mysql.connector import MySQLConnector
from aetherflow_builtins_db.connectors.postgres import wait
from aetherflow_builtins_db.connectors.postgres.connector import PostgresConnector
from aetherflow_builtins_db.connectors.sqlalchemy.connector import SQLAlchemyConnector

LIMIT, GRACE, STOP_SECONDS = 0.4, 20, 30
Serve = Callable[[Hostile, socket.socket], None]
OPTIONS = {"connect_timeout": LIMIT, "read_timeout": LIMIT, "statement_timeout": LIMIT, "connect_attempts": 1}


@pytest.fixture(autouse=True)
def _brief(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SLOW_LIMITS", 1)
    monkeypatch.setattr(limits, "MOST_ANSWER_BYTES", 8 << 20)
    monkeypatch.setattr(wait, "SLOW_LIMITS", 1)
    monkeypatch.setattr(wait, "MOST_ANSWER_BYTES", 8 << 20)
    monkeypatch.setattr(settings, "_LATER_SECONDS", LIMIT)
    monkeypatch.setattr("psycopg.connection.timeout_from_conninfo", lambda _: LIMIT)  # it takes no less than 2 s


def check_refused(kind: type[Any], serve: Serve, limit: float = LIMIT, options: dict[str, Any] = OPTIONS) -> None:
    """A query is refused in time, and without more memory."""
    config = {"user": "etl", "password": "correct-horse", "database": "d", "host": HERE, "ssl": "disable"}
    with hostile(serve) as server:
        init = ConnectorInit("shop", "db", "hostile", {**config, "port": server.port}, options)
        with kind(init) as db, costs() as cost, pytest.raises(ConnectorError) as caught:
            db.read("SELECT 1")
    assert cost.mebibytes < 64
    assert cost.seconds < limit * 20 + GRACE
    assert len(str(caught.value)) < 1000
    assert caught.value.fix


def check_stopped(kind: type[Any], serve: Serve, config: dict[str, Any] | None = None) -> None:
    """A stop ends a read, though no limit is set."""
    config = config or {"user": "etl", "password": "correct-horse", "database": "d", "host": HERE, "ssl": "disable"}
    reached = threading.Event()

    def talk(server: Hostile, peer: socket.socket) -> None:
        serve(Reached(server.port, server.over, reached=reached), peer)

    with hostile(talk) as server:
        config = {"url": config["url"].format(server.port)} if "url" in config else {**config, "port": server.port}
        errors: list[ConnectorError] = []
        with kind(ConnectorInit("shop", "db", "hostile", config, {"connect_timeout": 300})) as db:

            def read() -> None:
                with pytest.raises(ConnectorError) as caught:
                    db.read("SELECT 1")
                errors.append(caught.value)

            reading = threading.Thread(target=read)
            reading.start()
            assert reached.wait(30)
            began = time.monotonic()
            db.interrupt()
            assert time.monotonic() - began < STOP_SECONDS
            reading.join(60)
            assert not reading.is_alive()
            assert time.monotonic() - began < STOP_SECONDS
    assert "interrupted" in str(errors[0]) or HERE in str(errors[0])


class Reached(Hostile):
    """A server that tells when it begins to misbehave."""

    def __init__(self, port: int, over: threading.Event, *, reached: threading.Event) -> None:
        super().__init__(port, over)
        self._reached = reached

    def misbehave(self, fault: str, peer: socket.socket, block: bytes) -> None:
        self._reached.set()
        super().misbehave(fault, peer, block)


# MySQL: https://dev.mysql.com/doc/dev/mysql-server/latest/PAGE_PROTOCOL.html


def packet(data: bytes, number: int) -> bytes:
    return struct.pack("<I", len(data))[:3] + bytes([number]) + data


def greeting() -> bytes:
    """The first packet of a server without TLS: protocol 4.1, with plugins."""
    can = 0x1 | 0x8 | 0x200 | 0x2000 | 0x8000 | 0x80000
    head = b"\x0a8.0.30\0" + struct.pack("<I", 7) + b"12345678\0" + struct.pack("<H", can & 0xFFFF)
    tail = b"\x2d" + struct.pack("<HHB", 2, can >> 16, 21) + bytes(10) + b"abcdefghijkl\0"
    return packet(head + tail + b"mysql_native_password\0", 0)


FINE = b"\0\0\0\x02\0\0\0"


def big(number: int) -> bytes:
    """A packet that says that another one belongs to it."""
    return b"\xff\xff\xff" + bytes([number % 256]) + bytes(0xFFFFFF)


def mysql(phase: str, fault: str, block: bytes | None = None) -> Serve:
    """A server that is honest up to a phase."""

    def serve(server: Hostile, peer: socket.socket) -> None:
        if phase != "connect":
            peer.sendall(greeting())
            peer.recv(65_536)
        if phase in ("setup", "middle"):
            peer.sendall(packet(FINE, 2))
            asked = peer.recv(65_536)
            while phase == "middle" and b"START TRANSACTION" not in asked:
                peer.sendall(packet(FINE, 1))
                asked = peer.recv(65_536)
        server.misbehave(fault, peer, blocks[phase] if block is None else block)

    blocks = {"connect": greeting(), "login": packet(FINE, 2), "setup": packet(FINE, 1), "middle": packet(FINE, 1)}
    return serve


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("phase", ["connect", "login", "setup", "middle"])
def test_mysql_is_limited(phase: str, fault: str) -> None:
    check_refused(MySQLConnector, mysql(phase, fault))


@pytest.mark.parametrize("phase", ["connect", "login"])
def test_mysql_before_the_login_sends_little(phase: str) -> None:
    """A packet that goes on in the next one, and so on."""
    number = {"connect": 0, "login": 2}[phase]

    def serve(server: Hostile, peer: socket.socket) -> None:
        if phase == "login":
            peer.sendall(greeting())
            peer.recv(65_536)
        while not server.over.is_set():
            nonlocal number
            peer.sendall(big(number))
            number += 1

    check_refused(MySQLConnector, serve)


def test_mysql_gets_no_file_that_it_asks_for() -> None:
    """A server may ask for a file of the client after any statement."""
    sent: list[bytes] = []

    def serve(server: Hostile, peer: socket.socket) -> None:
        mysql("middle", "none")(server, peer)
        peer.sendall(packet(b"\xfb/etc/hostname", 1))
        sent.append(peer.recv(65_536))

    check_refused(MySQLConnector, serve)
    assert sent == [b""]


COLUMN = b"\3def\1d\1t\1t\1a\1a\x0c" + struct.pack("<HIBHBH", 63, 11, 3, 0, 0, 0)
"""The description of a column of integers."""
ANSWERS = {
    "columns": packet(b"\xfe" + b"\xff" * 8, 1),
    "rows": packet(b"\1", 1) + packet(COLUMN, 2) + packet(b"\xfe\0\0\2\0", 3),
}
"""A result of 2^64 - 1 columns, and one of one column."""


@pytest.mark.parametrize("fault", ["endless", "silent", "cut"])
@pytest.mark.parametrize("answer", ANSWERS)
def test_mysql_lies_about_a_result(answer: str, fault: str) -> None:
    """Columns without end; a row of packets without end."""

    def serve(server: Hostile, peer: socket.socket) -> None:
        mysql("middle", "none")(server, peer)
        peer.sendall(ANSWERS[answer])
        number = ANSWERS[answer].count(b"def") * 2 + 2
        if fault != "endless":
            server.misbehave(fault, peer, packet(COLUMN, number))
        while fault == "endless" and not server.over.is_set():
            peer.sendall(packet(COLUMN, number % 256) if answer == "columns" else big(number))
            number += 1

    check_refused(MySQLConnector, serve, options={"connect_attempts": 1, "read_timeout": LIMIT})


# PostgreSQL: https://www.postgresql.org/docs/current/protocol-message-formats.html


def message(kind: bytes, data: bytes) -> bytes:
    return kind + struct.pack("!i", len(data) + 4) + data


LOGIN_OK = message(b"R", bytes(4))
READY = message(b"Z", b"I")
DONE = message(b"C", b"SET\0") + READY
NOTICE = message(b"N", b"SNOTICE\0C00000\0Mhello\0\0")
ROW = message(b"D", struct.pack("!hi", 1, 1) + b"1")
ROWS = message(b"T", struct.pack("!h", 1) + b"a\0" + struct.pack("!ihihih", 0, 0, 23, 4, -1, 0))
"""The description of one column of integers."""
PG_BLOCKS = {
    "connect": LOGIN_OK, "login": LOGIN_OK, "status": message(b"S", b"a\0b\0"), "setup": NOTICE, "middle": ROW,
}  # fmt: skip


def postgres(phase: str, fault: str, block: bytes | None = None) -> Serve:
    """A server that is honest up to a phase."""

    def serve(server: Hostile, peer: socket.socket) -> None:
        if phase != "connect":
            peer.recv(65_536)
        if phase in ("status", "setup", "middle"):
            peer.sendall(LOGIN_OK)
        if phase in ("setup", "middle"):
            peer.sendall(READY)
            asked = peer.recv(65_536)
            while phase == "middle" and b"BEGIN" not in asked:
                peer.sendall(DONE)
                asked = peer.recv(65_536)
        if phase == "middle":
            peer.sendall(message(b"C", b"BEGIN\0") + message(b"Z", b"T"))
            peer.recv(65_536)
            if block is None:
                peer.sendall(ROWS)
        server.misbehave(fault, peer, PG_BLOCKS[phase] if block is None else block)

    return serve


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("phase", PG_BLOCKS)
def test_postgres_is_limited(phase: str, fault: str) -> None:
    check_refused(PostgresConnector, postgres(phase, fault))


def test_an_answer_of_postgres_ends_without_a_limit_of_time() -> None:
    check_refused(PostgresConnector, postgres("middle", "endless"), options={"connect_attempts": 1})


LENGTHS = {"a row of 1 GB": b"D" + struct.pack("!i", 1 << 30) + bytes(4), "a length below 0": b"D" + b"\xff" * 8}


@pytest.mark.parametrize("lie", LENGTHS)
@pytest.mark.parametrize("fault", ["slow", "silent", "cut"])
def test_a_lie_of_postgres_about_a_length(lie: str, fault: str) -> None:
    check_refused(PostgresConnector, postgres("middle", fault, ROWS + LENGTHS[lie] + bytes(100)))


# Stops. A connect of the tests takes 300 seconds by itself, and what comes after has no limit at all.


@pytest.fixture
def _unlimited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("psycopg.connection.timeout_from_conninfo", lambda _: 300)
    monkeypatch.setattr(server_base, "_BREAK_SECONDS", 0.5)


@pytest.mark.usefixtures("_unlimited")
@pytest.mark.parametrize("fault", ["slow", "silent"])
@pytest.mark.parametrize("phase", ["connect", "login", "middle"])
@pytest.mark.parametrize(
    ("kind", "serve"),
    [(MySQLConnector, mysql), (PostgresConnector, postgres)],
    ids=["mysql", "postgres"],
)
def test_a_stop_ends_what_has_no_limit(kind: type[Any], serve: Callable[..., Serve], phase: str, fault: str) -> None:
    check_stopped(kind, serve(phase, fault))


@pytest.mark.usefixtures("_unlimited")
def test_a_stop_ends_a_connect_of_sqlalchemy() -> None:
    url = f"postgresql+psycopg://etl:secret-word@{HERE}:{{}}/d?sslmode=disable"
    check_stopped(SQLAlchemyConnector, postgres("connect", "silent"), {"url": url})
