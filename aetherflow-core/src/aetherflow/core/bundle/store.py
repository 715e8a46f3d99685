"""The store of one bundle: immutable versions, blobs by their hash, and the pointer to the active version.

versions/<content>/      a tree, never changed; versions/<content>.json lists its files
active -> versions/…     a link, replaced by one rename
cache/<sha256>           blobs, hashed again when they are used
fingerprints/            synced listings; latest.json names the latest
staged/                  a version being built
pin.json, highest.json, history.jsonl, last_error.json
"""

import fcntl
import hashlib
import json
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from aetherflow.core.base import durable
from aetherflow.core.base.errors import UsageError
from aetherflow.core.base.owners import require_own
from aetherflow.core.bundle import records
from aetherflow.core.bundle.failures import BundleStoreError
from aetherflow.core.bundle.records import Event, Highest, Latest, Pin, SourceSnapshot, Version

CHUNK = 1 << 20
FILE_MODE, SCRIPT_MODE = 0o400, 0o500
"""Modes of files in a version: read-only; files that begin with `#!` are executable, whatever the source."""
LEAST_PREFIX = 6
"""Fewest characters of a fingerprint by which a version can be named."""
KEPT_EVENTS = 1_000
MANY_FILES = 64
"""From this number of files on, one sync of the whole system is faster than an fsync of each file."""


class BundleStore:
    """The folder of a bundle, of the name of its id."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.bundle_id = root.name
        self.versions_dir = self.root / "versions"
        self.active_dir = self.root / "active"
        self.cache_dir = self.root / "cache"
        self.fingerprints_dir = self.root / "fingerprints"
        self.staged_dir = self.root / "staged"
        self.latest_path = self.fingerprints_dir / "latest.json"
        self.error_path = self.root / "last_error.json"
        self._pin_path = self.root / "pin.json"
        self._highest_path = self.root / "highest.json"
        self._history_path = self.root / "history.jsonl"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the exclusive lock of the store, for changes; waits for other processes. BundleStoreError."""
        try:
            durable.make_dir(self.root)
            require_own(self.root, "the bundle store")
            with durable.open_lock(self.root / ".lock") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                yield
        except PermissionError as error:
            raise BundleStoreError(
                f"the bundle store cannot be used: {error}", fix="check its owner and mode"
            ) from error

    @contextmanager
    def held(self, content: str) -> Iterator[Path]:
        """Hold a version and give its folder: `prune` does not remove it while the block runs. UntrustedError."""
        require_own(self.versions_dir / content, "the bundle's version")
        with durable.open_lock(self.versions_dir / f"{content}.lock") as file:
            fcntl.flock(file, fcntl.LOCK_SH)
            self.version(content)
            yield self.versions_dir / content

    def in_use(self, content: str) -> bool:
        """Whether a living process holds a version."""
        with durable.open_lock(self.versions_dir / f"{content}.lock") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def _unusable(self, why: str) -> BundleStoreError:
        root = shlex.quote(str(self.root))
        return BundleStoreError(why, fix=f"move the store away, then do the same again: mv {root} {root}.old")

    # Versions

    def active(self) -> str | None:
        """Content fingerprint of the active version; None if there is none."""
        try:
            target = self.active_dir.readlink()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unusable(f"{self.active_dir} is not a link: the bundle store is a copy") from error
        return target.name

    def has(self, content: str) -> bool:
        """Whether a version exists, with its record."""
        return (self.versions_dir / f"{content}.json").is_file() and (self.versions_dir / content).is_dir()

    def version(self, content: str) -> Version:
        """The record of a version. BundleStoreError if the version does not exist."""
        path = self.versions_dir / f"{content}.json"
        data = records.read_json(path)
        if data is None or not (self.versions_dir / content).is_dir():
            raise BundleStoreError(f"version {content[:12]} is not in the store", fix="sync the bundle again")
        return records.as_version(data, path)

    def versions(self) -> list[Version]:
        """All versions, the newest first."""
        paths = self.versions_dir.glob("*.json") if self.versions_dir.is_dir() else ()
        found = [self.version(path.stem) for path in paths if self.has(path.stem)]
        return sorted(found, key=lambda each: (each.created_at, each.content), reverse=True)

    def find(self, name: str) -> Version:
        """The version called `active`, `latest` or `previous`, or by the start of a content fingerprint. UsageError."""
        if name in ("active", "latest", "previous"):
            latest = self.latest()
            content = {
                "active": self.active,
                "latest": lambda: latest.content if latest else None,
                "previous": self.previous,
            }[name]()
            if content is None:
                raise UsageError(f"bundle {self.bundle_id} has no {name} version", fix="sync it first")
            return self.version(content)
        found = [each for each in self.versions() if each.content.startswith(name)]
        if len(name) < LEAST_PREFIX or len(found) != 1:
            known = ", ".join(each.content[:12] for each in self.versions()) or "none"
            what = "is not a version" if not found else f"is the start of {len(found)} versions"
            if len(name) < LEAST_PREFIX:
                what = f"is too short: at least {LEAST_PREFIX} characters"
            raise UsageError(f"{name!r} {what} of bundle {self.bundle_id}", fix=f"versions: {known}")
        return found[0]

    def previous(self) -> str | None:
        """The version that was active before the current one, if it still exists."""
        active = self.active()
        for event in reversed(self.history()):
            if event.content == active and event.previous and event.previous != active and self.has(event.previous):
                return event.previous
        return None

    def add(self, version: Version, take: Callable[[str, Path], None]) -> None:
        """Build a version atomically; `take(sha256, target)` writes each of its files."""
        staged = self.staged_dir / version.content
        durable.make_dir(staged)
        for folder in sorted({str(Path(path).parent) for path in version.files} - {"."}):
            durable.make_dir(staged / folder)
        for path, (sha256, _) in version.files.items():
            take(sha256, staged / path)
        durable.swap_dir(
            staged, self.versions_dir / version.content, "version", at_once=len(version.files) > MANY_FILES
        )
        records.write_json(self.versions_dir / f"{version.content}.json", records.version_data(version))

    def point_to(self, content: str, action: str, at: str, by: str, reason: str = "") -> None:
        """Make a version the active one, and record the event in the history."""
        before = self.active()
        if before != content:
            durable.swap_link(f"versions/{content}", self.active_dir)
        if before != content or action != "sync":
            self._remember(Event(at, by, action, content, before or "", reason))

    def remove(self, content: str) -> None:
        """Delete a version; its record goes first, so that a partly deleted one does not count as a version."""
        durable.remove_file(self.versions_dir / f"{content}.json")
        durable.remove_tree(self.versions_dir / content)
        durable.remove_file(self.versions_dir / f"{content}.lock")

    # Records

    def latest(self) -> Latest | None:
        data = records.read_json(self.latest_path)
        found: Latest | None = records.record(Latest, data, self.latest_path)
        return found

    def snapshot(self, latest: Latest) -> SourceSnapshot | None:
        """The listing of a sync; None if its file is missing."""
        path = self.fingerprints_dir / Path(latest.snapshot).name
        found: SourceSnapshot | None = records.record(SourceSnapshot, records.read_json(path), path)
        return found

    def synced(self, snapshot: SourceSnapshot, at: str, by: str, revision: str | None) -> None:
        """Record a successful sync, and remove the record of an earlier failure."""
        name = f"{snapshot.fingerprint}.json"
        records.write_json(self.fingerprints_dir / name, records.plain(snapshot))
        latest = Latest(snapshot.fingerprint, snapshot.content, name, at, by, revision)
        self.remember(latest)
        self.forget_error()

    def remember(self, latest: Latest) -> None:
        """Record `latest` as the latest sync."""
        records.write_json(self.latest_path, records.plain(latest))

    def forget_error(self) -> None:
        """Remove the record of a failed sync."""
        if self.error_path.exists():
            durable.remove_file(self.error_path)

    def pin(self) -> Pin | None:
        """The pin; None if there is none."""
        found: Pin | None = records.record(Pin, records.read_json(self._pin_path), self._pin_path)
        return found

    def set_pin(self, pin: Pin | None) -> None:
        """Set the pin, or remove it with None."""
        if pin is not None:
            records.write_json(self._pin_path, records.plain(pin))
        elif self._pin_path.exists():
            durable.remove_file(self._pin_path)

    def highest(self) -> Highest | None:
        """Return the highest version of a signed bundle that a sync has brought; None if that is not known."""
        path = self._highest_path
        found: Highest | None = records.record(Highest, records.read_json(path), path)
        if found is not None and not isinstance(found.version, int):
            raise BundleStoreError(f"{path} is damaged", fix="remove it, and sync the bundle again")
        return found

    def saw(self, version: int, statement: str, at: str) -> None:
        """Record a version of a signed bundle if it is the highest so far."""
        before = self.highest()
        if before is None or before.version < version:
            records.write_json(self._highest_path, records.plain(Highest(version, statement, at)))

    def history(self) -> list[Event]:
        """Changes of the active version, the oldest first."""
        try:
            lines = self._history_path.read_text(encoding="utf-8").splitlines()
            return [Event(**json.loads(line)) for line in lines]
        except FileNotFoundError:
            return []
        except (OSError, ValueError, TypeError) as error:
            raise BundleStoreError(f"{self._history_path} is damaged: {error}", fix="move it away") from error

    def _remember(self, event: Event) -> None:
        events = [*self.history(), event][-KEPT_EVENTS:]
        text = "".join(json.dumps(records.plain(each), ensure_ascii=False) + "\n" for each in events)
        durable.write_bytes(self._history_path, text.encode())

    # Blobs

    def blob_size(self, sha256: str) -> int | None:
        """The size of a stored blob; None if there is none, or if its content is damaged."""
        path = self.cache_dir / sha256
        if not path.is_file():
            return None
        size, found = durable.file_facts(path)
        return size if found == sha256 else None

    def add_blob(self, fetch: Callable[[BinaryIO], None]) -> tuple[str, int]:
        """Store what `fetch` writes; returns its sha256 and size."""
        # not synced: a blob that a power cut damaged is detected when it is used
        with durable.AtomicFile(self.cache_dir / "incoming", sync=False) as file:
            fetch(file)  # type: ignore[arg-type]  # it is a binary file for writing
            file.final = self.cache_dir / file.sha256
            return file.sha256, file.size

    def copy_blob(self, sha256: str, target: Path) -> bool:
        """Copy a blob to a new file and verify its hash; False, and no file, if it is damaged."""
        found = hashlib.sha256()
        with (self.cache_dir / sha256).open("rb") as source:
            head = source.read(CHUNK)
            with durable.new_file(target, mode=SCRIPT_MODE if head.startswith(b"#!") else FILE_MODE) as file:
                while head:
                    found.update(head)
                    file.write(head)
                    head = source.read(CHUNK)
        if found.hexdigest() == sha256:
            return True
        durable.remove_file(target)
        return False

    def clean(self) -> None:
        """Remove the leftovers of interrupted syncs."""
        for folder in (self.staged_dir, self.cache_dir, self.versions_dir, self.fingerprints_dir, self.root):
            found = list(folder.iterdir()) if folder.is_dir() else []
            for part in [path for path in found if folder == self.staged_dir or durable.is_part(path)]:
                # an unfinished link `active` points to a folder, but is not one
                folder_itself = part.is_dir() and not part.is_symlink()
                durable.remove_tree(part) if folder_itself else durable.remove_file(part)
