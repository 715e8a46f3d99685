"""The event file: every event of every run as a JSON line, in one file that a log shipper can follow."""

import time
from pathlib import Path
from typing import Any

from aetherflow.core.base import durable
from aetherflow.core.base.errors import UsageError
from aetherflow.core.runtime.logs.events import NOT_WRITTEN, encode, level_of


class EventFile:
    """Appends events; each line is written at once, so several processes may share the file."""

    any_thread = True

    def __init__(self, path: Path, flow_id: str, run_id: str) -> None:
        """Raises UsageError if the file cannot be opened."""
        self._ids = {"flow_id": flow_id, "run_id": run_id}
        try:
            self._file = durable.open_log(path)
        except OSError as error:
            fix = "correct AETHERFLOW_EVENTS_FILE or log.events_file, or the permissions"
            raise UsageError(f"the event file {path} cannot be opened: {error.strerror}", fix=fix) from error

    def __call__(self, event: str, fields: dict[str, Any]) -> None:
        """Append one event, with its time, its level and the ids of the run."""
        if event in NOT_WRITTEN:
            return
        head = {"ts_ms": time.time_ns() // 1_000_000, "level": level_of(event, fields), "event": event}
        self._file.write(encode({**head, **self._ids, **fields}).encode(errors="replace") + b"\n")

    def close(self) -> None:
        """Close the file; other processes may go on appending to it."""
        self._file.close()
