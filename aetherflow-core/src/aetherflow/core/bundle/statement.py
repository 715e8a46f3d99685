"""What the signature of a bundle is about: which bundle, which version of it, and every file with its hash.

The statement is a file of the bundle, with the signature beside it, so any source brings both, in one version with the
rest. Its text is canonical: one content has one text.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from aetherflow.core.base import durable
from aetherflow.core.bundle.failures import BundleTamperedError
from aetherflow.core.bundle.listing import content_fingerprint

FORMAT = "aetherflow-bundle-1"
NAMESPACE = "aetherflow-bundle"
"""The namespace of the signature, so that no signature for another purpose is one of a bundle."""
STATEMENT = "bundle.signed.json"
SIGNATURE = f"{STATEMENT}.sig"
LOCK = "plugins.lock"
"""The file that locks the plugins, in the bundle or beside its manifest."""
MAX_STATEMENT = 64 << 20
MAX_SIGNATURE = 64 << 10
MAX_VERSION = (1 << 53) - 1


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement; the order of its fields is that in the file."""

    bundle: str
    """The id of the bundle."""
    version: int
    """The version counter: a later version has a larger one."""
    content: str
    """The content fingerprint of `files`."""
    plugins_lock: str | None
    """The sha256 of the plugin lock that the bundle was tried with; None if it had none."""
    files: Mapping[str, str]
    """Path to sha256 of every file of the bundle but the statement and its signature; sorted."""

    def text(self) -> bytes:
        """The content of the statement's file."""
        return (json.dumps({"format": FORMAT, **asdict(self)}, ensure_ascii=False, indent=1) + "\n").encode()

    def digest(self) -> str:
        """Return the sha256 of the text."""
        return hashlib.sha256(self.text()).hexdigest()


def signed_part(hashes: Mapping[str, str]) -> dict[str, str]:
    """The files that a statement names, of all files of a bundle."""
    return {path: hashes[path] for path in sorted(hashes) if path not in (STATEMENT, SIGNATURE)}


def statement_of(bundle: str, version: int, hashes: Mapping[str, str], lock: str | None) -> Statement:
    """The statement about a tree, of which `hashes` has every file."""
    files = signed_part(hashes)
    return Statement(bundle, version, content_fingerprint(files), lock, files)


def read_statement(text: bytes) -> Statement:
    """The statement in the content of its file. BundleTamperedError if it is not one, letter by letter."""
    try:
        data = json.loads(text)
        form = data.pop("format")
        found = Statement(**data)
        sound = (
            form == FORMAT
            and type(found.version) is int
            and 1 <= found.version <= MAX_VERSION
            and found.text() == text
            and content_fingerprint(found.files) == found.content
        )
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
        sound = False
    if not sound:
        message = f"{STATEMENT} is not the statement of a bundle as this version of AetherFlow writes it"
        raise BundleTamperedError(message, fix="sign the bundle again")
    return found


def lock_hash(hashes: Mapping[str, str], folder: Path) -> str | None:
    """The sha256 of the plugin lock: that of the bundle, else the one beside the manifest; None if there is none."""
    if LOCK in hashes:
        return hashes[LOCK]
    try:
        return durable.file_facts(folder / LOCK)[1]
    except FileNotFoundError:
        return None


def statement_in(files: Mapping[str, object], read: Callable[[str, int], bytes]) -> Statement | None:
    """The statement of a version, whether or not it is signed; None if there is none, or if it cannot be read as one.

    `read(path, limit)` gives the content of a file, at most so many bytes.
    """
    if STATEMENT not in files:
        return None
    try:
        return read_statement(read(STATEMENT, MAX_STATEMENT))
    except BundleTamperedError:
        return None
