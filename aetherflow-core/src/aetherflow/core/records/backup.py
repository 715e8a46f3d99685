"""Backups of a state in one file, made while runs continue, and restoring them.

A backup is a tar archive: `manifest.json`, `state.sqlite`, and `blobs/` with the stored outputs that its rows name.
The rows are copied first: an output is stored before a row names it, so it exists when it is copied.
"""

import hashlib
import json
import re
import sqlite3
import tarfile
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from aetherflow.core.base import durable
from aetherflow.core.base.errors import StateError, UsageError
from aetherflow.core.kernel.state.records import now_ms
from aetherflow.core.kernel.state.schema import SCHEMA_VERSION
from aetherflow.core.kernel.state.store import BUSY_SECONDS
from aetherflow.core.kernel.state.unusable import of_newer_engine, require_schema
from aetherflow.core.records.history import side_of
from aetherflow.core.records.living import no_run
from aetherflow.core.records.migration import open_state, prepare_schema

FORMAT = 1
BLOB_NAME = re.compile(r"blobs/[A-Za-z_][A-Za-z0-9_-]{0,127}/[A-Za-z0-9][A-Za-z0-9._-]{0,127}/([0-9a-f]{64})")
MANIFEST, DATABASE, BLOBS = "manifest.json", "state.sqlite", "blobs/"
CHUNK = 1 << 20
_NAMES = (
    "SELECT blob FROM job_runs WHERE blob IS NOT NULL UNION SELECT blob FROM step_runs WHERE blob IS NOT NULL "
    "UNION SELECT items_blob FROM step_runs WHERE items_blob IS NOT NULL"
)


@dataclass(frozen=True, slots=True)
class BackupInfo:
    """Facts about a backup that was written or restored."""

    file: str
    runs: int
    blobs: int
    size: int
    """Size of the archive in bytes."""
    kept_aside: str | None = None
    """After a restore: the copy of the replaced state file."""


def backup_state(path: Path, target: Path) -> BackupInfo:
    """Write a backup of a state file atomically; runs may continue meanwhile.

    Raises UsageError if `target` exists, StateError.
    """
    if target.exists():
        raise UsageError(f"{target} exists, and no backup is overwritten", fix="name a new file")
    if not path.is_file():
        raise StateError(f"state file {path}: there is no such file", fix="check the path")
    copy = durable.part_of(target.absolute())
    durable.make_dir(target.absolute().parent)
    try:
        with closing(durable.connect(path, busy_seconds=BUSY_SECONDS)) as db:
            require_schema(db, path, SCHEMA_VERSION)
            durable.backup_database(db, copy)
        with closing(durable.connect_to_read(copy, immutable=True)) as db:
            names = [row[0] for row in db.execute(_NAMES)]
            runs = db.execute("SELECT count(*) FROM runs").fetchone()[0]
        _, sha256 = durable.file_facts(copy)
        manifest = {"format": FORMAT, "schema": SCHEMA_VERSION, "state_path": str(path), "created_at": now_ms()}
        manifest |= {"sha256": sha256, "runs": runs, "blobs": len(names)}
        with durable.AtomicFile(target) as out, tarfile.open(fileobj=out, mode="w|", bufsize=1 << 18) as tar:
            _add_bytes(tar, MANIFEST, json.dumps(manifest, indent=2).encode())
            _add_file(tar, DATABASE, copy)
            for name in names:
                _add_file(tar, BLOBS + name, side_of(path) / "blobs" / name)
    except (sqlite3.Error, OSError) as error:
        raise StateError(
            f"{path} cannot be backed up to {target}: {error}", fix="check both, then try again"
        ) from error
    finally:
        if copy.exists():
            durable.remove_file(copy)
    return BackupInfo(str(target), runs, len(names), target.stat().st_size)


def restore_state(path: Path, source: Path) -> BackupInfo:
    """Replace a state file by a backup; a copy of the replaced file is kept beside it.

    Everything is checked before anything is changed. The backup of an older engine is migrated. Raises RunBusyError
    while a run is live, UsageError for a file that is not a backup, StateError.
    """
    scratch = durable.part_of(path.absolute())
    try:
        manifest = _verify(source)
        with no_run(path):
            _extract(source, scratch, side_of(path) / "blobs")
            with closing(durable.connect_to_read(scratch, immutable=True)) as copy:
                if copy.execute("PRAGMA integrity_check(1)").fetchall() != [("ok",)]:
                    raise UsageError(f"the database inside {source} is damaged", fix="take another backup")
                require_schema(copy, source, manifest["schema"])
                kept = _set_aside(path)
                with closing(open_state(path)), closing(durable.connect(path, busy_seconds=BUSY_SECONDS)) as db:
                    durable.restore_database(copy, db)
                    prepare_schema(db, path)
    except tarfile.TarError as error:
        raise UsageError(f"{source} is no backup of a state: {error}", fix="name another file") from error
    except (sqlite3.Error, OSError) as error:
        raise StateError(f"{path} cannot be restored from {source}: {error}", fix="check both, try again") from error
    finally:
        if scratch.exists():
            durable.remove_file(scratch)
    size = source.stat().st_size
    return BackupInfo(str(source), manifest["runs"], manifest["blobs"], size, str(kept) if kept else None)


def _verify(source: Path) -> dict[str, Any]:
    """Verify the content of every part of a backup; returns its manifest. Changes nothing."""
    manifest: dict[str, Any] = {}
    parts = 0
    for name, data in _members(source):
        if name == MANIFEST:
            manifest = _manifest(data.read())
            continue
        wanted = manifest.get("sha256") if name == DATABASE else _content_of(name)
        digest = hashlib.sha256()
        while chunk := data.read(CHUNK):
            digest.update(chunk)
        if digest.hexdigest() != wanted:  # no other name than that of a content gets any further
            raise tarfile.TarError(f"{name} is damaged")
        parts += 1
    if not manifest or parts != manifest["blobs"] + 1:
        raise tarfile.TarError("it is not complete")
    return manifest


def _content_of(name: str) -> str:
    """The sha256 in the name of a stored output; "" for any name that a backup cannot contain."""
    match = BLOB_NAME.fullmatch(name)
    return match[1] if match else ""


def _extract(source: Path, database: Path, blobs: Path) -> None:
    """Write the database to `database`, and the missing stored outputs to `blobs`."""
    for name, data in _members(source):
        target = database if name == DATABASE else blobs / name.removeprefix(BLOBS)
        if name != MANIFEST and (target == database or not target.exists()):
            with durable.AtomicFile(target) as file:
                while chunk := data.read(CHUNK):
                    file.write(chunk)


def _members(source: Path) -> Iterator[tuple[str, IO[bytes]]]:
    with tarfile.open(source, mode="r:") as tar:
        for member in tar:
            data = tar.extractfile(member) if member.isfile() else None
            if data is None:
                raise tarfile.TarError(f"unexpected entry {member.name}")
            yield member.name, data


def _manifest(data: bytes) -> dict[str, Any]:
    try:
        manifest: dict[str, Any] = json.loads(data)
        if manifest["format"] > FORMAT or manifest["schema"] > SCHEMA_VERSION:
            raise of_newer_engine("the backup was made by a newer engine")
    except (ValueError, KeyError, TypeError) as error:
        raise tarfile.TarError("its manifest cannot be read") from error
    return manifest


def _set_aside(path: Path) -> Path | None:
    """Keep the existing file: as a copy, or, if it is not readable as a database, by renaming it; returns its path."""
    path = durable.real_file(path)
    if not path.exists():
        return None
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
    kept = path.with_name(f"{path.name}.replaced-{stamp}")
    try:
        with closing(durable.connect(path, busy_seconds=5.0)) as db:
            if db.execute("PRAGMA integrity_check(1)").fetchall() == [("ok",)]:
                durable.backup_database(db, kept)
                return kept
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError:
        pass
    for suffix in ("", "-wal", "-shm"):
        found = path.with_name(path.name + suffix)
        if found.exists():
            durable.rename_file(found, kept.with_name(kept.name + suffix))
    return kept


def _add_bytes(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    import io

    tar.addfile(_entry(name, len(data)), io.BytesIO(data))


def _add_file(tar: tarfile.TarFile, name: str, path: Path) -> None:
    with path.open("rb") as file:
        tar.addfile(_entry(name, path.stat().st_size), file)


def _entry(name: str, size: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode, entry.mtime = size, durable.FILE_MODE, int(time.time())
    return entry
