"""Whether a version of a bundle may be used, where the administrator's policy names who may sign bundles."""

import contextlib
import datetime as dt
import hashlib
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from aetherflow.core.base import owners
from aetherflow.core.bundle.allowed_signers import Line, read_signers
from aetherflow.core.bundle.failures import (
    BundleKeyExpiredError,
    BundleOlderError,
    BundleSignerError,
    BundleStoreError,
    BundleTamperedError,
    BundleUnsignedError,
)
from aetherflow.core.bundle.records import Version
from aetherflow.core.bundle.statement import (
    LOCK,
    MAX_SIGNATURE,
    MAX_STATEMENT,
    NAMESPACE,
    SIGNATURE,
    STATEMENT,
    Statement,
    lock_hash,
    read_statement,
    signed_part,
    statement_in,
)
from aetherflow.core.bundle.store import BundleStore
from aetherflow.core.runtime.environment.administrator import Administrator
from aetherflow.core.runtime.environment.trust import require, require_by

SHOWN = 5
"""Most paths that a message names."""


class Signed(NamedTuple):
    """A signature that was judged and holds, with who made it."""

    statement: Statement
    key: str
    """The fingerprint of the key."""
    key_type: str
    signer: str
    """Where the key is allowed: the place in the signers' file."""
    comment: str
    """The comment of the key in that line."""

    def as_json(self) -> dict[str, Any]:
        """The same as a JSON object."""
        return {
            "version": self.statement.version,
            "content": self.statement.content,
            "plugins_lock": self.statement.plugins_lock,
            "key": self.key,
            "key_type": self.key_type,
            "signer": self.signer,
            "comment": self.comment,
        }


@dataclass(frozen=True, slots=True)
class SigningRules:
    """Who may sign a bundle, and whether an older version may take the place of a newer one."""

    signers: Path
    bundle_id: str
    manifest: Path
    named: tuple[str, ...]
    """The options that name the bundle on a command line."""
    forbid_rollback: bool = True

    def judge(self, files: Mapping[str, str], read: Callable[[str, int], bytes]) -> Signed:
        """The signature of a tree, of which `files` has every path with its sha256; `read` is as in `statement_in`.

        Raises BundleSignatureError, SpecError for the signers' file, UsageError if the extra `sign` is missing.
        """
        if missing := [path for path in (STATEMENT, SIGNATURE) if path not in files]:
            message = (
                f"bundle {self.bundle_id} is not signed: it has no file {missing[0]}, and {self.signers} asks for it"
            )
            fix = f"{self._sign()}; then publish the bundle with both files"
            raise BundleUnsignedError(message, fix=fix)
        text = read(STATEMENT, MAX_STATEMENT)
        line, key = self._signer(text, read(SIGNATURE, MAX_SIGNATURE))
        statement = read_statement(text)
        self._require_fit(statement, files)
        from aetherflow.core.bundle.sshsig import fingerprint, type_of

        return Signed(statement, fingerprint(key), type_of(key), str(line.at), line.comment)

    def refuse_older(self, after: Statement, before: Statement | None, back: str, reason: str) -> None:
        """BundleOlderError if a version may not take the place of the active one.

        A reason admits it: whoever gives one records it. `back` is the command that does, for the advice.
        """
        if before is None or reason or not self.forbid_rollback:
            return
        # the same content under a lower version is older, too: it would open the way to the versions between
        if after.version > before.version or after == before:
            return
        if after.version == before.version:
            what = f"has other content than the active one, and the same version {after.version}"
            fix = f"sign it with a higher one: {self._sign(after.version + 1)}"
        else:
            what = f"is version {after.version}, older than the active version {before.version}"
            fix = f"nothing was changed; to go back on purpose, say why, which is recorded: {back}"
        raise BundleOlderError(f"bundle {self.bundle_id} {what}", fix=fix)

    def _signer(self, text: bytes, signature: bytes) -> tuple[Line, bytes]:
        """The line that allows the signature of a statement, and the key."""
        from aetherflow.core.bundle import sshsig  # it imports the library of the extra

        again = f"if the change is meant, sign it again: {self._sign()}"
        try:
            found = sshsig.read(signature)
            if found.namespace != NAMESPACE:
                message = f"{SIGNATURE} is a signature of namespace {found.namespace[:80]!r}, not of {NAMESPACE}"
                raise BundleTamperedError(f"bundle {self.bundle_id}: {message}", fix=again)
            # first, so that nothing is computed with a key that somebody else chose
            line = self._allowed(found.key, sshsig.fingerprint(found.key))
            sshsig.check(found, text)
        except sshsig.WeakKeyError as error:
            message = f"bundle {self.bundle_id}: the key of {SIGNATURE} is not accepted: {error}"
            raise BundleSignerError(message, fix=f"sign it with another key: {self._sign()}") from error
        except sshsig.MalformedError as error:
            message = f"bundle {self.bundle_id}: {SIGNATURE} does not fit {STATEMENT}: {error}"
            raise BundleTamperedError(message, fix=again) from error
        return line, found.key

    def _allowed(self, key: bytes, shown: str) -> Line:
        lines = [line for line in read_signers(self.signers, self.bundle_id) if line.key == key]
        others = [why for line in lines if (why := line.why_not_for(NAMESPACE)) is not None]
        fitting = [line for line in lines if line.why_not_for(NAMESPACE) is None]
        if not fitting:
            why = (
                others[0] if others else f"{self.signers} has no line for it whose principals match {self.bundle_id!r}"
            )
            message = f"bundle {self.bundle_id} is signed by {shown}, which may not: {why}"
            fix = f"sign it with an allowed key: {self._sign()}; or let the administrator add the key to {self.signers}"
            raise BundleSignerError(message, fix=fix)
        at = dt.datetime.now(dt.UTC)
        for line in fitting:
            if line.why_not_at(at) is None:
                return line
        message = f"bundle {self.bundle_id} is signed by {shown}, which is not valid now: {fitting[0].why_not_at(at)}"
        raise BundleKeyExpiredError(message, fix=f"sign it with a key that is valid: {self._sign()}")

    def _require_fit(self, statement: Statement, files: Mapping[str, str]) -> None:
        """BundleTamperedError unless the statement is about this bundle, these files and the lock of its plugins."""
        again = f"if the change is meant, sign it again: {self._sign()}"
        if statement.bundle != self.bundle_id:
            message = f"bundle {self.bundle_id}: what is signed is bundle {statement.bundle!r}"
            raise BundleTamperedError(message, fix=f"look at bundle.source in the manifest; {again}")
        found, wanted = signed_part(files), statement.files
        if found != wanted:
            raise BundleTamperedError(
                f"bundle {self.bundle_id} is not what was signed as version {statement.version}: "
                f"{'; '.join(_differences(found, wanted))}",
                fix=f"look at who wrote to the source; {again}",
            )
        if statement.plugins_lock not in (None, lock := lock_hash(files, self.manifest.parent)):
            what = "there is none" if lock is None else f"its sha256 is {lock[:12]}"
            message = f"bundle {self.bundle_id} is signed for another {LOCK}: {what}, not {statement.plugins_lock[:12]}"
            raise BundleTamperedError(
                message, fix=f"put the {LOCK} that it was signed with into {self.manifest.parent}"
            )

    def _sign(self, version: int | None = None) -> str:
        more = [] if version is None else ["--version", str(version)]
        return shlex.join(["aetherflow", "bundle", "sign", "--key", "FILE", *more, *self.named])


def rules_of(policy: Administrator, bundle_id: str, manifest: Path, named: Sequence[str]) -> SigningRules | None:
    """The rules of the administrator's policy; None if it names no signers. SpecError if others may write the file."""
    if policy.spec.bundles.signers is None:
        return None
    path = Path(policy.document.file).parent / policy.spec.bundles.signers
    require_by(frozenset({owners.ROOT}), path, "whose bundles are used")
    return SigningRules(path, bundle_id, manifest, tuple(named), policy.spec.bundles.rollback == "forbid")


def rules_for(signers: Path, bundle_id: str, manifest: Path, named: Sequence[str]) -> SigningRules:
    """The rules of a signers' file that a command names. SpecError if others may write it."""
    return SigningRules(require(signers, "whose bundles are accepted"), bundle_id, manifest, tuple(named))


def judge_version(rules: SigningRules, store: BundleStore, version: Version) -> Signed:
    """The signature of a version in the store, or of one that is about to be stored. As `SigningRules.judge`."""
    return rules.judge(_hashes(version), lambda path, limit: _content(store, version, path, limit))


def require_later(rules: SigningRules, store: BundleStore, after: Statement, back: str, reason: str) -> None:
    """BundleOlderError if the version may not become the active one of the store: see `SigningRules.refuse_older`."""
    active = store.active()
    if active is None or not store.has(active):
        return
    with contextlib.suppress(BundleStoreError):  # a damaged version has no say; it is told when it is used
        version = store.version(active)
        before = statement_in(_hashes(version), lambda *what: _content(store, version, *what))
        rules.refuse_older(after, before, back, reason)


def _hashes(version: Version) -> dict[str, str]:
    return {path: sha256 for path, (sha256, _) in version.files.items()}


def _content(store: BundleStore, version: Version, path: str, limit: int) -> bytes:
    """The content of a file of a version, from the cache, else from its folder. BundleStoreError if it is damaged."""
    sha256, size = version.files[path]
    if size > limit:
        raise BundleTamperedError(f"{path} has {size:,} bytes: at most {limit:,}", fix="sign the bundle again")
    for place in (store.cache_dir / sha256, store.versions_dir / version.content / path):
        with contextlib.suppress(OSError), place.open("rb") as file:
            data = file.read(limit + 1)
            if hashlib.sha256(data).hexdigest() == sha256:
                return data
    raise BundleStoreError(f"{path} of version {version.content[:12]} is damaged", fix="sync the bundle again")


def _differences(found: Mapping[str, str], wanted: Mapping[str, str]) -> list[str]:
    lines = []
    for path in sorted({*found, *wanted}):
        if path not in wanted:
            lines.append(f"{path} is not part of it")
        elif path not in found:
            lines.append(f"{path} is missing")
        elif found[path] != wanted[path]:
            lines.append(f"{path} was changed")
    more = len(lines) - SHOWN
    return [*lines[:SHOWN], *([f"and {more} more"] if more > 0 else [])]
