"""Deletes old log files of starts; the newest of each item and those of the last weeks are kept."""

import contextlib
import time
from collections.abc import Collection
from pathlib import Path

from aetherflow.core.embedding import durable

KEEP_DAYS = 30
KEEP_FILES = 40
"""Newest files per item that are kept at any age; each start has two."""
MOST_FILES = 2000
"""Maximum number of files per item at any age: an item that runs every minute writes about 2880 a day."""


def prune_logs(side: Path, *, items: Collection[str] | None = None) -> int:
    """Delete old logs in the side folder of a ledger, of all or the given items; returns the number of files."""
    folder = side / "logs"
    limit = time.time() - KEEP_DAYS * 86400
    if items is None:
        items = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else ()
    return sum(_prune(folder / item, limit) for item in items)


def _prune(folder: Path, limit: float) -> int:
    paths = list(folder.iterdir()) if folder.is_dir() else []
    if len(paths) <= KEEP_FILES:
        return 0
    aged = []
    for path in paths:
        with contextlib.suppress(OSError):
            aged.append((path.stat().st_mtime, path))
    removed = 0
    for number, (changed, path) in enumerate(sorted(aged, reverse=True)):
        if number >= MOST_FILES or (number >= KEEP_FILES and changed < limit):
            with contextlib.suppress(OSError):
                durable.remove_scratch(path)
                removed += 1
    return removed
