"""Signatures of single texts, beside them in a file of their own, by the keys and signers' files of bundles."""

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from aetherflow.core.base.errors import UsageError
from aetherflow.core.bundle.allowed_signers import read_signers
from aetherflow.core.bundle.signing import load_key


class DetachedSignature(NamedTuple):
    """A signature that was made, or that holds."""

    text: str
    """The content of its file."""
    key: str
    """The fingerprint of the key."""
    public_line: str
    """The public key as in a file."""


def sign_text(
    text: bytes,
    namespace: str,
    key: Path,
    passphrase: Callable[[], str | None],
    agent: str | None,
    *,
    of_service: bool = False,
) -> DetachedSignature:
    """Sign a text with an SSH key; the parameters are those of `load_key`. Raises UsageError, SpecError."""
    from aetherflow.core.bundle import sshsig  # it imports the library of the extra

    signer = load_key(key, passphrase, agent, of_service=of_service)
    try:
        made = sshsig.sign(signer, text, namespace)
    except (sshsig.MalformedError, sshsig.WeakKeyError) as error:
        raise UsageError(f"the agent made no signature that holds: {error}", fix="use the file of the key") from error
    return DetachedSignature(made, sshsig.fingerprint(signer.key), sshsig.public_line(signer.key))


def why_not_signed(
    text: bytes, signature: bytes, namespace: str, signers: Path, principal: str, at: dt.datetime
) -> str | DetachedSignature:
    """Who signed a text; or why the signature does not hold, for a principal of a signers' file at an instant.

    Raises SpecError for the signers' file, UsageError if the extra `sign` is missing.
    """
    from aetherflow.core.bundle import sshsig

    try:
        found = sshsig.read(signature)
        if found.namespace != namespace:
            return f"the signature is of namespace {found.namespace[:80]!r}, not of {namespace}"
        shown = sshsig.fingerprint(found.key)
        lines = [line for line in read_signers(signers, principal) if line.key == found.key]
        if not lines:
            return f"it is signed by {shown}, for which {signers} has no line with the principal {principal}"
        whys = [line.why_not_for(namespace) or line.why_not_at(at) for line in lines]
        if None not in whys:
            return f"it is signed by {shown}, which may not: {whys[0]}"
        sshsig.check(found, text)
    except (sshsig.MalformedError, sshsig.WeakKeyError) as error:
        return f"the signature does not hold: {error}"
    return DetachedSignature(signature.decode(errors="replace"), shown, sshsig.public_line(found.key))
