"""The journal of a step in one run: records finished files on disk, so that a later attempt can continue."""

import errno
import json
import os
import threading
from pathlib import Path
from typing import Any

from aetherflow.core.api import RunContext


class Journal:
    """One JSON line per finished file, in the job's manifests folder; an incomplete last line is ignored. Thread-safe.

    It belongs to one step of one run and, unlike the ledger, is written before the step's SUCCESS.
    """

    def __init__(self, ctx: RunContext) -> None:
        self._path = journal_path(ctx)
        self._lock = threading.Lock()
        self._found: dict[str, dict[str, Any]] = {}
        self._cut = False
        """Whether the file ends with an incomplete line."""
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
        """The facts recorded for a file, None if there are none."""
        return self._found.get(key)

    def put(self, key: str, facts: dict[str, Any], *, sync: bool = False) -> None:
        """Record that a file is finished; with `sync` the record survives a power failure."""
        self.put_all({key: facts}, sync=sync)

    def put_all(self, done: dict[str, dict[str, Any]], *, sync: bool = False) -> None:
        """Record several finished files with one write; OSError if the disk is full."""
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
        """Sync the folder once, so that the file's name survives a power failure, too."""
        if not self._is_named:
            folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
            self._is_named = True


def journal_path(ctx: RunContext) -> Path:
    """The path of this step's journal; inside a for_each there is one journal per item."""
    return ctx.manifests_dir(ctx.job_id) / f"{ctx.step_id}.{ctx.idempotency_key[:8]}.journal"
