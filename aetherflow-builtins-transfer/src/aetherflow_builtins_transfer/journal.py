"""What a step has done so far in this run, on disk: an attempt after a crash goes on from there."""

import errno
import json
import os
import threading
from pathlib import Path
from typing import Any

from aetherflow.core.api import RunContext


class Journal:
    """One JSON line per finished file, beside the job's manifests; a line that a crash cut off is as good as none.

    It is written before the step's SUCCESS, unlike the ledger, and belongs to one step of one run.
    """

    def __init__(self, ctx: RunContext) -> None:
        self._path = journal_path(ctx)
        self._lock = threading.Lock()
        self._found: dict[str, dict[str, Any]] = {}
        self._cut = False
        """True after a line without its end."""
        self._is_named = False
        self._read()

    def _read(self) -> None:
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return
        self._cut = bool(data) and not data.endswith(b"\n")
        for line in data.split(b"\n"):
            try:
                entry = json.loads(line)
                self._found[entry["key"]] = entry
            except (ValueError, KeyError, TypeError):
                continue

    def get(self, key: str) -> dict[str, Any] | None:
        """What was noted for a file, None if nothing was."""
        return self._found.get(key)

    def put(self, key: str, facts: dict[str, Any], *, sync: bool = False) -> None:
        """Note that a file is done; with `sync` the note outlives a power cut."""
        self.put_all({key: facts}, sync=sync)

    def put_all(self, done: dict[str, dict[str, Any]], *, sync: bool = False) -> None:
        """Note that files are done, in one go."""
        entries = {key: {"key": key, **facts} for key, facts in done.items()}
        lines = b"".join(
            json.dumps(entry, ensure_ascii=True, sort_keys=True).encode() + b"\n" for entry in entries.values()
        )
        with self._lock:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                data = b"\n" + lines if self._cut else lines
                self._cut = True
                if os.write(descriptor, data) < len(data):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))
                self._cut = False
                if sync:
                    os.fsync(descriptor)
                    self._sync_name()
            finally:
                os.close(descriptor)
            self._found |= entries

    def _sync_name(self) -> None:
        """Make the file's name outlive a power cut too; once is enough."""
        if not self._is_named:
            folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
            self._is_named = True


def journal_path(ctx: RunContext) -> Path:
    """Where the journal of this step is; a step that is repeated for each of a list has one per item."""
    return ctx.manifests_dir(ctx.job_id) / f"{ctx.step_id}.{ctx.idempotency_key[:8]}.journal"
