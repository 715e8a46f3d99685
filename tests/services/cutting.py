"""A proxy that breaks connections after a chosen number of bytes, as a network fault does."""

import contextlib
import socket
import struct
import threading
from typing import Literal, Self

Direction = Literal["up", "down"]
"""`up` is from the client to the server, `down` from the server to the client."""
RESET = struct.pack("ii", 1, 0)


class CuttingProxy:
    """Forwards connections to a port; the first `times` of them break after `limit` bytes in one direction.

    Bytes after the limit are dropped. The connection is reset or, with `reset=False`, closed. `listener` is the socket
    on which it is reached, for example one of another network namespace.
    """

    def __init__(
        self,
        port: int,
        direction: Direction,
        limit: int,
        *,
        reset: bool = True,
        times: int = 1,
        listener: socket.socket | None = None,
    ) -> None:
        self.connections = 0
        self.passed = {"up": 0, "down": 0}
        """Forwarded bytes per direction, over all connections."""
        self._target = port
        self._cut = direction, limit, reset
        self._times = times
        self._listener = listener or socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Stop accepting connections."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            server = socket.create_connection(("127.0.0.1", self._target))
            pair = _Pair(client, server, self.passed)
            for direction, source, sink in (("up", client, server), ("down", server, client)):
                limited = self.connections <= self._times and direction == self._cut[0]
                limit = self._cut[1] if limited else None
                arguments = (direction, source, sink, limit, self._cut[2])
                threading.Thread(target=pair.pump, args=arguments, daemon=True).start()


class _Pair:
    def __init__(self, client: socket.socket, server: socket.socket, passed: dict[str, int]) -> None:
        self._both = client, server
        self._passed = passed
        self._ends = 0
        self._lock = threading.Lock()

    def pump(
        self, direction: Direction, source: socket.socket, sink: socket.socket, limit: int | None, reset: bool
    ) -> None:
        left = limit
        with contextlib.suppress(OSError):
            while left != 0 and (data := source.recv(65536)):
                piece = data if left is None else data[:left]
                sink.sendall(piece)
                self._passed[direction] += len(piece)
                left = None if left is None else left - len(piece)
        if left == 0:
            for each in self._both:
                with contextlib.suppress(OSError):
                    if reset:
                        each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                    each.shutdown(socket.SHUT_RD if reset else socket.SHUT_RDWR)
        else:
            with contextlib.suppress(OSError):
                sink.shutdown(socket.SHUT_WR)
        with self._lock:
            self._ends += 1
            if self._ends == 2 or left == 0:
                for each in self._both:
                    each.close()
