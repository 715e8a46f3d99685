"""A TCP proxy that misbehaves on demand: cuts after n bytes in either direction, stalls, slows down. No root needed."""

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Literal, Self

How = Literal["rst", "fin", "stall"]
CHUNK = 1 << 16
END_SECONDS = 10.0
"""A thread whose sockets are shut ends at once; so long is waited on a busy machine."""


class Proxy:
    """Listens on `port` of 127.0.0.1 and forwards everything to another port, until a fault is due.

    Use it as a context manager. `up` and `down` count the bytes from and to the client, `connections` the clients.

    :param target: the port of the server
    :param up: byte from the client after which the connection is cut; None: never
    :param down: the same for bytes to the client
    :param how: `rst` resets both ends, `fin` closes them, `stall` keeps them open and forwards nothing either way
    :param faults: how many connections get the fault, counted from the first; None: all
    :param rate: bytes per second in either direction, for all connections; None: unlimited
    """

    def __init__(
        self,
        target: int,
        *,
        up: int | None = None,
        down: int | None = None,
        how: How = "rst",
        faults: int | None = 1,
        rate: float | None = None,
    ) -> None:
        self.target = target
        self.cut = {"up": up, "down": down}
        self.how, self.faults, self.rate = how, faults, rate
        self.up = self.down = self.connections = self.cuts = 0
        self.closing = threading.Event()
        self.cutting = threading.Lock()
        self.open: list[socket.socket] = []
        self.stalled: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        self._threads: list[threading.Thread] = []
        self.work(self._accept)

    def work(self, target: Callable[..., None], *given: object) -> None:
        """Run a function in a thread that ends before the proxy is closed."""
        thread = threading.Thread(target=target, args=given, daemon=True)
        self._threads.append(thread)
        thread.start()

    def mend(self) -> None:
        """From now on no faults; what is stalled stays so, what was being cut is cut: a child that is forked then holds
        none of it open.
        """
        with self.cutting:
            pass
        self.cut = {"up": None, "down": None}
        self.rate = None

    def reconnect(self) -> None:
        """Stop all faults, and reset stalled connections, as a network that is restored does."""
        self.mend()
        for each in self.stalled:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def close(self) -> None:
        """Close all connections and stop listening."""
        self.closing.set()
        for each in [self._listener, *self.open]:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits for it
        for thread in self._threads:  # one that goes on would shut the next socket that gets the number of a closed one
            if thread is not threading.current_thread():
                thread.join(END_SECONDS)
        for each in [self._listener, *self.open]:
            each.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _accept(self) -> None:
        while not self.closing.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                client.close()
                continue
            self.connections += 1
            self.open += [client, server]
            _Link(self, client, server, faulty=self.faults is None or self.connections <= self.faults)
            if self.closing.is_set():  # `close` may have closed the other connections already
                self.close()


class _Link:
    """One client and its connection to the target."""

    def __init__(self, proxy: Proxy, client: socket.socket, server: socket.socket, *, faulty: bool) -> None:
        self._proxy, self._faulty = proxy, faulty
        self._both = (client, server)
        self._stalled = threading.Event()
        for each in self._both:
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for source, sink, direction in ((client, server, "up"), (server, client, "down")):
            proxy.work(self._pump, source, sink, direction)

    def _pump(self, source: socket.socket, sink: socket.socket, direction: str) -> None:
        passed = 0
        try:
            while data := source.recv(CHUNK if self._proxy.rate is None else 4096):
                if self._stalled.is_set():
                    break  # nothing more is read: the sender's buffers fill up
                limit = self._proxy.cut[direction] if self._faulty else None
                due = limit is not None and passed + len(data) >= limit
                if limit is not None and due:
                    data = data[: max(limit - passed, 0)]
                sink.sendall(data)
                passed += len(data)
                setattr(self._proxy, direction, getattr(self._proxy, direction) + len(data))
                if due:
                    self._cut()
                elif (rate := self._proxy.rate) is not None:
                    self._proxy.closing.wait(len(data) / rate)
        except OSError:
            pass
        finally:
            if self._stalled.is_set():
                self._proxy.closing.wait()
            else:
                with contextlib.suppress(OSError):
                    sink.shutdown(socket.SHUT_WR)

    def _cut(self) -> None:
        self._proxy.cuts += 1
        if self._proxy.how == "stall":
            self._stalled.set()
            self._proxy.stalled += self._both
            return
        with self._proxy.cutting:
            self._close()

    def _close(self) -> None:
        for each in self._both:
            with contextlib.suppress(OSError):
                if self._proxy.how == "rst":
                    each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    each.shutdown(socket.SHUT_RD)
                else:
                    each.shutdown(socket.SHUT_RDWR)
        time.sleep(0.02)  # the other pump leaves its recv; closing under it would not reset the connection
        for each in self._both:
            each.close()
