"""The hash of the logs of a run: of its own, and of what the programs of its steps printed."""

import hashlib
from pathlib import Path

from aetherflow.core.base import durable
from aetherflow.core.kernel.state.chain import digest_of

_CHUNK = 1 << 20


def log_hash(folder: Path, run_id: str, size: int | None = None) -> tuple[int, str]:
    """Of the logs in a folder of a flow: how many bytes of the run's own log count, and the hash of all.

    With `size` the hash that they had when it was that long. It is the sha256 of lines: that of the run's log, then for
    each other file its path below the folder of the run, a space, and its sha256. OSError.
    """
    own, inner = folder / f"{run_id}.jsonl", folder / run_id
    size = own.stat().st_size if size is None else size
    digest, left = hashlib.sha256(), size
    with own.open("rb") as file:
        while left and (data := file.read(min(left, _CHUNK))):
            digest.update(data)
            left -= len(data)
    others = [f"{path.relative_to(inner)} {durable.file_facts(path)[1]}" for path in _printed(inner)]
    return size, digest_of((digest.hexdigest(), *others))


def sync_logs(folder: Path, run_id: str) -> None:
    """Make the logs of a run durable: what the registry says of them has to hold after a power cut, too. OSError."""
    paths = [folder / f"{run_id}.jsonl", *_printed(folder / run_id)]
    for path in paths:
        durable.sync_file(path)
    for parent in sorted({path.parent for path in paths}):
        durable.sync_dir(parent)


def _printed(inner: Path) -> list[Path]:
    if not inner.is_dir():  # as of most runs: no step has started a program
        return []
    return sorted(path for path in inner.rglob("*") if path.is_file())
