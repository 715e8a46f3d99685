"""The log lines of the scheduler on stderr, as text or JSON by the settings of the core."""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any, TextIO

from aetherflow.core.embedding import dropped_lines, iso

_RANKS = {"DEBUG": 10, "INFO": 20, "WARNING": 30, "ERROR": 40, "CRITICAL": 50}


class Events:
    """Writes one line per event; errors of the stream are ignored."""

    def __init__(self, level: str = "INFO", log_format: str = "text", stream: TextIO | None = None) -> None:
        self._least = _RANKS.get(level.upper(), 20)
        self._as_json = log_format == "json"
        self._stream = stream

    def tell(self, level: str, event: str, message: str, **fields: Any) -> None:
        """Write an event; fields that are None are left out."""
        if _RANKS[level] < self._least:
            return
        stream = self._stream or sys.stderr
        if lost := dropped_lines(stream):
            self.tell("WARNING", "output_dropped", f"{lost} lines of this log were dropped: nobody read it", lines=lost)
        now = time.time_ns() // 1_000_000
        given = {name: value for name, value in fields.items() if value is not None}
        if self._as_json:
            head = {"ts_ms": now, "level": level, "event": event, "message": message}
            line = json.dumps({**head, **given}, ensure_ascii=False, default=str)
        else:
            line = f"{iso(now)} {level} {message}"
        try:
            stream.write(f"{line}\n")
            stream.flush()
        except (OSError, ValueError):
            return

    def info(self, event: str, message: str, **fields: Any) -> None:
        """Write an event of normal operation."""
        self.tell("INFO", event, message, **fields)

    def warning(self, event: str, message: str, **fields: Any) -> None:
        """Write an event that a user should know about."""
        self.tell("WARNING", event, message, **fields)

    def error(self, event: str, message: str, **fields: Any) -> None:
        """Write an event that a user has to act on."""
        self.tell("ERROR", event, message, **fields)


def events_for(folder: Path, *, quiet: bool = False) -> Events:
    """Events configured by the environment and the project file of a folder; `quiet`: WARNING and above only."""
    from aetherflow.core.embedding import build_snapshot

    settings = build_snapshot(folder, ambient=dict(os.environ)).settings
    level = "WARNING" if quiet and settings.log_level in ("DEBUG", "INFO") else settings.log_level
    return Events(level, settings.log_format)
