"""What the files were that a step was given to read: for a later comparison with a run in which they were others."""

import hashlib
from pathlib import Path
from typing import Any

HASHED_BYTES = 16 << 20
"""Of longer files only the size is noted: reading them twice would cost more than it tells."""
MOST_FILES = 100
"""Of one attempt; what else it reads is not noted."""


def file_read(path: Path) -> dict[str, Any] | None:
    """Size, sha256, number of lines, and sha256 of the first line, of a file; None if it is none that can be read."""
    try:
        if not path.is_file():
            return None
        size = path.stat().st_size
        if size > HASHED_BYTES:
            return {"size": size}
        data = path.read_bytes()
    except OSError:  # the step says so
        return None
    found: dict[str, Any] = {"size": size, "sha256": hashlib.sha256(data).hexdigest()}
    if b"\0" not in data[:4096]:
        head, *_ = data.split(b"\n", 1)
        found["lines"] = data.count(b"\n") + (not data.endswith(b"\n") and bool(data))
        found["head"] = hashlib.sha256(head.strip()).hexdigest()[:16]
    return found
