"""Mail servers that are slow, silent, endless or talk nonsense, in every phase: the limit holds, and so does memory."""

import contextlib
import socket
import threading
from collections.abc import Callable

import pytest
from hostile_peers import HERE, Hostile, costs, hostile

from aetherflow.core.api import ConnectorError, ConnectorInit
from aetherflow_builtins_transfer.connectors.mail.smtp import SmtpConnector
from aetherflow_builtins_transfer.mail.bodies import Body
from aetherflow_builtins_transfer.mail.message import Mail

TIMEOUT, GRACE = 0.4, 20
PHASES = ("connect", "banner", "greeting", "login", "middle")
FAULTS = ("endless", "slow", "silent", "garbage", "cut")
ANSWERS = {
    "banner": b"220 here\r\n",
    "greeting": b"250-here\r\n250 AUTH PLAIN\r\n",
    "login": b"235 welcome\r\n",
    "middle": b"250 fine\r\n",
}
LINES = {"greeting": b"250-and more\r\n"}
MAIL = Mail("r@x.test", ["b@x.test"], "s", Body("text"), key="k")


def connector(port: int) -> SmtpConnector:
    config = {
        "host": HERE, "port": port, "tls": "none", "from_addr": "r@x.test", "username": "u", "password": "secret",
        "allow_plaintext_auth": True,
    }  # fmt: skip
    return SmtpConnector(ConnectorInit("post", "mail", "smtp", config, {"timeout": TIMEOUT}))


def talk(phase: str, fault: str) -> Callable[[Hostile, socket.socket], None]:
    """A server that is honest up to a phase."""

    def serve(server: Hostile, peer: socket.socket) -> None:
        for name, answer in ANSWERS.items():
            if phase in (name, "connect"):
                break
            peer.sendall(answer)
            peer.recv(4096)
        line = LINES.get(phase, b"250-x\r\n")
        match fault:
            case "endless":
                server.endless(peer, line)
            case "slow":
                server.slow(peer, line * 100)
            case "silent":
                server.silent(peer)
            case "garbage":
                server.garbage(peer)

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
        post.send(MAIL)
    assert cost.mebibytes < 64
    assert cost.seconds < TIMEOUT * 6 + GRACE, "a limit for each answer"
    assert len(str(caught.value)) < 1000
    assert caught.value.fix


@pytest.mark.parametrize("phase", PHASES)
def test_a_stop_ends_it_at_once(phase: str) -> None:
    reached = threading.Event()

    def serve(server: Hostile, peer: socket.socket) -> None:
        for name, answer in ANSWERS.items():
            if phase in (name, "connect"):
                break
            peer.sendall(answer)
            peer.recv(4096)
        reached.set()
        server.silent(peer)

    with hostile(serve) as server:
        post = SmtpConnector(
            ConnectorInit(
                "post", "mail", "smtp",
                {"host": HERE, "port": server.port, "tls": "none", "from_addr": "r@x.test", "username": "u",
                 "password": "secret", "allow_plaintext_auth": True},
                {"timeout": 600},
            )
        )  # fmt: skip

        def stop() -> None:
            reached.wait()
            post.interrupt()

        stopping = threading.Thread(target=stop)
        stopping.start()
        with costs() as cost, pytest.raises(ConnectorError):
            post.send(MAIL)
        stopping.join()
        post.close()
    assert cost.seconds < GRACE
