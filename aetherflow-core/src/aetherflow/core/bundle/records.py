"""The records of a bundle store: versions, the latest sync, a pin, events. JSON files, each written atomically."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from aetherflow.core.base import durable
from aetherflow.core.bundle.failures import BundleStoreError


@dataclass(frozen=True, slots=True)
class Version:
    """One immutable tree in the store."""

    content: str
    """Content fingerprint, the name of its folder."""
    fingerprint: str
    """Listing fingerprint of the source at the time of the sync."""
    created_at: str
    """Instant in ISO 8601, in UTC."""
    created_by: str
    """Who synced it, as `user@host`."""
    source: Mapping[str, Any]
    files: Mapping[str, tuple[str, int]]
    """Path to sha256 and size in bytes."""


@dataclass(frozen=True, slots=True)
class Latest:
    """The latest successful sync."""

    fingerprint: str
    content: str
    snapshot: str
    """Name of the SourceSnapshot's file in `fingerprints/`."""
    updated_at: str
    updated_by: str = ""
    revision: str | None = None
    """The source's revision before it was listed, if it has one."""


@dataclass(frozen=True, slots=True)
class Pin:
    """A version that a person chose; syncs do not replace it."""

    content: str
    at: str
    by: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Highest:
    """The highest version of a signed bundle that a sync has brought."""

    version: int
    """The version counter of its statement."""
    statement: str
    """The sha256 of the statement's text, which differs between two contents of one version."""
    at: str


@dataclass(frozen=True, slots=True)
class Event:
    """One change of the active version."""

    at: str
    by: str
    action: str
    """One of `sync`, `activate`, `rollback`, `unpin`."""
    content: str
    previous: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class SourceSnapshot:
    """A synced listing; the next sync reuses its hashes."""

    version: int
    bundle_id: str
    fingerprint: str
    content: str
    created_at: str
    source: Mapping[str, Any]
    strict_fingerprint: bool
    files: list[dict[str, Any]] = field(default_factory=list)
    """`path, sha256, size, mtime` of each."""


def read_json(path: Path) -> Any:
    """The content of a file of the store; None if it does not exist. BundleStoreError if it cannot be read."""
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        fix = "remove it, and sync the bundle again"
        raise BundleStoreError(f"{path} cannot be read: {error}", fix=fix) from error


def write_json(path: Path, data: Any) -> None:
    """Write a file of the store, atomically and durably."""
    durable.write_bytes(path, (json.dumps(data, ensure_ascii=False, indent=1) + "\n").encode())


def as_version(data: Any, path: Path) -> Version:
    """The version in the content of its file; BundleStoreError if it is not valid."""
    try:
        files = {each["path"]: (str(each["sha256"]), int(each["size"])) for each in data["files"]}
        return Version(**{**data, "files": files})
    except (TypeError, KeyError, ValueError) as error:
        raise BundleStoreError(f"{path} is not the record of a version", fix="sync the bundle again") from error


def version_data(version: Version) -> dict[str, Any]:
    """The content of a version's file."""
    files = [{"path": path, "sha256": sha256, "size": size} for path, (sha256, size) in version.files.items()]
    return {
        "content": version.content,
        "fingerprint": version.fingerprint,
        "created_at": version.created_at,
        "created_by": version.created_by,
        "source": dict(version.source),
        "files": files,
    }


def record(kind: type[Any], data: Any, path: Path) -> Any:
    """The record of class `kind` in the content of its file; None for None. BundleStoreError if it is not valid."""
    if data is None:
        return None
    try:
        return kind(**data)
    except TypeError as error:
        raise BundleStoreError(f"{path} is damaged", fix="remove it, and sync the bundle again") from error


def plain(entry: Any) -> dict[str, Any]:
    """The content of a record's file."""
    return asdict(entry)
