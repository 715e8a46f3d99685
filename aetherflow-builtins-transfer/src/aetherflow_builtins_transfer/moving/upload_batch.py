"""Uploads small files together in one batch."""

import hashlib
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from aetherflow.core.api import PreparedFile, WritesTogether, open_file
from aetherflow_builtins_transfer.moving.calls import Calls
from aetherflow_builtins_transfer.moving.upload import TransferResult
from aetherflow_builtins_transfer.paths import part_name

LARGEST = 256 << 10
"""Maximum size of a small file in bytes."""
MOST_BYTES, MOST_FILES = 1 << 20, 64
"""Limits of one batch: it is held in memory, and is sent again as a whole after a lost connection."""


@dataclass(frozen=True, slots=True)
class SmallFile:
    """A small local file, its remote path, and the owner in the name of its unfinished file."""

    local: Path
    remote_path: str
    owner: str


@dataclass
class BatchUpload:
    """One batch of small files. Their unfinished files have new random names.

    A file that is later sent alone does not continue an unfinished file of a batch, so a late request of a broken
    connection cannot damage it.
    """

    calls: Calls
    peer: WritesTogether
    files: Sequence[SmallFile]
    preserve_mtime: bool = False
    mode: int | None = None
    overwrite: bool = True

    def run(self) -> list[TransferResult | None]:
        """Upload the batch; None for a file that must be sent alone.

        After a ConnectorError the outcome is unknown for all.
        """
        found = [self._read(file) for file in self.files]
        wholes = [each[0] for each in found if each is not None]
        if not wholes:
            return [None] * len(self.files)
        doing = f"{self.files[0].remote_path} and {len(wholes) - 1} more"
        arrived = iter(
            self.calls.attempt(
                "uploading to",
                doing,
                lambda: self.peer.write_together(wholes, overwrite=self.overwrite, mode=self.mode),
            )
        )
        return [None if each is None or not next(arrived) else each[1] for each in found]

    def _read(self, file: SmallFile) -> tuple[PreparedFile, TransferResult] | None:
        """Read the file into memory; None if it is too large, changes meanwhile, or cannot be read."""
        try:
            with open_file(file.local) as source:
                before = os.fstat(source.fileno())
                data = source.read(LARGEST + 1)
                after = os.fstat(source.fileno())
        except OSError:
            return None
        if len(data) > LARGEST or (len(data), before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            return None
        peer = self.calls.connector
        folder, name = peer.split(file.remote_path)
        part = peer.join(folder, part_name(name, f"{file.owner}-{secrets.token_hex(6)}"))
        whole = PreparedFile(part, file.remote_path, data, after.st_mtime if self.preserve_mtime else None)
        return whole, TransferResult(len(data), hashlib.sha256(data).hexdigest(), after.st_mtime, source=after)
