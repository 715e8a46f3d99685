"""Storing outputs: as text in their row or, if large, in a compressed file that is named by its hash."""

import hashlib
import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from aetherflow.core.base import durable
from aetherflow.core.base.errors import StateError
from aetherflow.core.kernel.state.values import to_json

ROW_LIMIT = 256 * 1024
"""Outputs of up to this many characters of JSON are stored in their row."""


class Blobs(NamedTuple):
    """The location of large outputs of one run: `root/run/NAME`, where NAME is the sha256 of the file."""

    root: Path
    """The folder `blobs` beside the state; rows hold paths in it."""
    run: str
    """`FLOW/RUN`: a folder per run, so that its owner can remove leftovers of a dead process."""


def dump_outputs(value: Mapping[str, Any], blobs: Blobs) -> tuple[str | None, str | None]:
    """The columns (text, blob): JSON text, or the path in `blobs.root` of a durable file; the other is None."""
    text = to_json(value)
    if len(text) <= ROW_LIMIT:
        return text, None
    data = zlib.compress(text.encode(), 1)
    name = f"{blobs.run}/{hashlib.sha256(data).hexdigest()}"
    try:
        if not (blobs.root / name).exists():
            durable.write_bytes(blobs.root / name, data)
    except OSError as error:
        message = f"outputs cannot be stored in {blobs.root}: {error}"
        raise StateError(message, fix="check the disk, then run again") from error
    return None, name


def load_outputs(text: str | None, blob: str | None, root: Path) -> dict[str, Any]:
    """The stored outputs; StateError if their file is missing or damaged."""
    if blob is not None:
        try:
            data = (root / blob).read_bytes()
            if hashlib.sha256(data).hexdigest() != Path(blob).name:
                raise ValueError("its content does not match its name")
            text = zlib.decompress(data).decode()
        except (OSError, ValueError, zlib.error) as error:
            message = f"stored outputs {root / blob} cannot be read: {error}"
            raise StateError(message, fix="restore the file from a backup, or start a new run") from error
    value: dict[str, Any] = json.loads(text) if text else {}
    return value
