"""Storing outputs: as text in their row or, if large, compressed in a file or a row that is named by its hash."""

import hashlib
import json
import zlib
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from aetherflow.core.base import durable
from aetherflow.core.base.errors import StateError

ROW_LIMIT = 256 * 1024
"""Outputs of up to this many characters of JSON are stored in their row."""


class Blobs(Protocol):
    """The large outputs of one run; rows hold their names."""

    @property
    def run(self) -> str:
        """`FLOW/RUN`, with which the names begin."""
        ...

    def keep(self, name: str, data: bytes) -> None:
        """Store an output durably, unless it is there. OSError."""
        ...

    def has(self, name: str) -> bool:
        """Whether an output is stored. OSError."""
        ...

    def read(self, name: str) -> bytes:
        """The bytes of a stored output; OSError if they cannot be had."""
        ...

    def place(self, name: str) -> str:
        """Where an output is stored, for messages."""
        ...

    def remove_unfinished(self) -> None:
        """Remove what a dead process has left half-written. OSError."""
        ...


class FileBlobs(NamedTuple):
    """Files `root/FLOW/RUN/NAME`: a folder per run, so that its owner can remove leftovers of a dead process."""

    root: Path
    """The folder `blobs` beside the state; rows hold paths in it."""
    run: str

    def keep(self, name: str, data: bytes) -> None:
        """Write a file with its folder, whole or not at all."""
        if not self.has(name):
            durable.write_bytes(self.root / name, data)

    def has(self, name: str) -> bool:
        """Whether there is the file."""
        return (self.root / name).is_file()

    def read(self, name: str) -> bytes:
        """The content of a file."""
        return (self.root / name).read_bytes()

    def place(self, name: str) -> str:
        """The path of the file of that name."""
        return str(self.root / name)

    def remove_unfinished(self) -> None:
        """Remove the parts of files that a dead process was writing."""
        durable.remove_parts(self.root / self.run)


class TableBlobs(NamedTuple):
    """Rows of the table `blobs`, each written in a transaction of its own."""

    db: durable.Database
    run: str

    def keep(self, name: str, data: bytes) -> None:
        """Write a row in a transaction of its own."""
        with durable.transaction(self.db, "output"):
            self.db.execute("INSERT INTO blobs (name, data) VALUES (?, ?) ON CONFLICT DO NOTHING", (name, data))

    def has(self, name: str) -> bool:
        """Whether there is the row."""
        return self.db.execute("SELECT 1 FROM blobs WHERE name=?", (name,)).fetchone() is not None

    def read(self, name: str) -> bytes:
        """The content of a row."""
        row = self.db.execute("SELECT data FROM blobs WHERE name=?", (name,)).fetchone()
        if row is None:
            raise FileNotFoundError(f"there is no row {name}")
        return bytes(row[0])

    def place(self, name: str) -> str:
        """The row, by its table and name."""
        return f"blobs {name}"

    def remove_unfinished(self) -> None:
        """Nothing: a row is there as a whole, or not at all."""


def dump_outputs(text: str, blobs: Blobs) -> tuple[str | None, str | None]:
    """The columns (text, blob) of outputs as JSON: that, or the name of a durable large output; the other is None."""
    if len(text) <= ROW_LIMIT:
        return text, None
    data = zlib.compress(text.encode(), 1)
    name = f"{blobs.run}/{hashlib.sha256(data).hexdigest()}"
    try:
        blobs.keep(name, data)
    except OSError as error:
        message = f"outputs cannot be stored in {blobs.place(name)}: {error}"
        raise StateError(message, fix="check the disk, then run again") from error
    return None, name


def load_outputs(text: str | None, blob: str | None, blobs: Blobs) -> dict[str, Any]:
    """The stored outputs; StateError if they are missing or damaged."""
    if blob is not None:
        try:
            data = blobs.read(blob)
            if hashlib.sha256(data).hexdigest() != Path(blob).name:
                raise ValueError("its content does not match its name")
            text = zlib.decompress(data).decode()
        except (OSError, ValueError, zlib.error) as error:
            message = f"stored outputs {blobs.place(blob)} cannot be read: {error}"
            raise StateError(message, fix="restore the file from a backup, or start a new run") from error
    value: dict[str, Any] = json.loads(text) if text else {}
    return value
