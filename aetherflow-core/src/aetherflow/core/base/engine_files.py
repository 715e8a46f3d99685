"""The place of the engine's own files: `engine/` under a state root, which no flow can name."""

import os
from pathlib import Path

ENGINE = "engine"
STORES = REGISTRY, LOCKS, NOTIFY = "registry.sqlite", "locks.sqlite", "notify.sqlite"
LEDGERS = "scheduler"
"""Folder of the ledgers of schedules whose document names none."""


def engine_folder(root: Path) -> Path:
    """Return the engine's folder under a state root; the root itself while the files of 1.0 are still in it."""
    folder, old = root / ENGINE, (root / name for name in (*STORES, LEDGERS))
    # a Path would raise where it may not look
    return root if not os.path.exists(folder) and any(map(os.path.exists, old)) else folder  # noqa: PTH110
