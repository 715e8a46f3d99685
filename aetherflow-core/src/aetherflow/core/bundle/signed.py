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
    BundleSignatureError,
    BundleSignerError,
    BundleStoreError,
    BundleTamperedError,
    BundleThresholdError,
    BundleUnsignedError,
)
from aetherflow.core.bundle.records import Highest, Version
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


class SignedBy(NamedTuple):
    """The key of a signature that holds, and its owner."""

    key: str
    """The fingerprint of the key."""
    key_type: str
    signer: str
    """Where the key is allowed: the place in the signers' file."""
    comment: str
    """The comment of the key in that line."""
    person: str | None = None
    """Whose key it is, if the line says so."""


class Signed(NamedTuple):
    """The signatures of a statement that were judged and hold; at least one."""

    statement: Statement
    by: tuple[SignedBy, ...]

    def as_json(self) -> dict[str, Any]:
        """Return a JSON object; the keys of the first signature are at its top, too."""
        found = self.statement
        first = {name: value for name, value in self.by[0]._asdict().items() if name != "person"}
        about = {"version": found.version, "content": found.content, "plugins_lock": found.plugins_lock}
        return {**about, **first, "signatures": [each._asdict() for each in self.by]}


@dataclass(frozen=True, slots=True)
class SigningRules:
    """Who may sign a bundle, and whether an older version may take the place of a newer one."""

    signers: Path
    bundle_id: str
    manifest: Path
    named: tuple[str, ...]
    """The options that name the bundle on a command line."""
    forbid_rollback: bool = True
    threshold: int = 1
    """The number of people that must have signed."""
    threshold_at: str = ""
    min_version: int = 1
    """The lowest version that may be used."""
    min_version_at: str = ""

    def judge(self, files: Mapping[str, str], read: Callable[[str, int], bytes]) -> Signed:
        """The signatures of a tree, of which `files` has every path with its sha256; `read` is as in `statement_in`.

        Raises BundleSignatureError, SpecError for the signers' file, UsageError if the extra `sign` is missing.
        """
        if missing := [path for path in (STATEMENT, SIGNATURE) if path not in files]:
            message = (
                f"bundle {self.bundle_id} is not signed: it has no file {missing[0]}, and {self.signers} asks for it"
            )
            fix = f"{self._sign()}; then publish the bundle with both files"
            raise BundleUnsignedError(message, fix=fix)
        text = read(STATEMENT, MAX_STATEMENT)
        by, refused = self._signers(text, read(SIGNATURE, MAX_SIGNATURE))
        statement = read_statement(text)
        self._require_fit(statement, files)
        self._require_people(statement, by, refused)
        if statement.version < self.min_version:
            message = (
                f"bundle {self.bundle_id} is version {statement.version}, and {self.min_version_at} admits none "
                f"below {self.min_version}"
            )
            fix = f"publish version {self.min_version} or a later one; a reason does not admit this one"
            raise BundleOlderError(message, fix=fix)
        return Signed(statement, tuple(by))

    def refuse_older(
        self, after: Statement, before: Statement | None, highest: Highest | None, back: str, reason: str
    ) -> None:
        """BundleOlderError if a version may not take the place of the active one.

        `highest` is the highest version that was here before. A reason admits the version; the caller records
        it. `back` is the command that does, for the advice.
        """
        if reason or not self.forbid_rollback or after == before:
            return
        active, seen = before.version if before else 0, highest.version if highest else 0
        # the same content under a lower version is older, too: it would open the way to the versions between
        if after.version > max(active, seen):
            return
        if highest is not None and after.version == seen > active and after.digest() == highest.statement:
            return
        if after.version == max(active, seen):
            of = "the active one" if active >= seen else "the one that was here before"
            what = f"has other content than {of}, and the same version {after.version}"
            fix = f"sign it with a higher one: {self._sign(after.version + 1)}"
        else:
            known = f"the active version {active}" if active >= seen else f"version {seen}, which was here before"
            what = f"is version {after.version}, older than {known}"
            fix = f"to go back on purpose, say why, which is recorded: {back}"
            # the source itself may have been set back for good, by a release that was taken back
            fix = f"nothing was changed; {fix}" if active >= seen else f"sign it as version {seen + 1} or later; {fix}"
        raise BundleOlderError(f"bundle {self.bundle_id} {what}", fix=fix)

    def _signers(self, text: bytes, signatures: bytes) -> tuple[list[SignedBy], list[BundleSignatureError]]:
        """Return the allowed signers, and errors for the others; BundleSignatureError if none is allowed."""
        from aetherflow.core.bundle import sshsig  # it imports the library of the extra

        found, refused = list[SignedBy](), list[BundleSignatureError]()
        for signature in sshsig.split(signatures):
            try:
                line, key = self._signer(text, signature)
            except (BundleSignerError, BundleKeyExpiredError) as error:
                refused.append(error)
                continue
            person = line.person() if self.threshold > 1 else ", ".join(line.people) or None
            found.append(SignedBy(sshsig.fingerprint(key), sshsig.type_of(key), str(line.at), line.comment, person))
        if not found:
            raise refused[0]
        return list(dict.fromkeys(found)), refused

    def _require_people(
        self, statement: Statement, by: Sequence[SignedBy], refused: Sequence[BundleSignatureError]
    ) -> None:
        """BundleThresholdError unless enough people have signed: the keys of one person count once."""
        people = sorted({str(each.person) for each in by})
        if self.threshold == 1 or len(people) >= self.threshold:
            return
        more = f" with {len(by)} keys" if len(by) > len(people) else ""
        message = (
            f"bundle {self.bundle_id}, version {statement.version}, is signed by {len(people)} of the "
            f"{self.threshold} people that {self.threshold_at} asks for: {', '.join(people)}{more}"
        )
        notes = "".join(f"; not counted: {each.message}" for each in refused[:SHOWN])
        fix = f"let another person of {self.signers} sign the same files as well: {self._sign()}"
        raise BundleThresholdError(message + notes, fix=fix)

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
    spec = policy.spec.bundles
    return SigningRules(
        path,
        bundle_id,
        manifest,
        tuple(named),
        spec.rollback == "forbid",
        spec.threshold,
        str(policy.place(("bundles", "threshold"))),
        spec.min_version.get(bundle_id, 1),
        str(policy.place(("bundles", "min_version", bundle_id))),
    )


def rules_for(signers: Path, bundle_id: str, manifest: Path, named: Sequence[str]) -> SigningRules:
    """The rules of a signers' file that a command names. SpecError if others may write it."""
    return SigningRules(require(signers, "whose bundles are accepted"), bundle_id, manifest, tuple(named))


def judge_version(rules: SigningRules, store: BundleStore, version: Version) -> Signed:
    """The signature of a version in the store, or of one that is about to be stored. As `SigningRules.judge`."""
    return rules.judge(_hashes(version), lambda path, limit: _content(store, version, path, limit))


def require_later(rules: SigningRules, store: BundleStore, after: Statement, back: str, reason: str) -> None:
    """BundleOlderError if the version may not become the active one of the store: see `SigningRules.refuse_older`."""
    active, before = store.active(), None
    if active is not None and store.has(active):
        with contextlib.suppress(BundleStoreError):  # a damaged version does not count; its next use reports it
            version = store.version(active)
            before = statement_in(_hashes(version), lambda *what: _content(store, version, *what))
    rules.refuse_older(after, before, store.highest(), back, reason)


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
