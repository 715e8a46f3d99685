"""The output of the children of one attempt: written to its log, emitted as events, the last lines kept for errors."""

import codecs
import threading
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

from aetherflow.core.base.redact import Redactor
from aetherflow.core.contracts.context import StreamName
from aetherflow.core.kernel.state.records import StepKey
from aetherflow.core.runtime.logs.events import Events

if TYPE_CHECKING:
    from aetherflow.core.base.durable.limited_log import LimitedLog

TAIL_LINES = 20
MAX_LINE = 64 * 1024
"""Longest line in characters; a longer one is split, so that memory stays bounded."""


class RedactedStream:
    """Masks text that comes in pieces: a secret across a border is masked as a whole."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._held = ""

    def feed(self, text: str) -> str:
        """Take a piece; returns masked text that can be passed on, and keeps the rest."""
        text = self._held + text
        cut = self._redactor.safe_length(text)
        self._held = text[cut:]
        return self._redactor.mask(text[:cut])

    def finish(self) -> str:
        """Return the rest of the text, masked."""
        held, self._held = self._held, ""
        return self._redactor.mask(held)


class _Lines:
    """Splits bytes into lines of text; secrets are masked across the borders of chunks and lines."""

    def __init__(self, redactor: Redactor) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._clean = RedactedStream(redactor)
        self._pending = ""

    def feed(self, data: bytes) -> list[str]:
        """Take bytes; returns the complete lines."""
        return self._split(self._clean.feed(self._decoder.decode(data)))

    def finish(self) -> list[str]:
        """Return the remaining lines, including an incomplete one."""
        lines = self._split(self._clean.feed(self._decoder.decode(b"", final=True)) + self._clean.finish())
        rest, self._pending = self._pending, ""
        return [*lines, rest.rstrip("\r")] if rest else lines

    def _split(self, text: str) -> list[str]:
        *lines, rest = (self._pending + text).split("\n")
        if len(rest) > MAX_LINE:
            lines.append(rest)
            rest = ""
        self._pending = rest
        return [line.rstrip("\r") for line in lines]


class OutputLog:
    """The log of one attempt; the file is created with the first line. Thread-safe."""

    def __init__(self, folder: Path, key: StepKey, number: int, limit: int, redactor: Redactor, events: Events) -> None:
        """`folder` has the logs of the run; `limit`: bytes from which on the middle of the log is left out."""
        self._folder = folder
        self._key = key
        self._number = number
        self._limit = limit
        self.tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._redactor = redactor
        self._events = events
        self._streams: dict[StreamName, _Lines] = {}
        """Both, from the first bytes on: most steps print nothing."""
        self._file: LimitedLog | None = None
        self._lock = threading.Lock()

    @property
    def path(self) -> Path:
        """The file, whether anything was printed or not."""
        key = self._key
        item = f"[{key.item}]" if key.item else ""
        return self._folder / key.job / f"{key.step}{item}.{self._number}.log"

    @property
    def used(self) -> bool:
        """True if anything was printed."""
        return self._file is not None

    def feed(self, stream: StreamName, data: bytes) -> None:
        """Take the next bytes of a stream; complete lines are written and emitted at once."""
        with self._lock:
            if not self._streams:
                self._streams = {"stdout": _Lines(self._redactor), "stderr": _Lines(self._redactor)}
            self._pass_on(stream, self._streams[stream].feed(data))

    def close(self) -> None:
        """Write unfinished lines and close the file."""
        with self._lock:
            for stream, lines in self._streams.items():
                self._pass_on(stream, lines.finish())
            if self._file is not None:
                self._file.close()

    def _pass_on(self, stream: StreamName, lines: list[str]) -> None:
        if not lines:
            return
        if self._file is None:
            from aetherflow.core.base.durable.limited_log import LimitedLog  # only for what is printed

            self._file = LimitedLog(self.path, self._limit)
        self._file.write("".join(f"{line}\n" for line in lines).encode(errors="replace"))
        self.tail.extend(lines[-TAIL_LINES:])
        key, item = self._key, self._key.item or None
        for line in lines:
            self._events.emit("output", job_id=key.job, step_id=key.step, item=item, stream=stream, text=line)
