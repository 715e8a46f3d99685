"""Signatures in OpenSSH's format SSHSIG, as `ssh-keygen -Y sign` and `-Y verify` make and read them.

The format is PROTOCOL.sshsig of OpenSSH. Keys, signatures and hashes are those of the library `cryptography`, which the
extra `sign` installs; this module alone imports it.
"""

import base64
import hashlib
import re
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, NamedTuple

from aetherflow.core.base.errors import UsageError
from aetherflow.core.host.installing import install_command

try:
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec, padding, utils
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
except ImportError as error:
    message = f"signatures of bundles need a library that is not installed: {error}"
    raise UsageError(message, fix=f"run: {install_command('sign')}") from error

MAGIC = b"SSHSIG"
VERSION = (1).to_bytes(4)
BEGIN, END = "-----BEGIN SSH SIGNATURE-----", "-----END SSH SIGNATURE-----"
LINE = 70
"""Characters of base64 in a line, as ssh-keygen writes them; any number is read."""
HASHES = {b"sha512": hashlib.sha512, b"sha256": hashlib.sha256}
RSA_HASHES = {b"rsa-sha2-512": hashes.SHA512, b"rsa-sha2-256": hashes.SHA256}
"""The algorithms of RSA signatures; `ssh-rsa` is SHA-1."""
CURVES: dict[str, tuple[bytes, type[hashes.HashAlgorithm]]] = {
    "secp256r1": (b"nistp256", hashes.SHA256),
    "secp384r1": (b"nistp384", hashes.SHA384),
    "secp521r1": (b"nistp521", hashes.SHA512),
}
LEAST_RSA_BITS = 2_048
TYPES = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa")

PrivateKey = Ed25519PrivateKey | ec.EllipticCurvePrivateKey | RSAPrivateKey
PublicKey = Ed25519PublicKey | ec.EllipticCurvePublicKey | RSAPublicKey


class MalformedError(ValueError):
    """A text is no SSHSIG signature, or the signature is not that of the message."""


class WeakKeyError(ValueError):
    """The key is of a type that is not accepted, or too short."""


class Signer(NamedTuple):
    """What signs: a private key, or a key of an agent."""

    key: bytes
    """The public key, as on the wire."""
    sign: Callable[[bytes], bytes]
    """Gives the signature of the bytes, as on the wire: its algorithm, and what the algorithm makes."""


class Signature(NamedTuple):
    """A signature as read; it says nothing until `check` has verified it."""

    key: bytes
    """The public key, as on the wire."""
    namespace: str
    hash: bytes
    signature: bytes


def fingerprint(key: bytes) -> str:
    """The fingerprint of a public key, as `ssh-keygen -l` shows it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(key).digest()).decode().rstrip("=")


def type_of(key: bytes) -> str:
    """The type of a public key, such as `ssh-ed25519`. MalformedError."""
    return _Reader(key).string().decode("ascii", "replace")


def public_line(key: bytes) -> str:
    """A public key as in files: type and base64."""
    return f"{type_of(key)} {base64.b64encode(key).decode()}"


def load_private(data: bytes, passphrase: bytes | None) -> PrivateKey:
    """The private key in the content of a file, OpenSSH's format or PEM.

    TypeError if it is encrypted and there is no passphrase; ValueError if it cannot be read, or the passphrase is
    wrong; WeakKeyError; UsageError if a library for encrypted keys is missing.
    """
    openssh = b"-----BEGIN OPENSSH PRIVATE KEY-----" in data[:200]
    load = serialization.load_ssh_private_key if openssh else serialization.load_pem_private_key
    try:
        found: Any = load(data, passphrase)
    except UnsupportedAlgorithm as error:
        if find_spec("bcrypt") is None:  # what decrypts keys
            raise UsageError(str(error), fix=f"run: {install_command('sign')}") from error
        raise WeakKeyError(str(error)) from error
    if not isinstance(found, Ed25519PrivateKey | ec.EllipticCurvePrivateKey | RSAPrivateKey):
        raise WeakKeyError(f"its type is none of {', '.join(TYPES)}")
    load_public(_public_of(found))
    return found


def signer_of(key: PrivateKey) -> Signer:
    """Signs with a private key."""
    return Signer(_public_of(key), lambda data: _signature(key, data))


def read_public(text: bytes) -> bytes:
    """The public key in the content of a file that ends in `.pub`, as on the wire. MalformedError, WeakKeyError."""
    words = text.split()
    try:
        key = base64.b64decode(words[1], validate=True)
    except (IndexError, ValueError):
        raise MalformedError("it is no public key") from None
    load_public(key)
    return key


def _public_of(key: PrivateKey) -> bytes:
    line = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return base64.b64decode(line.split()[1])


def load_public(key: bytes) -> PublicKey:
    """The public key of its form on the wire. MalformedError, WeakKeyError."""
    kind = type_of(key)
    if kind not in TYPES:
        raise WeakKeyError(f"its type {kind!r} is none of {', '.join(TYPES)}")
    try:
        found: Any = serialization.load_ssh_public_key(public_line(key).encode())
    except (ValueError, UnsupportedAlgorithm, NotImplementedError) as error:  # the last of a compressed point
        raise MalformedError(f"the public key cannot be read: {error}") from error
    if isinstance(found, RSAPublicKey) and found.key_size < LEAST_RSA_BITS:
        raise WeakKeyError(f"an RSA key of {found.key_size} bits is too short: at least {LEAST_RSA_BITS}")
    assert isinstance(found, Ed25519PublicKey | ec.EllipticCurvePublicKey | RSAPublicKey)  # noqa: S101 by its type
    return found


def sign(signer: Signer, message: bytes, namespace: str) -> str:
    """The signature of a message, as the text of a file. MalformedError or WeakKeyError if the signer made another."""
    digest = hashlib.sha512(message).digest()
    signature = signer.sign(_signed(namespace, b"sha512", digest))
    parts = (signer.key, namespace.encode(), b"", b"sha512", signature)
    text = armored(MAGIC + VERSION + b"".join(map(_string, parts)))
    check(read(text.encode()), message)
    return text


def _signature(key: PrivateKey, data: bytes) -> bytes:
    match key:
        case Ed25519PrivateKey():
            kind, raw = b"ssh-ed25519", key.sign(data)
        case RSAPrivateKey():
            kind, raw = b"rsa-sha2-512", key.sign(data, padding.PKCS1v15(), hashes.SHA512())
        case _:
            curve, algorithm = CURVES[key.curve.name]
            kind = b"ecdsa-sha2-" + curve
            r, s = utils.decode_dss_signature(key.sign(data, ec.ECDSA(algorithm())))
            raw = _string(_number(r)) + _string(_number(s))
    return _string(kind) + _string(raw)


def armored(blob: bytes) -> str:
    """The text of a file with a signature."""
    text = base64.b64encode(blob).decode()
    lines = [text[at : at + LINE] for at in range(0, len(text), LINE)]
    return "\n".join([BEGIN, *lines, END, ""])


def split(text: bytes) -> list[bytes]:
    """Return the text of each signature in a file: one follows the other. ssh-keygen reads the first of them."""
    end = f"{END}\n".encode()
    parts = text.replace(b"\r\n", b"\n").split(end)
    return [*(part + end for part in parts[:-1]), *filter(None, parts[-1:])] or [text]


def read(text: bytes) -> Signature:
    """The signature in the content of a file. MalformedError."""
    blob = _Reader(_dearmored(text))
    if blob.take(len(MAGIC)) != MAGIC or blob.take(len(VERSION)) != VERSION:
        raise MalformedError("it is not of the format SSHSIG, version 1")
    key, namespace, reserved, algorithm, signature = (blob.string() for _ in range(5))
    if reserved or blob.left():
        raise MalformedError("it holds more than a signature")
    if algorithm not in HASHES:
        raise MalformedError(f"its hash is none of {', '.join(name.decode() for name in HASHES)}")
    return Signature(key, namespace.decode("utf-8", "replace"), algorithm, signature)


def check(signature: Signature, message: bytes) -> None:
    """MalformedError unless the signature is that of the message, by the key that it names; WeakKeyError."""
    key = load_public(signature.key)
    digest = HASHES[signature.hash](message).digest()
    data = _signed(signature.namespace, signature.hash, digest)
    parts = _Reader(signature.signature)
    kind, raw = parts.string(), parts.string()
    if parts.left():
        raise MalformedError("it holds more than a signature")
    try:
        match key:
            case Ed25519PublicKey() if kind == b"ssh-ed25519":
                key.verify(raw, data)
            case RSAPublicKey() if kind in RSA_HASHES:
                key.verify(raw, data, padding.PKCS1v15(), RSA_HASHES[kind]())
            case ec.EllipticCurvePublicKey() if kind == b"ecdsa-sha2-" + CURVES[key.curve.name][0]:
                key.verify(_dss(raw), data, ec.ECDSA(CURVES[key.curve.name][1]()))
            case _:
                name = kind.decode("ascii", "replace")
                raise WeakKeyError(
                    f"a signature of the algorithm {name!r} is not accepted for {type_of(signature.key)}"
                )
    except InvalidSignature:
        raise MalformedError("it is not the signature of this text") from None


def _dss(raw: bytes) -> bytes:
    numbers = _Reader(raw)
    r, s = numbers.string(), numbers.string()
    if numbers.left() or any(each != _number(int.from_bytes(each)) for each in (r, s)):
        raise MalformedError("it holds more than a signature")
    return utils.encode_dss_signature(int.from_bytes(r), int.from_bytes(s))


def _signed(namespace: str, algorithm: bytes, digest: bytes) -> bytes:
    return MAGIC + b"".join(map(_string, (namespace.encode(), b"", algorithm, digest)))


def _string(data: bytes) -> bytes:
    return len(data).to_bytes(4) + data


def _number(value: int) -> bytes:
    return value.to_bytes(value.bit_length() // 8 + 1) if value else b""


def _dearmored(text: bytes) -> bytes:
    found = re.fullmatch(rf"{BEGIN}\n(.+)\n{END}\n?", text.decode("ascii", "replace").replace("\r\n", "\n"), re.DOTALL)
    if found is None:
        raise MalformedError(f"it is not a text between {BEGIN} and {END}")
    inner = found[1].replace("\n", "")
    try:
        blob = base64.b64decode(inner, validate=True)
    except ValueError as error:
        raise MalformedError(f"it is not base64: {error}") from error
    if base64.b64encode(blob).decode() != inner:
        raise MalformedError("it is not base64 as it is written")
    return blob


class _Reader:
    """Reads the parts of SSH's wire format."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, size: int) -> bytes:
        """The next bytes. MalformedError if there are fewer."""
        found = self._data[self._at : self._at + size]
        if len(found) != size:
            raise MalformedError("it ends too early")
        self._at += size
        return found

    def string(self) -> bytes:
        """The next string of the wire format: its length in four bytes, then its bytes."""
        return self.take(int.from_bytes(self.take(4)))

    def left(self) -> int:
        """How many bytes are left."""
        return len(self._data) - self._at
