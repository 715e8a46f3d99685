"""Deletes or moves a local file after its delivery, unless another file has taken its place meanwhile."""

import os
import shutil
from pathlib import Path
from typing import Any

from aetherflow.core.api import StepInputError
from aetherflow_builtins_transfer.paths import private_folder
from aetherflow_builtins_transfer.records import After


def facts_of(found: os.stat_result) -> dict[str, Any]:
    """The facts that identify a local file later: size, time of the last change, inode."""
    return {"size": found.st_size, "mtime": found.st_mtime, "mtime_ns": found.st_mtime_ns, "inode": found.st_ino}


def is_noted(local: Path, facts: dict[str, Any]) -> bool:
    """Whether the local file is still the one with these facts; journals of older versions have fewer facts."""
    found = facts_of(local.stat())
    return all(found[name] == facts[name] for name in found if name in facts)


def delete_or_move(local: Path, facts: dict[str, Any], after: After, move_to: Path | None) -> None:
    """Delete or move the file as `after` says; no effect if it is gone. StepInputError if it must stay."""
    if after == "keep" or not local.exists():
        return
    if not is_noted(local, facts):
        raise StepInputError(
            f"{local} was replaced while it was sent: what it held before was delivered, what it holds now stays here",
            fix="run the flow again for it",
        )
    if after == "delete":
        local.unlink(missing_ok=True)
    elif move_to is not None:
        private_folder(move_to)
        target = move_to / local.name
        if target.exists():
            raise StepInputError(f"{target} exists; {local} was delivered and left in its place")
        shutil.move(local, target)
        descriptor = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
