"""A sha256 that does not slow down the writer: for large files it is computed in another thread."""

import hashlib
import threading
from queue import Queue

INLINE_BYTES = 4 << 20
"""Up to this size a thread would cost more than it saves."""
WAITING_PIECES = 16


class BackgroundHash:
    """The sha256 of a sequence of buffers, which must not be changed after `update`."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._size = 0
        self._pieces: Queue[bytes | None] | None = None

    def update(self, data: bytes) -> None:
        """Add bytes; blocks only if the thread is far behind."""
        self._size += len(data)
        if self._size <= INLINE_BYTES:
            self._hash.update(data)
            return
        if self._pieces is None:
            self._pieces = Queue(WAITING_PIECES)
            threading.Thread(target=self._work, args=(self._pieces,), name="sha256", daemon=True).start()
        self._pieces.put(data)

    def hexdigest(self) -> str:
        """The hexadecimal sha256 of all bytes so far."""
        if self._pieces is not None:
            self._pieces.join()
        return self._hash.hexdigest()

    def close(self) -> None:
        """End the thread; `hexdigest` still works."""
        if self._pieces is not None:
            self._pieces.put(None)
            self._pieces.join()
            self._pieces, self._size = None, 0

    def _work(self, pieces: "Queue[bytes | None]") -> None:
        while (data := pieces.get()) is not None:
            self._hash.update(data)
            pieces.task_done()
        pieces.task_done()
