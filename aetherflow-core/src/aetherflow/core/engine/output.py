"""What the children of one attempt print: kept in a log of its own, shown live, its last lines at hand."""

import threading
from collections import deque
from pathlib import Path
from typing import IO

from aetherflow.core import durable
from aetherflow.core.contracts.context import StreamName
from aetherflow.core.observe.events import Events
from aetherflow.core.observe.redact import Redactor

TAIL_LINES = 20
MAX_LINE = 64 * 1024
"""A longer line is passed on in pieces, so that memory stays bounded."""


class OutputLog:
    """Output of one attempt, line by line, secrets masked before anything is kept or shown."""

    def __init__(self, path: Path, job_id: str, step_id: str, redactor: Redactor, events: Events) -> None:
        self.path = path
        self.tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._job_id = job_id
        self._step_id = step_id
        self._redactor = redactor
        self._events = events
        self._pending: dict[StreamName, bytes] = {"stdout": b"", "stderr": b""}
        self._file: IO[bytes] | None = None
        self._lock = threading.Lock()

    @property
    def used(self) -> bool:
        """True if anything was printed."""
        return self._file is not None

    def feed(self, stream: StreamName, data: bytes) -> None:
        """Take bytes as they come; complete lines are passed on at once."""
        with self._lock:
            *lines, rest = (self._pending[stream] + data).split(b"\n")
            if len(rest) > MAX_LINE:
                lines.append(rest)
                rest = b""
            self._pending[stream] = rest
            for line in lines:
                self._pass_on(stream, line)

    def close(self) -> None:
        """Pass on unfinished lines and close the log."""
        with self._lock:
            for stream, rest in self._pending.items():
                if rest:
                    self._pass_on(stream, rest)
                self._pending[stream] = b""
            if self._file is not None:
                self._file.close()

    def _pass_on(self, stream: StreamName, line: bytes) -> None:
        text = self._redactor.mask(line.decode(errors="replace").rstrip("\r"))
        if self._file is None:
            self._file = durable.open_log(self.path)
        self._file.write(text.encode() + b"\n")
        self.tail.append(text)
        self._events.emit("output", job_id=self._job_id, step_id=self._step_id, stream=stream, text=text)
