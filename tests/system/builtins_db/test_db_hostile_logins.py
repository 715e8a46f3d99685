"""Servers that ask for the password: none gets it, unless the flow's author has spelt that it may."""

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from aetherflow.core.api import ConnectorError, ConnectorInit
from aetherflow_builtins_db.connectors.mysql.connector import MySQLConnector
from aetherflow_builtins_db.connectors.postgres.connector import PostgresConnector
from services import Tls

PASSWORD = "correct-horse-battery"
HERE, ELSEWHERE = "127.0.0.1", "0.0.0.0"
Talk = Callable[[socket.socket], bytes]


@contextmanager
def hostile(talk: Talk) -> Iterator[tuple[int, list[bytes]]]:
    """A server; its port, and what each client sent after it was asked."""
    heard: list[bytes] = []
    with socket.create_server((HERE, 0)) as server:

        def serve() -> None:
            while True:
                try:
                    peer, _ = server.accept()
                except OSError:
                    return
                with peer:
                    try:
                        heard.append(talk(peer))
                    except (OSError, struct.error):  # it has closed the connection
                        heard.append(b"")

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()[1], heard
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


def refused(connector: type[Any], host: str, port: int, config: Any = (), options: Any = ()) -> ConnectorError:
    """The error of a login with `PASSWORD`."""
    given = {"host": host, "port": port, "user": "etl", "password": PASSWORD, "database": "d", **dict(config)}
    init = ConnectorInit("shop", "db", "hostile", given, {"connect_attempts": 1, "timeout": 5, **dict(options)})
    with connector(init) as db, pytest.raises(ConnectorError) as caught:
        db.probe()
    return caught.value


# PostgreSQL: https://www.postgresql.org/docs/current/protocol-message-formats.html

ASKS = {"password": struct.pack("!cii", b"R", 8, 3), "md5": struct.pack("!cii4s", b"R", 12, 5, b"salt")}
TLS_REQUEST, GSS_REQUEST = 80_877_103, 80_877_104


def postgres(asks: bytes, tls: Tls | None = None) -> Talk:
    """A server that asks for the password in one way; without `tls` it refuses encryption."""

    def talk(peer: socket.socket) -> bytes:
        while True:
            length, kind = struct.unpack("!ii", peer.recv(8))
            if kind == TLS_REQUEST and tls is not None:
                peer.sendall(b"S")
                peer = tls.server.wrap_socket(peer, server_side=True)
            elif kind in (TLS_REQUEST, GSS_REQUEST):
                peer.sendall(b"N")
            else:
                peer.recv(length - 8)
                peer.sendall(asks)
                return peer.recv(65_536)

    return talk


@pytest.mark.parametrize("way", ASKS)
@pytest.mark.parametrize("host", [HERE, ELSEWHERE])
def test_postgres_gives_nobody_the_password(host: str, way: str) -> None:
    with hostile(postgres(ASKS[way])) as (port, heard):
        error = refused(PostgresConnector, host, port)
    assert heard, error
    assert not any(heard), "it has told something after it was asked"
    assert error.fix


def test_postgres_gives_it_to_no_server_of_another_name(tls: Tls) -> None:
    with hostile(postgres(ASKS["password"], tls)) as (port, heard):
        error = refused(PostgresConnector, ELSEWHERE, port)
    assert not any(heard)
    assert "certificate" in str(error)
    assert "config.ssl" in error.fix


@pytest.mark.parametrize("spelt", [{"require_auth": "password"}, {"require_auth": "password", "sslmode": "prefer"}])
def test_postgres_gives_it_where_that_is_spelt(spelt: dict[str, str]) -> None:
    host = ELSEWHERE if "sslmode" in spelt else HERE
    with hostile(postgres(ASKS["password"])) as (port, heard):
        refused(PostgresConnector, host, port, options={"connect_args": spelt})
    assert PASSWORD.encode() in heard[0]


# MySQL: https://dev.mysql.com/doc/dev/mysql-server/latest/PAGE_PROTOCOL.html

KEY = (
    rsa.generate_private_key(public_exponent=65_537, key_size=1024)
    .public_key()
    .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
)
SWITCHES = {
    "mysql_clear_password": [],
    "mysql_old_password": [],
    "dialog": [],
    "sha256_password": [b"\x01" + KEY],
    "caching_sha2_password": [b"\x01\x04", b"\x01" + KEY],
}
"""What a hostile server sends after it has switched to a plugin, each after one packet of the client."""
SALTS = {"dialog": b"\x04Password: "}


def packet(data: bytes, number: int) -> bytes:
    return struct.pack("<I", len(data))[:3] + bytes([number]) + data


def greeting(plugin: str = "mysql_native_password") -> bytes:
    """The first packet of a server without TLS: protocol 4.1, with plugins."""
    can = 0x1 | 0x8 | 0x200 | 0x2000 | 0x8000 | 0x80000
    head = b"\x0a8.0.30\0" + struct.pack("<I", 7) + b"12345678\0" + struct.pack("<H", can & 0xFFFF)
    tail = b"\x2d" + struct.pack("<HHB", 2, can >> 16, 21) + bytes(10) + b"abcdefghijkl\0"
    return packet(head + tail + plugin.encode() + b"\0", 0)


def mysql(plugin: str) -> Talk:
    """A server that switches to a plugin after the client's login."""

    def talk(peer: socket.socket) -> bytes:
        peer.sendall(greeting())
        if not peer.recv(65_536):
            return b""
        number = 2
        switch = b"\xfe" + plugin.encode() + b"\0" + SALTS.get(plugin, b"x" * 20 + b"\0")
        for data in (switch, *SWITCHES[plugin]):
            peer.sendall(packet(data, number))
            number += 2
            found = peer.recv(65_536)
        return found

    return talk


@pytest.mark.parametrize("plugin", SWITCHES)
def test_mysql_gives_nobody_the_password(plugin: str) -> None:
    with hostile(mysql(plugin)) as (port, heard):
        error = refused(MySQLConnector, HERE, port, config={"ssl": "disable"})
    assert heard, error
    assert not any(heard), "it has told something after it was asked"
    assert "nothing was sent" in str(error)
    assert "config.ssl" in error.fix


def test_mysql_says_nothing_to_a_server_without_tls_elsewhere() -> None:
    def talk(peer: socket.socket) -> bytes:
        peer.sendall(greeting())
        return peer.recv(65_536)

    with hostile(talk) as (port, heard):
        error = refused(MySQLConnector, ELSEWHERE, port)
    assert heard, error
    assert not any(heard)
    assert "config.ssl" in error.fix
