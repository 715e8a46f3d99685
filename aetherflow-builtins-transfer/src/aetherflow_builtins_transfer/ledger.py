"""What earlier runs of the flow have delivered: the ledger `transfer`, kept with the flow's state."""

from dataclasses import dataclass
from typing import Any

from aetherflow.core.api import RunContext

NAME = "transfer"
SLACK_SECONDS = 0.01
"""Tolerance in seconds: different requests may report one time of change with different precision."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A file at its transfer: size in bytes, mtime in Unix seconds, sha256 in hexadecimal."""

    size: int | None
    mtime: float | None
    sha256: str | None

    def same_as(self, size: int | None, mtime: float | None) -> bool:
        """Whether a file with this size and mtime is the same; false if either mtime is unknown."""
        if self.size != size or self.mtime is None or mtime is None:
            return False
        return abs(self.mtime - mtime) < SLACK_SECONDS


class Deliveries:
    """What was delivered to one resource. It counts also if the step fails: the peer has it, and may have used it."""

    def __init__(self, ctx: RunContext, resource: str) -> None:
        self._ledger = ctx.ledger(NAME)
        self._prefix = f"up {resource} "

    def get(self, path: str) -> Seen | None:
        """The file of that remote path as it was, None if no run has delivered it."""
        found: Any = self._ledger.get(self._prefix + path)
        if not isinstance(found, dict):
            return None
        return Seen(found.get("size"), found.get("mtime"), found.get("sha256"))

    def put(self, path: str, seen: Seen) -> None:
        """Record a file; no effect if the same record exists."""
        if self.get(path) != seen:
            self._ledger.put_fact(self._prefix + path, {"size": seen.size, "mtime": seen.mtime, "sha256": seen.sha256})
