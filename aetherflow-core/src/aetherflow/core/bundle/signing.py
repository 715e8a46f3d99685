"""Signing the tree of a bundle where it is released: two files are written into it."""

import contextlib
import shlex
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from aetherflow.core.base import durable, owners
from aetherflow.core.base.errors import SpecError, UsageError
from aetherflow.core.bundle.failures import BundleTamperedError
from aetherflow.core.bundle.listing import read_listing
from aetherflow.core.bundle.manifest import SOURCE, Manifest, check_source
from aetherflow.core.bundle.statement import (
    MAX_SIGNATURE,
    MAX_STATEMENT,
    MAX_VERSION,
    NAMESPACE,
    SIGNATURE,
    STATEMENT,
    Statement,
    lock_hash,
    read_statement,
    statement_of,
)
from aetherflow.core.bundle.verify import files_in
from aetherflow.core.contracts.connector import RemoteFileMeta
from aetherflow.core.host.catalog import Catalog
from aetherflow.core.kernel.resolver.template import render
from aetherflow.core.runtime.environment.trust import require

if TYPE_CHECKING:
    from aetherflow.core.bundle.sshsig import PrivateKey, Signer

PASSPHRASE = "AETHERFLOW_SIGN_PASSPHRASE"  # noqa: S105 a name
"""The variable with the passphrase of the key."""
MAX_KEY = 64 << 10


class Made(NamedTuple):
    """A signature that was made."""

    statement: Statement
    key: str
    """The fingerprint of the key."""
    key_type: str
    public_line: str
    """The public key as in a file."""
    signatures: int
    """The number of signatures that the statement has now."""

    @property
    def allowed(self) -> str:
        """The line for `allowed_signers` that admits it."""
        return f'{self.statement.bundle} namespaces="{NAMESPACE}" {self.public_line}'


class Release(NamedTuple):
    """The tree that is published."""

    folder: Path
    is_source: bool
    """Whether the source takes the files from a folder as they are. Else it is a checkout, or what is packed."""

    def hashes(self) -> dict[str, str]:
        """Path to sha256 of every file, as a sync would take them. BundleError, UsageError."""
        found = read_listing(self._listed())
        return {path: durable.file_facts(self.folder / path)[1] for path in found}

    def _listed(self) -> Iterator[RemoteFileMeta]:
        for path in files_in(self.folder):
            name, facts = path.relative_to(self.folder).as_posix(), path.lstat()
            if name.startswith(".git/") and not self.is_source:
                continue  # the repository of a checkout is no part of what is published
            if not stat.S_ISREG(facts.st_mode):
                message = f"{path} is no regular file, and no bundle can hold it"
                raise UsageError(message, fix="put a copy in its place, or take it out of the folder")
            yield RemoteFileMeta(rel_path=name, path=str(path), name=path.name, size=facts.st_size)


def release_of(manifest: Manifest, catalog: Catalog, env: Mapping[str, str], given: Path | None) -> Release:
    """The tree that is given, else the folder of the manifest's source. UsageError if there is none, SpecError."""
    source = manifest.spec.bundle.source
    if given is None and (problems := check_source(manifest, catalog)):
        raise SpecError(problems)
    key = catalog.bundle_source(source.type).folder_key
    if given is None and key is None:
        message = f"{manifest.path} takes the bundle from a source of type {source.type}, which is no folder"
        raise UsageError(message, fix="name the folder with the files that are published, such as a checkout")
    folder = given or manifest.folder / render(manifest.own_keys, {"env": env}, SOURCE)[key]
    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder", fix="name the folder with the files that are published")
    return Release(folder, key is not None)


def content_in(folder: Path) -> Callable[[str, int], bytes]:
    """Reads files of a tree, as `SigningRules.judge` asks for them."""

    def read(path: str, limit: int) -> bytes:
        with (folder / path).open("rb") as file:
            data = file.read(limit + 1)
        if len(data) > limit:
            raise BundleTamperedError(f"{folder / path} has more than {limit:,} bytes", fix="sign the bundle again")
        return data

    return read


def load_key(
    path: Path, passphrase: Callable[[], str | None], agent: str | None, *, of_service: bool = False
) -> "Signer":
    """Signs with the private key of a file, or, of a public key, with the agent at the socket `agent`.

    `passphrase` is asked for one if the key is encrypted. With `of_service` the group may read a key of root, which is
    all that root gives to a service. UsageError if it cannot be used, SpecError if others may write it.
    """
    from aetherflow.core.bundle import sshsig  # it imports the library of the extra
    from aetherflow.core.bundle.ssh_agent import agent_signer

    require(path, "who signs")
    try:
        with path.open("rb") as file:
            facts, data = path.stat(), file.read(MAX_KEY)
    except OSError as error:
        raise UsageError(f"the key {path} cannot be read: {error.strerror}", fix="name a private key of SSH") from error
    try:
        if path.suffix == ".pub":
            return agent_signer(sshsig.read_public(data), agent)
        if stat.S_IMODE(facts.st_mode) & (0o037 if of_service and facts.st_uid == owners.ROOT else 0o077):
            fix = f"let only its owner read it: chmod 600 {shlex.quote(str(path))}"
            raise UsageError(f"others may read the key {path}", fix=fix)
        try:
            return sshsig.signer_of(sshsig.load_private(data, None))
        except TypeError:
            return sshsig.signer_of(_decrypted(path, data, passphrase()))
    except sshsig.WeakKeyError as error:
        fix = "make another one: ssh-keygen -t ed25519"
        raise UsageError(f"the key {path} is not accepted: {error}", fix=fix) from error
    except ValueError as error:
        if isinstance(error, UsageError):
            raise
        fix = "name a private key, or a public one, FILE.pub, whose private part is in the agent"
        raise UsageError(f"{path} is no key of SSH: {error}", fix=fix) from error


def _decrypted(path: Path, data: bytes, passphrase: str | None) -> "PrivateKey":
    from aetherflow.core.bundle import sshsig

    if passphrase is None:
        message = f"the key {path} is encrypted, and there is no passphrase"
        raise UsageError(message, fix=f"set the variable {PASSPHRASE}, or call it on a terminal, which asks for it")
    try:
        return sshsig.load_private(data, passphrase.encode())
    except sshsig.WeakKeyError:
        raise
    except ValueError as error:
        if isinstance(error, UsageError):
            raise
        message = f"the passphrase of the key {path} is wrong"
        raise UsageError(message, fix=f"correct the variable {PASSPHRASE}, or what you typed") from error


def sign_tree(release: Release, manifest: Manifest, signer: "Signer", version: int | None) -> Made:
    """Write the statement about a tree into it, and its signature, after those that others made of the same statement.

    Without a `version` it is one more than that of the statement which is there, or the same if nothing else changed.
    Raises UsageError, BundleTamperedError for a statement that cannot be read, and what `Release.hashes` raises.
    """
    from aetherflow.core.bundle import sshsig

    folder, hashes = release.folder, release.hashes()
    bundle, lock = manifest.spec.bundle.id, lock_hash(hashes, manifest.folder)
    before, least = _before(folder, hashes, version, bundle), 1
    if before is not None:
        least = before.version + (statement_of(bundle, before.version, hashes, lock) != before)
    if before is not None and version is not None and version < least:
        message = f"version {version} is too low: {folder / STATEMENT} is version {before.version}"
        raise UsageError(message, fix=f"leave --version out, or name {least} or more")
    made = statement_of(bundle, version or least, hashes, lock)
    if not made.files:
        raise UsageError(f"{folder} has no files", fix="name the folder with the files that are published")
    if not 1 <= made.version <= MAX_VERSION:
        raise UsageError(f"version {made.version} is out of range", fix=f"name one from 1 to {MAX_VERSION}")
    text = made.text()
    if len(text) > MAX_STATEMENT:
        raise UsageError(f"{folder} has too many files for one statement", fix="split the bundle")
    try:
        signature = sshsig.sign(signer, text, NAMESPACE)
    except (sshsig.MalformedError, sshsig.WeakKeyError) as error:
        raise UsageError(f"the agent made no signature that holds: {error}", fix="use the file of the key") from error
    kept = _others(folder, hashes, text, signer.key)
    durable.write_bytes(folder / STATEMENT, text, mode=durable.SOURCE_FILE_MODE)
    durable.write_bytes(folder / SIGNATURE, b"".join([*kept, signature.encode()]), mode=durable.SOURCE_FILE_MODE)
    key = signer.key
    return Made(made, sshsig.fingerprint(key), sshsig.type_of(key), sshsig.public_line(key), len(kept) + 1)


def _others(folder: Path, hashes: Mapping[str, str], text: bytes, key: bytes) -> list[bytes]:
    """The signatures in a tree that hold for a statement, by other keys; those of an older statement are dropped."""
    from aetherflow.core.bundle import sshsig

    there, found = b"", list[bytes]()
    if SIGNATURE in hashes:
        with contextlib.suppress(BundleTamperedError):  # it is too large to be one
            there = content_in(folder)(SIGNATURE, MAX_SIGNATURE)
    for each in sshsig.split(there):
        with contextlib.suppress(sshsig.MalformedError, sshsig.WeakKeyError):
            signature = sshsig.read(each)
            if signature.key != key and signature.namespace == NAMESPACE:
                sshsig.check(signature, text)
                found.append(each.rstrip() + b"\n")
    return found


def _before(folder: Path, hashes: Mapping[str, str], version: int | None, bundle: str) -> Statement | None:
    """The statement that is in a tree; None if there is none, or if it is about another bundle."""
    if STATEMENT not in hashes:
        return None
    try:
        found = read_statement(content_in(folder)(STATEMENT, MAX_STATEMENT))
    except BundleTamperedError as error:
        if version is not None:
            return None
        message = f"{folder / STATEMENT} cannot be read, so the next version is not known"
        raise BundleTamperedError(message, fix="name the version of this bundle with --version") from error
    return found if found.bundle == bundle else None
