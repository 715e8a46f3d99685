"""One sync: list, compare, fetch new files, build a version, make it the active one; all or nothing."""

import contextlib
import datetime as dt
import getpass
import io
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from aetherflow.core.base.actor import hostname
from aetherflow.core.base.errors import AetherflowError
from aetherflow.core.base.problems import Problem
from aetherflow.core.bundle import records
from aetherflow.core.bundle.failures import BundleChangedError, BundleError, BundleMissingError, BundleStoreError
from aetherflow.core.bundle.listing import MAX_BYTES, ListedFile, content_fingerprint, listing_fingerprint, read_listing
from aetherflow.core.bundle.records import Latest, Pin, SourceSnapshot, Version
from aetherflow.core.bundle.store import BundleStore
from aetherflow.core.bundle.verify import check_version
from aetherflow.core.contracts.bundle_source import BundleSource
from aetherflow.core.contracts.connector import RemoteFileMeta
from aetherflow.core.host.connecting import wrong_result

if TYPE_CHECKING:
    from aetherflow.core.bundle.signed import Signed, SigningRules

RECORD_VERSION = 1


@dataclass(frozen=True, slots=True)
class SyncRequest:
    """The parameters of a sync."""

    manifest: str
    """Path of the manifest, for records."""
    source_facts: Mapping[str, Any]
    """`type, base_path`, for records; no secrets."""
    required: Mapping[str, Problem]
    """The files that the bundle must contain, each with what is said if it does not."""
    strict_fingerprint: bool = False
    fetch_policy: str = "cache_check"
    rules: "SigningRules | None" = None
    """What is asked of signatures: nothing becomes the active version, or stays it, that they do not admit."""
    named: tuple[str, ...] = ()
    """The options that name the bundle and its store on a command line, for advice."""
    reason: str = ""
    """Why an older version may take the place of a newer one; recorded."""


@dataclass(slots=True)
class SyncResult:
    """The result of a sync: the active version of a store, and what the sync did."""

    store: BundleStore
    content: str
    """Content fingerprint of the active version."""
    fingerprint: str
    """Fingerprint of the listing of the source."""
    changed: bool = False
    """True if the active version has changed."""
    fetched_files: list[str] = field(default_factory=list)
    """Relative paths of the files that were downloaded."""
    stale: bool = False
    """True if the source failed and the version is that of an earlier sync."""
    error: str | None = None
    pin: Pin | None = None
    """The pin that keeps the active version, if there is one."""
    signed: "Signed | None" = None
    """The signature of the active version, where the administrator's policy asks for one."""
    kept: bool = False
    """True if nothing was synced: a run that was cut off goes on with the version that it began with."""

    @property
    def local_root(self) -> Path:
        """The folder of the version."""
        return self.store.versions_dir / self.content


def actor() -> str:
    """The current user as `user@host`, for records."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # an account without a name, as in some containers
        user = "unknown"
    return f"{user}@{hostname()}"


def now() -> str:
    """The current UTC time in ISO 8601, to the millisecond."""
    return dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")


def sync(
    connect: Callable[[], contextlib.AbstractContextManager[BundleSource[Any]]],
    store: BundleStore,
    wanted: SyncRequest,
    *,
    allow_stale: bool = False,
    progress: Callable[[str, int, int], None] = lambda *_: None,
    check: Callable[[], None] = lambda: None,
    mask: Callable[[str], str] = str,
) -> SyncResult:
    """Mirror a source into the store.

    `connect` opens the source. With `allow_stale` a failure, also of `connect`, results in the active version if there
    is one; a BundleStoreError is still raised. `progress(path, number, total)` is called for each fetched file;
    `check` may raise, to stop; `mask` removes secrets from the recorded text of a failure.

    Raises ConnectorError, BundleError, BundleStoreError; the active version is then unchanged.
    """
    with store.locked():
        try:
            with connect() as source:
                done = _Sync(source, store, wanted, progress, check).run()
        except BundleStoreError:
            raise
        except (AetherflowError, OSError) as error:
            text = mask(str(error))
            _remember_failure(store, wanted, text)
            active = store.active() if allow_stale else None
            if active is None:
                raise
            latest = store.latest()
            fingerprint = latest.fingerprint if latest else ""
            done = SyncResult(store, active, fingerprint, stale=True, error=text, pin=store.pin())
        judge(done, wanted.rules)
        return done


def judge(done: SyncResult, rules: "SigningRules | None") -> None:
    """Let the administrator's rules judge the signature of a version that is to be used. BundleSignatureError."""
    if rules is not None:
        from aetherflow.core.bundle.signed import judge_version  # few machines have signers

        done.signed = judge_version(rules, done.store, done.store.version(done.content))


def _remember_failure(store: BundleStore, wanted: SyncRequest, error: str) -> None:
    latest = store.latest()
    data = {
        "bundle_id": store.bundle_id,
        "source_type": wanted.source_facts.get("type"),
        "base_path": wanted.source_facts.get("base_path"),
        "bundle_manifest": wanted.manifest,
        "old_fingerprint": latest.fingerprint if latest else None,
        "new_fingerprint": None,
        "strict_fingerprint": wanted.strict_fingerprint,
        "error": error,
        "updated_at": now(),
    }
    with contextlib.suppress(OSError):  # must not hide the failure itself
        records.write_json(store.error_path, data)


class _Sync:
    def __init__(
        self,
        source: BundleSource[Any],
        store: BundleStore,
        wanted: SyncRequest,
        progress: Callable[[str, int, int], None],
        check: Callable[[], None],
    ) -> None:
        self._source = source
        self._store = store
        self._wanted = wanted
        self._progress = progress
        self._check = check
        self._always = wanted.fetch_policy == "always"
        self._fetched: dict[str, tuple[str, int]] = {}
        self._bytes = 0

    def run(self) -> SyncResult:
        latest, pin = self._store.latest(), self._store.pin()
        plain = not self._always and not self._wanted.strict_fingerprint
        revision = self._source.revision()  # before the listing, so that the next sync notices later changes
        settled = None if latest is None or self._always else self._settled(latest, pin)
        if latest and settled and plain and revision is not None and revision == latest.revision:
            return self._unchanged(settled, latest.fingerprint, pin)
        self._store.clean()
        listed = self._list()
        if self._wanted.strict_fingerprint:
            files = {path: self._hashed(file) for path, file in listed.items()}
        else:
            files = listed
        fingerprint = listing_fingerprint(files)
        if latest and settled and latest.fingerprint == fingerprint:
            if revision != latest.revision:
                self._store.remember(replace(latest, revision=revision))
            return self._unchanged(settled, fingerprint, pin)
        self._require(files)
        hashes = self._hashes(files, self._known())
        self._list_again(listed)
        content = content_fingerprint({path: sha256 for path, (sha256, _) in hashes.items()})
        at, by = now(), actor()
        facts = dict(self._wanted.source_facts)
        version = Version(content, fingerprint, at, by, facts, hashes)
        self._admit(version, pin)
        if not self._store.has(content) or (self._always and any(check_version(self._store, content, self._check))):
            self._store.add(version, self._place)
        before = self._store.active()
        if pin is None:
            self._store.point_to(content, "sync", at, by, self._wanted.reason)
        snapshot = SourceSnapshot(
            RECORD_VERSION, self._store.bundle_id, fingerprint, content, at, facts, self._wanted.strict_fingerprint,
            [
                {"path": path, "sha256": hashes[path][0], "size": files[path].size, "mtime": files[path].mtime}
                for path in files
            ],
        )  # fmt: skip
        self._store.synced(snapshot, at, by, revision)
        active = self._store.active() or content
        return SyncResult(self._store, active, fingerprint, active != before, sorted(self._fetched), pin=pin or None)

    def _admit(self, version: Version, pin: Pin | None) -> None:
        """BundleSignatureError unless the rules admit the version, and as the active one if it becomes that."""
        if (rules := self._wanted.rules) is None:
            return
        from aetherflow.core.bundle.signed import judge_version, require_later

        signed = judge_version(rules, self._store, version)
        if pin is None:
            back = shlex.join(["aetherflow", "bundle", "sync", "--reason", "TEXT", *self._wanted.named])
            require_later(rules, self._store, signed.statement, back, self._wanted.reason)
        self._store.saw(signed.statement.version, signed.statement.digest(), now())

    def _settled(self, latest: Latest, pin: Pin | None) -> str | None:
        """The active version, if it is that of the latest sync or pinned; None if the sync must continue."""
        active = self._store.active()
        whole = active is not None and self._store.has(latest.content)
        return active if whole and (pin is not None or active == latest.content) else None

    def _unchanged(self, active: str, fingerprint: str, pin: Pin | None) -> SyncResult:
        self._store.forget_error()
        return SyncResult(self._store, active, fingerprint, fetched_files=sorted(self._fetched), pin=pin)

    def _list(self) -> dict[str, ListedFile]:
        self._check()
        return read_listing(self._entries())

    def _entries(self) -> Iterator[RemoteFileMeta]:
        found: object = self._source.list()
        if not isinstance(found, Iterable):
            raise wrong_result(self._source, "list", found, "the files as RemoteFileMeta")
        for each in found:
            if not isinstance(each, RemoteFileMeta):
                raise wrong_result(self._source, "list", each, "the files as RemoteFileMeta")
            yield each

    def _list_again(self, before: Mapping[str, ListedFile]) -> None:
        """List again to detect changes while files were fetched; not needed if the source gives hashes."""
        if not self._fetched or all(file.sha256 for file in before.values()):
            return
        after = self._list()
        if after != before:
            changed = sorted(path for path in {*before, *after} if before.get(path) != after.get(path))
            message = f"the source changed while it was read: {', '.join(changed[:5])}"
            raise BundleChangedError(message, fix="sync again once nobody writes to the source")

    def _require(self, files: Mapping[str, ListedFile]) -> None:
        if missing := [problem for path, problem in self._wanted.required.items() if path not in files]:
            raise BundleMissingError(sorted(missing, key=lambda each: each.location))

    def _known(self) -> dict[str, tuple[int | None, float | None, str]]:
        """Size, time and hash of the files of the latest sync."""
        latest = self._store.latest()
        snapshot = self._store.snapshot(latest) if latest is not None else None
        if snapshot is None:
            return {}
        return {each["path"]: (each["size"], each["mtime"], each["sha256"]) for each in snapshot.files}

    def _hashes(
        self, files: Mapping[str, ListedFile], known: Mapping[str, tuple[int | None, float | None, str]]
    ) -> dict[str, tuple[str, int]]:
        """Path to sha256 and size of every file; files that are not in the cache are fetched."""
        found: dict[str, tuple[str, int]] = {}
        for number, (path, file) in enumerate(files.items(), 1):
            sha256 = file.sha256
            before = known.get(path)
            if sha256 is None and before is not None and None not in before[:2]:
                sha256 = before[2] if before[:2] == (file.size, file.mtime) else None
            size = None if sha256 is None or self._always else self._store.blob_size(sha256)
            if sha256 is None or size is None:
                found[path] = self._fetch(file, number, len(files))
            else:
                found[path] = self._fetched.get(path) or (sha256, size)
        return found

    def _hashed(self, file: ListedFile) -> ListedFile:
        return file if file.sha256 else replace(file, sha256=self._fetch(file, 1, 1)[0])

    def _fetch(self, file: ListedFile, number: int, total: int) -> tuple[str, int]:
        if file.path in self._fetched:
            return self._fetched[file.path]
        self._check()
        self._progress(file.path, number, total)
        sha256, size = self._store.add_blob(
            lambda target: self._source.fetch(file.path, cast(BinaryIO, _Limited(target, file)))
        )
        self._bytes += size
        if self._bytes > MAX_BYTES:
            message = f"the bundle is refused: more than {MAX_BYTES:,} bytes were sent"
            raise BundleError(message, fix="keep data out of the bundle")
        if file.sha256 is not None and sha256 != file.sha256:
            message = f"Checksum mismatch for {file.path}: expected={file.sha256} got={sha256}"
            raise BundleChangedError(message, fix="sync again; if it stays, the source's list is wrong")
        if file.size is not None and size != file.size:
            message = f"{file.path}: listed with {file.size} bytes, {size} were sent"
            raise BundleChangedError(message, fix="sync again once nobody writes to the source")
        self._fetched[file.path] = sha256, size
        return sha256, size

    def _place(self, sha256: str, target: Path) -> None:
        """Copy a blob into a version."""
        self._check()
        if not self._store.copy_blob(sha256, target):
            message = f"{self._store.cache_dir / sha256} is damaged as soon as it is written"
            raise BundleStoreError(message, fix="check the disk and the memory of this machine")


class _Limited(io.RawIOBase):
    """A file that accepts no more bytes than were listed, so that a source cannot fill the disk."""

    def __init__(self, target: BinaryIO, file: ListedFile) -> None:
        self._target = target
        self._file = file
        self._left = MAX_BYTES if file.size is None else file.size

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        """Append bytes; BundleChangedError for more than were listed."""
        self._left -= memoryview(data).nbytes
        if self._left < 0:
            message = f"{self._file.path}: more bytes are sent than were listed"
            raise BundleChangedError(message, fix="sync again once nobody writes to the source")
        return self._target.write(data)
