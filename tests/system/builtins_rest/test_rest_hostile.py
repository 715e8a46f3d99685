"""HTTP servers that are slow, silent, endless, lie about sizes or talk nonsense, in every phase: each limit holds."""

import contextlib
import gzip
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hostile_peers import FAULTS, HERE, Hostile, costs, hostile

from aetherflow.core.api import ConnectorError, ConnectorInit
from aetherflow.core.testing import FlowProject, Ran
from aetherflow_builtins_rest import network
from aetherflow_builtins_rest.connectors.httpx import HttpxConnector
from aetherflow_builtins_rest.steps import download, request

TIMEOUT, GRACE = 0.2, 20
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNK = b"10000\r\n" + b" " * 65_536 + b"\r\n"
PHASES: dict[str, tuple[bytes, bytes]] = {
    "connect": (b"", b"x"),
    "head": (OK, b"X-More: and more\r\n"),
    "interim": (b"", b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"),
    "body": (CHUNKED, CHUNK),
    "trailer": (CHUNKED + b"0\r\n", b"X-More: and more\r\n"),
}
"""What an honest server has sent by then, and what it says next."""
OAUTH = {"type": "oauth2", "client_id": "c", "client_secret": "s3cret-17"}


@pytest.fixture(autouse=True)
def _brief(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "SLOW_TIMEOUTS", 2)


def connector(port: int, **config: Any) -> HttpxConnector:
    given = {"base_url": f"http://{HERE}:{port}", **config}
    return HttpxConnector(ConnectorInit("api", "rest", "httpx", given, {"timeout": TIMEOUT}))


def talk(phase: str, fault: str) -> Callable[[Hostile, socket.socket], None]:
    before, block = PHASES[phase]

    def serve(server: Hostile, peer: socket.socket) -> None:
        peer.recv(65_536)
        peer.sendall(before)
        server.misbehave(fault, peer, block)

    return serve


def check_refused(serve: Callable[[Hostile, socket.socket], None], **config: Any) -> ConnectorError:
    """The error of a request, which came in time and without more memory."""
    with hostile(serve) as server:
        config = {name: make(server.port) if callable(make) else make for name, make in config.items()}
        with (
            contextlib.closing(connector(server.port, **config)) as api,
            costs() as cost,
            pytest.raises(ConnectorError) as caught,
        ):
            api.get("/x")
    assert cost.mebibytes < 64
    assert cost.seconds < TIMEOUT * 20 + GRACE
    assert len(str(caught.value)) < 1000
    assert caught.value.fix
    return caught.value


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("phase", PHASES)
def test_a_request_ends(phase: str, fault: str) -> None:
    check_refused(talk(phase, fault))


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("phase", ["connect", "head", "body"])
def test_a_token_server_is_limited_likewise(phase: str, fault: str) -> None:
    error = check_refused(talk(phase, fault), auth=lambda port: {**OAUTH, "token_url": f"http://{HERE}:{port}/token"})
    assert "/token" in str(error)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_refusal_of_the_credentials_is_not_read_without_end(fault: str) -> None:
    """The answer to digest's first request is thrown away; the second one is honest."""
    challenge = (
        b'HTTP/1.1 401 No\r\nWWW-Authenticate: Digest realm="r", nonce="n"\r\nTransfer-Encoding: chunked\r\n\r\n'
    )

    def serve(server: Hostile, peer: socket.socket) -> None:
        if b"authorization:" in peer.recv(65_536).lower():
            peer.sendall(OK + b"Content-Length: 2\r\n\r\n{}")
        else:
            peer.sendall(challenge)
            server.misbehave(fault, peer, CHUNK)

    auth = {"type": "digest", "username": "u", "password": "p4ssword-17"}
    with (
        hostile(serve) as server,
        contextlib.closing(connector(server.port, auth=auth)) as api,
        costs() as cost,
        contextlib.suppress(ConnectorError),
    ):
        assert api.get("/x").json() == {}
    assert cost.mebibytes < 64
    assert cost.seconds < TIMEOUT * 20 + GRACE


LIES = {
    "more than the length": (b"Content-Length: 10\r\n\r\n", b"x" * 5),
    "a length of 1 TB": (b"Content-Length: 1000000000000\r\n\r\n", b"x"),
    "a length below 0": (b"Content-Length: -1\r\n\r\n", b"x"),
    "two lengths": (b"Content-Length: 3\r\nContent-Length: 4\r\n\r\n", b"xxx"),
    "a chunk of 1 EB": (b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffff\r\n", b"x"),
    "an endless chunk extension": (b"Transfer-Encoding: chunked\r\n\r\n1;", b"x" * 200_000),
    "a bomb": (b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n", b""),  # its body is made where it is sent
    "packed nonsense": (b"Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\n", b"abc"),
    "a coding nobody asked for": (b"Content-Encoding: br\r\nContent-Length: 3\r\n\r\n", b"abc"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_about_sizes_is_told(lie: str) -> None:
    head, body = LIES[lie]
    if lie == "a bomb":
        body = gzip.compress(bytes(200 << 20), 9)
        head %= len(body)

    def serve(server: Hostile, peer: socket.socket) -> None:
        peer.recv(65_536)
        peer.sendall(OK + head + body)

    check_refused(serve)


def test_redirects_end(flow_project: FlowProject) -> None:
    def serve(server: Hostile, peer: socket.socket) -> None:
        while peer.recv(65_536):
            peer.sendall(b"HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n")

    with hostile(serve) as server:
        api = HttpxConnector(
            ConnectorInit("api", "rest", "httpx", {"base_url": f"http://{HERE}:{server.port}"}, {"redirects": "any"})
        )
        with contextlib.closing(api), pytest.raises(ConnectorError, match="more than 10 redirects"):
            api.get("/x")


# To a file


def fetched(project: FlowProject, port: int, kind: str, **more: Any) -> Ran:
    resource = {"kind": "rest", "driver": "httpx", "config": {"base_url": f"http://{HERE}:{port}"}}
    resources = {"api": {**resource, "options": {"timeout": TIMEOUT, "show_error_body": True}}}
    inputs = {"resource": "api", "path": "/x", "output": "file.bin", **more}
    project.flow({"id": "s", "type": kind, "inputs": inputs}, resources=resources)
    return project.run()


def on_disk(project: FlowProject) -> int:
    return max((path.stat().st_size for path in project.work.rglob("*file.bin*") if path.is_file()), default=0)


FILES = {
    "a part that goes on": (
        b"HTTP/1.1 206 Part\r\nContent-Range: bytes 0-9/10\r\nTransfer-Encoding: chunked\r\n\r\n", CHUNK, 10
    ),
    "a length": (OK + b"Content-Length: 10\r\n\r\n", b"x" * 65_536, 10),
    "no length": (CHUNKED, CHUNK, 1 << 20),
    "no head": (b"", b"HTTP/1.1 100 Continue\r\n\r\n", 0),
    "an error": (b"HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n", CHUNK, 0),
}  # fmt: skip


@pytest.mark.parametrize("kind", ["http_download", "http_request"])
@pytest.mark.parametrize("case", FILES)
def test_not_a_byte_beyond_the_size_is_written(
    flow_project: FlowProject, monkeypatch: pytest.MonkeyPatch, case: str, kind: str
) -> None:
    before, block, most = FILES[case]
    monkeypatch.setattr(download, "UNTOLD_BYTES", 1 << 20)
    monkeypatch.setattr(request, "UNTOLD_BYTES", 1 << 20)

    def serve(server: Hostile, peer: socket.socket) -> None:
        peer.recv(65_536)
        peer.sendall(before)
        server.endless(peer, block)

    with hostile(serve) as server, costs() as cost:
        ran = fetched(flow_project, server.port, kind)
    assert cost.mebibytes < 64
    assert cost.seconds < GRACE
    assert ran.status == ("SUCCESS" if case == "a length" else "FAILED"), ran.error
    assert on_disk(flow_project) <= (most if kind == "http_download" or case != "a part that goes on" else 1 << 20)


@pytest.mark.parametrize("fault", ["slow", "silent", "garbage", "cut"])
def test_a_download_ends(flow_project: FlowProject, tmp_path: Path, fault: str) -> None:
    with hostile(talk("body", fault)) as server, costs() as cost:
        ran = fetched(flow_project, server.port, "http_download")
    assert cost.seconds < TIMEOUT * 20 + GRACE
    assert ran.status == "FAILED"
    assert [path for path in flow_project.work.rglob("file.bin") if path.parent.name == "artifacts"] == []
