"""The logs of starts are kept for a while: the newest of each item, and all of the last weeks."""

import contextlib
import time
from pathlib import Path

from aetherflow.core import durable

KEEP_DAYS = 30
KEEP_FILES = 40
"""Per item, whatever their age; each start has two."""


def prune_logs(side: Path, *, days: float = KEEP_DAYS, files: int = KEEP_FILES) -> int:
    """Delete logs beside a ledger that are old enough; returns how many."""
    limit = time.time() - days * 86400
    removed = 0
    folder = side / "logs"
    for item in sorted(folder.iterdir()) if folder.is_dir() else ():
        aged = []
        for path in item.iterdir() if item.is_dir() else ():
            with contextlib.suppress(OSError):
                aged.append((path.stat().st_mtime, path))
        for changed, path in sorted(aged, reverse=True)[files:]:
            if changed < limit:
                with contextlib.suppress(OSError):
                    durable.remove_scratch(path)
                    removed += 1
    return removed
