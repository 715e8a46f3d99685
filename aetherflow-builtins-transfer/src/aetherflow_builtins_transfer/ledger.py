"""The ledger `transfer`: files that earlier runs of the flow have downloaded and uploaded."""

from dataclasses import dataclass
from typing import Any, Literal

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
    """One direction and one resource of the ledger.

    What was brought counts from the step's SUCCESS on: else nobody has worked with it yet. What was delivered counts
    also if the step fails: the peer has it, and may have taken it away.
    """

    def __init__(self, ctx: RunContext, direction: Literal["up", "down"], resource: str) -> None:
        self._ledger = ctx.ledger(NAME)
        self._prefix = f"{direction} {resource} "
        self._put = self._ledger.put_fact if direction == "up" else self._ledger.put

    def get(self, path: str) -> Seen | None:
        """The recorded file of a remote path, None if no run has transferred it."""
        found: Any = self._ledger.get(self._prefix + path)
        if not isinstance(found, dict):
            return None
        return Seen(found.get("size"), found.get("mtime"), found.get("sha256"))

    def put(self, path: str, seen: Seen) -> None:
        """Record a file; no effect if the same record exists."""
        if self.get(path) != seen:
            self._put(self._prefix + path, {"size": seen.size, "mtime": seen.mtime, "sha256": seen.sha256})
