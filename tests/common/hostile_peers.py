"""Servers that behave badly: they talk without end, a byte at a time, not at all, or nonsense; and what they cost."""

import contextlib
import random
import resource
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

HERE = "127.0.0.1"
Talk = Callable[[socket.socket], None]
FAULTS = ("endless", "slow", "silent", "garbage", "cut")
SLOW_SECONDS = 0.1
"""Pause between the bytes of a slow server: shorter than any limit in the tests, and too long to ever end."""


@dataclass
class Hostile:
    """A server that treats each client as `talk` says, until the client or the test ends."""

    port: int
    over: threading.Event = field(default_factory=threading.Event)

    def endless(self, peer: socket.socket, block: bytes) -> None:
        """Send a block again and again, as fast as the client takes it."""
        data = block * max(1, 65_536 // len(block))
        while not self.over.is_set():
            peer.sendall(data)

    def slow(self, peer: socket.socket, data: bytes = b"") -> None:
        """Send data a byte at a time, then one more letter again and again."""
        sent = 0
        while not self.over.wait(SLOW_SECONDS):
            peer.sendall(data[sent : sent + 1] or b"x")
            sent += 1

    def silent(self, peer: socket.socket) -> None:
        """Keep the connection, and say nothing more."""
        peer.settimeout(0.1)
        while not self.over.is_set():
            with contextlib.suppress(TimeoutError):
                if not peer.recv(65_536):
                    return

    def garbage(self, peer: socket.socket) -> None:
        """Send bytes without a meaning, the same each time."""
        source = random.Random(7)
        while not self.over.is_set():
            peer.sendall(source.randbytes(65_536))

    def relay(self, peer: socket.socket, port: int, most: int) -> bool:
        """Forward between the client and a real server; True when that one has sent `most` bytes, of which all but
        the last are forwarded.
        """
        with socket.create_connection((HERE, port)) as real:
            while not self.over.is_set():
                for ready in select.select([peer, real], [], [], 0.1)[0]:
                    data = ready.recv(min(65_536, most) if ready is real else 65_536)
                    if not data:
                        return False
                    if ready is peer:
                        real.sendall(data)
                        continue
                    most -= len(data)
                    peer.sendall(data if most else data[:-1])
                    if not most:
                        return True
        return False

    def misbehave(self, fault: str, peer: socket.socket, block: bytes) -> None:
        """One of `FAULTS`; `block` is what an honest server would say next."""
        match fault:
            case "endless":
                self.endless(peer, block)
            case "slow":
                self.slow(peer, block * 100)
            case "silent":
                self.silent(peer)
            case "garbage":
                self.garbage(peer)
            case "cut":
                peer.sendall(block[: len(block) // 2])


@contextlib.contextmanager
def hostile(talk: "Callable[[Hostile, socket.socket], None]") -> Iterator[Hostile]:
    """Serve each connection in a thread of its own; all of them have ended afterwards."""
    threads: list[threading.Thread] = []
    with socket.create_server((HERE, 0)) as server:
        found = Hostile(server.getsockname()[1])

        def one(peer: socket.socket) -> None:
            with peer, contextlib.suppress(OSError):  # the client has gone
                peer.settimeout(10)
                talk(found, peer)

        def serve() -> None:
            while True:
                try:
                    peer, _ = server.accept()
                except OSError:
                    return
                threads.append(threading.Thread(target=one, args=(peer,)))
                threads[-1].start()

        accepting = threading.Thread(target=serve)
        accepting.start()
        try:
            yield found
        finally:
            found.over.set()
            server.shutdown(socket.SHUT_RDWR)
            accepting.join()
            for each in threads:
                each.join()


@dataclass
class Cost:
    """What a call has taken: seconds, and MiB of memory beyond what the process had used before."""

    seconds: float = 0.0
    mebibytes: float = 0.0


@contextlib.contextmanager
def costs() -> Iterator[Cost]:
    """Measure the block."""
    cost, began = Cost(), time.monotonic()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield cost
    cost.seconds = time.monotonic() - began
    cost.mebibytes = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
