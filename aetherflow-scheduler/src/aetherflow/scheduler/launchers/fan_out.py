"""The runs that a step of a run has side by side, given to other workers by the one that executes the run around.

The run itself has no access to the broker: it asks by a socket of its worker, which is open as long as the run takes.
"""

import contextlib
import json
import shutil
import socket
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from aetherflow.core.embedding import CHILD_RUNS, piece
from aetherflow.scheduler.launchers.base import Running
from aetherflow.scheduler.launchers.broker import RunOrder

LOOKS_SECONDS = 1.0
"""How often an order is looked at, so that one that is lost is given again."""
Give = Callable[[RunOrder, str, Callable[[], None]], Running]
"""Gives an order to a queue; the function is called when it has ended. OSError if the broker does not take it."""


class FanOut:
    """Listens for the runs inside one run, and has them executed by the workers of its `fan_out_queue`."""

    def __init__(self, order: RunOrder, queue: str, give: Give) -> None:
        self._order = order
        self._queue = queue
        self._give = give
        self._folder = Path(tempfile.mkdtemp(prefix="aetherflow-"))  # which no other account can enter
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(self._folder / "runs"))
        self._socket.listen(socket.SOMAXCONN)
        threading.Thread(target=self._listen, name=f"runs inside {order.run_id}", daemon=True).start()

    @property
    def env(self) -> dict[str, str]:
        """The variable that tells the run where to ask."""
        return {CHILD_RUNS: str(self._folder / "runs")}

    def close(self) -> None:
        """Listen no more: the run has ended."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # else the thread would wait for ever
        self._socket.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _listen(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection, connection.makefile("rb") as stream:
            try:
                head = json.loads(stream.readline())
                order = self._order.inside(head["run"], head["folder"], stream.read(head["bytes"]))
            except (KeyError, ValueError):
                return  # who asked is gone; what else fails stands in the log of the worker
            ended = threading.Event()
            try:
                running = self._give(order, self._queue, ended.set)
            except OSError as error:
                connection.sendall(_result({"error": str(error), "fix": "resume when the broker is back"}))
                return
            threading.Thread(target=_pass_on, args=(stream, running, ended), daemon=True).start()
            while (outcome := running.poll()) is None:
                ended.wait(LOOKS_SECONDS)
            summary = dict(outcome.summary or {})
            connection.sendall(piece(b"e", str(summary.pop("output", "")).encode(errors="replace")))
            if summary:
                connection.sendall(_result(summary))
            else:  # as of a process that was killed
                how = f"its worker says {outcome.exit_code}, and gave no result"
                connection.sendall(_result({"error": f"run {order.run_id}: {how}", "fix": "resume"}))
            ended.set()
            connection.shutdown(socket.SHUT_RDWR)  # the other thread reads from it, and it cannot be closed meanwhile


def _result(found: dict[str, Any]) -> bytes:
    return piece(b"r", json.dumps(found).encode())


def _pass_on(stream: BinaryIO, running: Running, ended: threading.Event) -> None:
    """Pass on to the worker that the run is to stop; to be killed where the asking process is gone."""
    with contextlib.suppress(OSError, ValueError):
        while stream.read(1):
            running.terminate()
    if not ended.is_set():
        running.kill()
