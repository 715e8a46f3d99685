"""The lock of the installed plugins: only what is in it, as it was when it was written, is imported."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from aetherflow.core.base.errors import PluginError
from aetherflow.core.host.distributions import find_distribution, key_of
from aetherflow.core.host.metadata import FOLDER, PluginEntry

if TYPE_CHECKING:
    from aetherflow.core.host.contents import Contents

LOCK_FILE = "plugins.lock"
HEAD = "# Written by `aetherflow plugins lock`. Write it again when an installation has changed.\nversion: 1\n"


class PluginLockError(PluginError):
    """The distribution of a plugin is not as the lock file of the plugins says."""

    code = "AF2108"


class LockedDistribution(NamedTuple):
    """What a lock says about one distribution."""

    version: str
    hash: str
    """`record:` or `files:`, and a sha256: see `host.contents`."""


class PluginLock(NamedTuple):
    """One lock file, as read."""

    path: Path
    sha256: str
    """Of the file's content; a run records it."""
    distributions: Mapping[str, LockedDistribution]
    """By the key of the name: `host.distributions.key_of`."""


class Locks:
    """The lock files that hold at once. What is installed is hashed when it is asked for, once."""

    def __init__(self, locks: Iterable[PluginLock] = ()) -> None:
        self.files = tuple(locks)
        self._contents: dict[str, Contents | None] = {}

    def require(self, entry: PluginEntry) -> None:
        """PluginLockError if the distribution of a plugin is not as one of the locks says."""
        for lock in self.files:
            if (why := self._why_not(lock, entry)) is not None:
                message = f"{entry.kind} {entry.shown_name!r} of {entry.source} is not as {lock.path} says: {why}"
                fix = f"install it again; if it is meant to be so, write the lock: {lock_command()}"
                raise PluginLockError(message, fix=fix)

    def holds(self, entry: PluginEntry) -> bool:
        """Whether `require` would accept a plugin."""
        return all(self._why_not(lock, entry) is None for lock in self.files)

    def recorded(self, names: Iterable[str]) -> dict[str, str]:
        """What the first lock says of these distributions: `hash` by name."""
        if not self.files:
            return {}
        locked = self.files[0].distributions
        return {name: locked[key].hash for name in sorted(set(names)) if (key := key_of(name)) in locked}

    def _why_not(self, lock: PluginLock, entry: PluginEntry) -> str | None:
        if entry.distribution == FOLDER:
            return None  # it may not hide an installed one: see `Catalog`
        locked = lock.distributions.get(key_of(entry.distribution))
        if locked is None:
            return "it is not in it"
        if locked.version != entry.version:
            return f"{locked.version} is locked"
        contents = self._look(entry.distribution)
        if contents is None:
            return "it is not installed"
        return _difference(contents, locked.hash, entry.target)

    def _look(self, name: str) -> "Contents | None":
        if name not in self._contents:
            from aetherflow.core.host.contents import Contents  # only where something is locked

            found = find_distribution(name)
            self._contents[name] = None if found is None else Contents(found)
        return self._contents[name]


def _difference(contents: "Contents", locked: str, target: str) -> str | None:
    from aetherflow.core.host.contents import RECORD, module_of

    if not locked.startswith(f"{RECORD}:"):
        try:
            return None if contents.files == locked else "a file was changed, added or removed"
        except OSError as error:
            return f"{error.filename} cannot be read: {error.strerror}"
    if contents.record != locked:
        return "it was built or installed from other files"
    if contents.fault is not None:
        return contents.fault
    outside = contents.outside(module_of(target))
    return None if outside is None else f"{outside} would be imported, which is not in its RECORD"


def lock_of(entries: Iterable[PluginEntry]) -> dict[str, LockedDistribution]:
    """What a lock of the distributions of these plugins says, by name, sorted.

    Raises PluginError for one whose files cannot be read.
    """
    from aetherflow.core.host.contents import Contents

    versions = {entry.distribution: entry.version for entry in entries if entry.distribution != FOLDER}
    found = {}
    for name in sorted(versions, key=key_of):
        installed = find_distribution(name)
        if installed is None:
            continue
        try:
            found[name] = LockedDistribution(versions[name], Contents(installed).identity())
        except OSError as error:
            message = f"{name} {versions[name]} cannot be locked: {error.filename}: {error.strerror}"
            raise PluginError(message, fix=f"install {name} again") from error
    return found


def lock_text(distributions: Mapping[str, LockedDistribution]) -> str:
    """The content of a lock file."""
    import json  # a name or version in its quotes is YAML, too

    lines = [
        f"  {json.dumps(name)}: {{version: {json.dumps(each.version)}, hash: {json.dumps(each.hash)}}}\n"
        for name, each in distributions.items()
    ]
    return HEAD + ("".join(["distributions:\n", *lines]) if lines else "distributions: {}\n")


def lock_command() -> str:
    """The command that writes the lock."""
    from aetherflow.core.base.typed import typed_here

    return typed_here("plugins", "lock")
