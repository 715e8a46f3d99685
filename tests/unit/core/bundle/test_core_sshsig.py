"""Signatures of SSH, and who may sign: the formats alone, in this process."""

import contextlib
import re
from pathlib import Path

import pytest
from core_bundle_signing import KEYS, Key, make_key, wire
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from hypothesis import given
from hypothesis import strategies as st

from aetherflow.core.base.errors import SpecError
from aetherflow.core.bundle import sshsig
from aetherflow.core.bundle.allowed_signers import matches, read_signers
from aetherflow.core.bundle.statement import NAMESPACE

# The format


@pytest.mark.parametrize("kind", KEYS)
def test_a_signature_is_that_of_its_text_and_of_no_other(keys: dict[str, Key], kind: str) -> None:
    text = sshsig.sign(keys[kind].signer, b"one", NAMESPACE)
    found = sshsig.read(text.encode())
    assert (found.namespace, found.key) == (NAMESPACE, keys[kind].signer.key)
    sshsig.check(found, b"one")
    with pytest.raises(sshsig.MalformedError):
        sshsig.check(found, b"two")
    with pytest.raises(sshsig.MalformedError):
        sshsig.check(found._replace(namespace="file"), b"one")
    with pytest.raises(sshsig.MalformedError):
        sshsig.check(found._replace(key=make_key(keys[kind].path.with_name("other"), kind).signer.key), b"one")


def test_the_lines_of_a_signature_may_have_any_length(keys: dict[str, Key]) -> None:
    begin, *lines, end, _ = sshsig.sign(keys["ed25519"].signer, b"one", NAMESPACE).split("\n")
    for text in (f"{begin}\n{''.join(lines)}\n{end}", "\r\n".join([begin, *lines, end, ""])):
        sshsig.check(sshsig.read(text.encode()), b"one")


@pytest.mark.parametrize(
    "text", [b"", b"x", b"-----BEGIN SSH SIGNATURE-----\nU1NIU0lH\n-----END SSH SIGNATURE-----\n", b"\xff" * 90]
)
def test_what_is_no_signature_is_refused(text: bytes) -> None:
    with pytest.raises(sshsig.MalformedError):
        sshsig.read(text)


def test_one_signature_has_one_text(keys: dict[str, Key]) -> None:
    """The last letter of base64 has bits that mean nothing: other ones are no signature."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    namespace = next(
        "x" * size for size in range(3) if sshsig.sign(keys["ed25519"].signer, b"one", "x" * size).count("=") == 1
    )
    head, tail = sshsig.sign(keys["ed25519"].signer, b"one", namespace).split("=")
    other = f"{head[:-1]}{letters[letters.index(head[-1]) ^ 1]}={tail}"
    with pytest.raises(sshsig.MalformedError, match="base64 as it is written"):
        sshsig.read(other.encode())


def test_sha1_is_refused(keys: dict[str, Key]) -> None:
    private = keys["rsa"].private

    def with_sha1(data: bytes) -> bytes:
        return wire(b"ssh-rsa", private.sign(data, padding.PKCS1v15(), hashes.SHA1()))

    with pytest.raises(sshsig.WeakKeyError, match="'ssh-rsa' is not accepted"):
        sshsig.sign(keys["rsa"].signer._replace(sign=with_sha1), b"one", NAMESPACE)


@pytest.mark.parametrize("kind", [b"ssh-dss", b"sk-ssh-ed25519@openssh.com", b"ssh-ed25519-cert-v01@openssh.com", b"x"])
def test_a_key_of_another_type_is_refused_by_its_name(kind: bytes) -> None:
    with pytest.raises(sshsig.WeakKeyError, match=re.escape(kind.decode())):
        sshsig.load_public(wire(kind, b"1234"))


# allowed_signers


def test_patterns_are_those_of_openssh() -> None:
    cases = {
        ("nightly", "nightly"): True,
        ("nightly", "night*"): True,
        ("nightly", "n?ghtl?"): True,
        ("nightly", "*,!nightly"): False,
        ("nightly", "!nightly,*"): False,
        ("nightly", "!daily"): False,
        ("nightly", "daily,nightly"): True,
        ("nightly", "Nightly"): False,
        ("nightly", ""): False,
        ("[a]", "[a]"): True,
        ("a", "[a]"): False,
    }
    assert {case: matches(*case) for case in cases} == cases


WRONG = {
    "nightly": "a line is: PRINCIPALS",
    '"nightly KEY': "a quote is not closed",
    "nightly ssh-ed25519 AAAA": "'ssh-ed25519' is neither an option nor the type of a public key that can be read",
    "nightly ssh-rsa KEY64": "'ssh-rsa' is neither",
    "nightly cert-authority KEY": "cert-authority is not supported",
    'nightly namespaces="a",CERT-AUTHORITY KEY': "cert-authority is not supported",
    "nightly no-touch-required KEY": "'no-touch-required' is neither",
    "nightly namespaces KEY": "'namespaces' is neither",
    'nightly namespaces="a",namespaces="b" KEY': "namespaces stands there twice",
    'nightly valid-after="2026-11-28" KEY': "valid-after: '2026-11-28' is not a time",
    'nightly valid-before="20261332" KEY': "is not a time",
    'nightly valid-before="20260101",valid-after="20260102" KEY': "valid-before is not after valid-after",
    'nightly namespaces="a"': "a blank, then the key, must follow",
    'nightly namespaces="a",': "an option or a key is expected",
    'nightly namespaces="a" ssh-ed25519': "no public key follows",
}


@pytest.mark.parametrize("line", WRONG)
def test_a_wrong_line_is_told_with_its_place(tmp_path: Path, keys: dict[str, Key], line: str) -> None:
    key = keys["ed25519"].line
    path = tmp_path / "allowed_signers"
    filled = line.replace("KEY64", key.split()[1]).replace("KEY", key)
    path.write_text(f"# ours\n\nother is not looked at\n{filled}\n")
    with pytest.raises(SpecError, match=re.escape(WRONG[line])) as error:
        read_signers(path, "nightly")
    assert str(error.value).startswith(f"{path}:4:1: AF1103 ")


LETTERS = st.sampled_from('nightly*!,? \t"\\=-#KEYnamespaces-valid-before20261128Z')


@given(st.text(LETTERS | st.characters(), max_size=60))
def test_any_line_is_read_or_told(tmp_path_factory: pytest.TempPathFactory, line: str) -> None:
    path = tmp_path_factory.getbasetemp() / "any_line"
    path.write_bytes(f"{line}\nnightly {line}\n".encode(errors="surrogatepass"))
    with contextlib.suppress(SpecError):
        read_signers(path, "nightly")


@given(st.binary(max_size=200))
def test_any_signature_is_read_or_told(blob: bytes) -> None:
    with contextlib.suppress(sshsig.MalformedError, sshsig.WeakKeyError):
        sshsig.check(sshsig.read(sshsig.armored(b"SSHSIG" + (1).to_bytes(4) + blob).encode()), b"one")
    with contextlib.suppress(sshsig.MalformedError, sshsig.WeakKeyError):
        sshsig.load_public(wire(b"ssh-rsa") + blob)
    with contextlib.suppress(sshsig.MalformedError, sshsig.WeakKeyError):
        sshsig.load_public(wire(b"ecdsa-sha2-nistp256", b"nistp256", blob))
