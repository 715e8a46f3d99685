"""What earlier runs of the flow have delivered: the ledger `transfer`, kept with the flow's state."""

from dataclasses import dataclass
from typing import Any

from aetherflow.core.api import RunContext

NAME = "transfer"
SLACK_SECONDS = 0.01
"""One change may be told more finely by one request than by another."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A file as it was when it was moved: size in bytes, mtime in unix seconds, sha256 in hex."""

    size: int | None
    mtime: float | None
    sha256: str | None

    def same_as(self, size: int | None, mtime: float | None) -> bool:
        """True if nothing tells the file of now from that one."""
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
        """Note a file; a note that is there already stays as it is."""
        if self.get(path) != seen:
            self._ledger.put_fact(self._prefix + path, {"size": seen.size, "mtime": seen.mtime, "sha256": seen.sha256})
