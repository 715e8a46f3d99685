"""The log of one run: its events as JSON lines, in a file beside the state."""

import time
from pathlib import Path
from typing import Any

from aetherflow.core.base import durable
from aetherflow.core.base.errors import StateError
from aetherflow.core.runtime.logs.events import NOT_WRITTEN, encode


class RunLog:
    """The run's log: JSON lines beside the state, kept after cleanup."""

    any_thread = True

    def __init__(self, path: Path) -> None:
        """Raises StateError if the file cannot be opened: it belongs to the record of the run."""
        self.path = path
        try:
            self._file = durable.open_log(path)
        except OSError as error:
            fix = "check the disk and the folder beside flow.state.path, then run again"
            raise StateError(f"the run's log {path} cannot be opened: {error.strerror}", fix=fix) from error

    def __call__(self, event: str, fields: dict[str, Any]) -> None:
        """Append one event as a line; progress and output are left out."""
        if event in NOT_WRITTEN:
            return
        line = encode({"ts_ms": time.time_ns() // 1_000_000, "event": event, **fields})
        self._file.write(line.encode(errors="replace") + b"\n")

    def close(self) -> None:
        """Close the file; no event may follow."""
        self._file.close()
