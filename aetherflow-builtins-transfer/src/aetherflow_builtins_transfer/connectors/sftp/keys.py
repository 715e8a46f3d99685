"""Loads private keys from files and secrets, and checks host keys."""

import base64
import binascii
import contextlib
import fcntl
import hashlib
import io
import os
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aetherflow_builtins_transfer.connectors.sftp.settings import Policy, SshHost
from aetherflow_builtins_transfer.failures import RemoteError

if TYPE_CHECKING:
    import paramiko

_HASHED = re.compile(r"\|1\|[A-Za-z0-9+/]{27}=\|[A-Za-z0-9+/]{27}=")
"""A name as `HashKnownHosts` writes it: salt and HMAC-SHA1, 20 bytes each. paramiko asserts the length of the salt."""


def fingerprint(key: "paramiko.PKey") -> str:
    """The fingerprint of a key as OpenSSH shows it: `SHA256:…`."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(key.asbytes()).digest()).decode().rstrip("=")


def load_key(text: str, passphrase: str | None, where: str) -> "paramiko.PKey":
    """A private key of any supported type, from its text; RemoteError if it cannot be read."""
    import paramiko

    types: tuple[type[Any], ...] = (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey)
    for cls in types:
        try:
            key: paramiko.PKey = cls.from_private_key(io.StringIO(text), password=passphrase)
        except paramiko.PasswordRequiredException:
            raise RemoteError(
                f"{where} is encrypted", kind="denied", fix="give its passphrase: config.passphrase, from a secret"
            ) from None
        except (paramiko.SSHException, ValueError, IndexError, binascii.Error):
            continue
        return key
    wrong = "; or its passphrase is wrong" if passphrase is not None else ""
    raise RemoteError(
        f"{where} is no private key that can be read{wrong}",
        kind="denied",
        fix="Ed25519, ECDSA and RSA keys are taken, in OpenSSH's or PEM form; DSA keys are not",
    )


def own_key(host: SshHost, path_of: Any) -> "paramiko.PKey | None":
    """The configured private key with its certificate, None if there is none. `path_of` makes paths absolute."""
    if host.private_key is not None:
        text, where = host.private_key.get_secret_value(), "config.private_key"
    elif host.pkey_path is not None:
        path = Path(path_of(host.pkey_path))
        where = f"the key {path}"
        try:
            text = path.read_text(encoding="ascii", errors="replace")
        except OSError as error:
            raise RemoteError(
                f"{where} cannot be read: {error.strerror}", kind="denied",
                fix="config.pkey_path is relative to the flow file",
            ) from error  # fmt: skip
    else:
        return None
    if not text.endswith("\n"):
        text += "\n"
    key = load_key(text, host.passphrase.get_secret_value() if host.passphrase else None, where)
    if host.certificate is not None:
        given = host.certificate
        try:
            if " " not in given.strip():
                given = path_of(given)
                Path(given).stat()  # paramiko would take a missing file for the certificate itself
            key.load_certificate(given)
        except FileNotFoundError as error:
            raise RemoteError(
                f"the certificate {given} cannot be read: {error.strerror}", kind="denied",
                fix="config.certificate is relative to the flow file",
            ) from error  # fmt: skip
        except (OSError, ValueError, IndexError) as error:
            raise RemoteError(f"the certificate {given} does not fit the key: {error}", kind="denied") from error
    return key


class HostKeys:
    """The accepted host keys of one server: pinned ones, or those of known_hosts."""

    def __init__(self, host: SshHost, known_hosts: Path, policy: Policy) -> None:
        self._name = host.host if host.port == 22 else f"[{host.host}]:{host.port}"
        self._pinned = host.host_key
        self._file = known_hosts
        self._policy = policy

    def types(self) -> list[str]:
        """Types of the known keys, to request one of them from the server."""
        if self._pinned:
            return [each.split()[0] for each in self._pinned if not each.startswith("SHA256:")]
        return [key.get_name() for key, _ in self._known()]

    def check(self, key: "paramiko.PKey", log: Any) -> None:
        """Accept the server's key, or raise RemoteError; called before anything confidential is sent to the server."""
        shown = f"{key.get_name()} {fingerprint(key)}"
        if self._pinned:
            if not any(_is_pinned(each, key) for each in self._pinned):
                raise self._changed(shown, "config.host_key")
            return
        known = self._known()
        if any(revoked and other == key for other, revoked in known):
            raise self._refused(f"the host key of {self._name} is revoked in {self._file}: {shown}")
        valid = [other for other, revoked in known if not revoked]
        if any(other == key for other in valid):
            return
        if valid:
            raise self._changed(shown, str(self._file))
        if self._policy == "strict":
            raise self._refused(
                f"the host key of {self._name} is not known: {shown}",
                "ask who runs the server whether this is its key; then put it into config.host_key, "
                f"or its line (ssh-keyscan shows it) into {self._file}",
            )
        log.warning("the host key of %s was not known and is accepted: %s", self._name, shown)
        if self._policy == "accept-new":
            self._remember(key, shown)

    def _known(self) -> "list[tuple[paramiko.PKey, bool]]":
        """The keys of this server, and whether they are revoked; unreadable lines are skipped."""
        from paramiko import SSHException
        from paramiko.hostkeys import HostKeyEntry, InvalidHostKey

        found = []
        for number, line in enumerate(self._lines()):
            marker, _, rest = line.partition(" ") if line.startswith("@") else ("", "", line)
            if marker not in ("", "@revoked"):
                continue  # @cert-authority: paramiko does not support host certificates
            with contextlib.suppress(InvalidHostKey, SSHException, ValueError):
                entry = HostKeyEntry.from_line(rest.strip(), number)
                if entry is not None and _matches(self._name, entry.hostnames or []):
                    found.append((entry.key, marker == "@revoked"))
        return found

    def _lines(self) -> Iterator[str]:
        try:
            text = self._file.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return
        except OSError as error:
            raise self._refused(
                f"known_hosts {self._file} cannot be read: {error.strerror}", "check config.known_hosts"
            ) from error
        for line in text.splitlines():
            if line.strip() and not line.lstrip().startswith("#"):
                yield line.strip()

    def _remember(self, key: "paramiko.PKey", shown: str) -> None:
        try:
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            with os.fdopen(descriptor, "r+b", buffering=0) as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                if known := [other for other, _ in self._known()]:  # another run has written meanwhile
                    if key not in known:
                        raise self._changed(shown, str(self._file))
                    return
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - 1))
                gap = "" if file.read(1) in (b"", b"\n") else "\n"
                file.write(f"{gap}{self._name} {key.get_name()} {key.get_base64()}\n".encode())
                os.fsync(file.fileno())
        except OSError as error:
            raise self._refused(
                f"the host key of {self._name} cannot be written to {self._file}: {error.strerror}",
                "accept-new needs a file that it may write: check config.known_hosts, or pin config.host_key",
            ) from error

    def _changed(self, shown: str, where: str) -> RemoteError:
        return self._refused(
            f"the host key of {self._name} is not the one in {where}: {shown}. Nothing was sent to the server",
            "a third party may be between; ask who runs the server whether its key was changed, then change it there",
        )

    def _refused(self, message: str, fix: str = "") -> RemoteError:
        return RemoteError(message, kind="denied", fix=fix or "ask who runs the server")


def _matches(name: str, patterns: "list[str]") -> bool:
    """Whether a line of known_hosts applies to this server. Names may be hashed, have wildcards, or exclude by `!`."""
    from paramiko.hostkeys import HostKeys as Hashes

    if any(pattern.startswith("!") and _like(name, pattern[1:]) for pattern in patterns):
        return False
    return any(
        Hashes.hash_host(name, pattern) == pattern if _HASHED.fullmatch(pattern) else _like(name, pattern)
        for pattern in patterns
    )


def _like(name: str, pattern: str) -> bool:
    return fnmatchcase(
        name.lower(), pattern.lower().replace("[", "[[]")
    )  # the bracket of [host]:port is no character class


def _is_pinned(pin: str, key: "paramiko.PKey") -> bool:
    if pin.startswith("SHA256:"):
        return pin.rstrip("=") == fingerprint(key)
    return pin.split()[1] == key.get_base64()
