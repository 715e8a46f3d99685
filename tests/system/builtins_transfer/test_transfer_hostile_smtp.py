"""Mail servers that are slow, silent, endless or talk nonsense, in every phase: the limit holds, and so does memory."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable

import pytest
from hostile_peers import FAULTS, HERE, Hostile, costs, hostile

from aetherflow.core.api import ConnectorError, ConnectorInit
from aetherflow_builtins_transfer.connectors.mail.smtp import SmtpConnector
from aetherflow_builtins_transfer.mail.bodies import Body
from aetherflow_builtins_transfer.mail.message import Mail, build, envelope_of
from mail_server import PASSWORD, USER, Start

TIMEOUT, GRACE = 0.4, 20
PHASES = ("connect", "banner", "greeting", "login", "middle")
ANSWERS = {
    "banner": b"220 here\r\n",
    "greeting": b"250-here\r\n250 AUTH PLAIN\r\n",
    "login": b"235 welcome\r\n",
    "middle": b"250 fine\r\n",
}
LINES = {"greeting": b"250-and more\r\n"}
MAIL = Mail("r@x.test", ["b@x.test"], "s", Body("text"), key="k")


def connector(port: int, timeout: float = TIMEOUT) -> SmtpConnector:
    config = {
        "host": HERE, "port": port, "tls": "none", "from_addr": "r@x.test", "username": "u", "password": "secret",
        "allow_plaintext_auth": True,
    }  # fmt: skip
    return SmtpConnector(ConnectorInit("post", "mail", "smtp", config, {"timeout": timeout}))


def honest_until(phase: str, peer: socket.socket) -> None:
    """Answer as a mail server does, up to a phase."""
    for name, answer in ANSWERS.items():
        if phase in (name, "connect"):
            break
        peer.sendall(answer)
        peer.recv(4096)


def talk(phase: str, fault: str) -> Callable[[Hostile, socket.socket], None]:
    """A server that is honest up to a phase."""

    def serve(server: Hostile, peer: socket.socket) -> None:
        honest_until(phase, peer)
        server.misbehave(fault, peer, LINES.get(phase, b"250-x\r\n"))

    return serve


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("phase", PHASES)
def test_the_limit_holds(phase: str, fault: str) -> None:
    with (
        hostile(talk(phase, fault)) as server,
        contextlib.closing(connector(server.port)) as post,
        costs() as cost,
        pytest.raises(ConnectorError) as caught,
    ):
        post.send(build(MAIL), envelope_of(MAIL))
    assert cost.mebibytes < 64
    assert cost.seconds < TIMEOUT * 6 + GRACE, "a limit for each answer"
    assert len(str(caught.value)) < 1000
    assert caught.value.fix


@pytest.mark.parametrize("phase", PHASES)
def test_a_stop_ends_it_at_once(phase: str) -> None:
    reached = threading.Event()

    def serve(server: Hostile, peer: socket.socket) -> None:
        honest_until(phase, peer)
        reached.set()
        server.silent(peer)

    with hostile(serve) as server:
        post = connector(server.port, timeout=600)

        def stop() -> None:
            reached.wait()
            post.interrupt()

        stopping = threading.Thread(target=stop)
        stopping.start()
        with costs() as cost, pytest.raises(ConnectorError):
            post.send(build(MAIL), envelope_of(MAIL))
        stopping.join()
        post.close()
    assert cost.seconds < GRACE


def test_tls_begins_in_the_thread_that_uses_the_connection(
    start_mail_server: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python 3.13 would take an old error of that thread for one of the new connection."""
    begun: list[int] = []
    plain = ssl.SSLSocket.do_handshake

    def noted(sock: ssl.SSLSocket, block: bool = False) -> None:
        begun.append(threading.get_ident())
        plain(sock, block)

    server = start_mail_server("implicit")
    monkeypatch.setattr(ssl.SSLSocket, "do_handshake", noted)
    config = {"host": "localhost", "port": server.port, "tls": "implicit", "ca_file": str(server.ca_file)}
    account = {"username": USER, "password": PASSWORD, "from_addr": "r@x.test"}
    with contextlib.closing(SmtpConnector(ConnectorInit("post", "mail", "smtp", config | account, {}))) as post:
        post.probe()
    assert threading.get_ident() in begun
