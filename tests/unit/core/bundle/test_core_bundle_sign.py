"""`aetherflow bundle sign` and `verify`: keys, trees, what is said."""

import io
import re
import shlex
import sys
from pathlib import Path

import pytest
from core_bundle_signing import KEYS, STATEMENT, Key, Site, make_key, refused
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, rsa

from aetherflow.core.api import install_command
from aetherflow.core.bundle import sshsig
from aetherflow.core.bundle.failures import BundleTamperedError
from aetherflow.core.bundle.statement import read_statement
from aetherflow.core.runtime.environment import administrator

ROOT = Path(__file__).parents[4]


@pytest.fixture
def short(site: Site, monkeypatch: pytest.MonkeyPatch) -> Key:
    """An RSA key of 1024 bits."""
    monkeypatch.setitem(KEYS, "rsa", lambda: rsa.generate_private_key(65537, 1024))
    return make_key(site.project.folder / "short", "rsa")


def test_a_short_rsa_key_is_refused(site: Site, short: Key, monkeypatch: pytest.MonkeyPatch) -> None:
    told = site.call("bundle", "sign", "--key", str(short.path), code=2).err
    assert "an RSA key of 1024 bits is too short: at least 2048" in told
    with monkeypatch.context() as others:  # signed by a program that takes such a key
        others.setattr(sshsig, "LEAST_RSA_BITS", 1024)
        site.sign(key=short)
    site.allow(f"nightly {short.line}")
    refused(site, "AF7008", told="an RSA key of 1024 bits is too short")


@pytest.mark.parametrize("how", ["PKCS8", "TraditionalOpenSSL"])
def test_a_key_in_pem(site: Site, keys: dict[str, Key], how: str) -> None:
    form = getattr(serialization.PrivateFormat, how)
    data = keys["rsa"].private.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    site.key.path.write_bytes(data)
    site.allow(f"nightly {keys['rsa'].line}")
    site.sign()
    site.call("bundle", "sync")


def test_a_dsa_key_is_refused(tmp_path: Path, site: Site) -> None:
    data = dsa.generate_private_key(1024).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (tmp_path / "dsa").write_bytes(data)
    (tmp_path / "dsa").chmod(0o600)
    assert "its type is none of ssh-ed25519" in site.call("bundle", "sign", "--key", str(tmp_path / "dsa"), code=2).err


# Keys in files


def test_an_encrypted_key(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = make_key(tmp_path / "k", passphrase=b"open sesame")
    words = ("bundle", "sign", "--key", str(key.path))
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    assert "is encrypted, and there is no passphrase\n  fix: set the variable AETHERFLOW_SIGN_PASSPHRASE" in (
        site.call(*words, code=2).err
    )
    monkeypatch.setenv("AETHERFLOW_SIGN_PASSPHRASE", "sesame open")
    told = site.call(*words, code=2).err
    assert f"the passphrase of the key {key.path} is wrong" in told
    assert "sesame" not in told
    monkeypatch.setenv("AETHERFLOW_SIGN_PASSPHRASE", "open sesame")
    site.allow(f"nightly {key.line}")
    site.call(*words)
    site.call("bundle", "sync")


def test_a_key_that_others_may_read_is_refused(site: Site) -> None:
    site.key.path.chmod(0o640)
    told = site.call("bundle", "sign", "--key", str(site.key.path), code=2).err
    assert told.endswith(f"fix: let only its owner read it: chmod 600 {site.key.path}\n")
    site.key.path.chmod(0o600)
    site.sign()


@pytest.mark.parametrize(
    "text", ["", "x", "-----BEGIN OPENSSH PRIVATE KEY-----\nx\n-----END OPENSSH PRIVATE KEY-----\n"]
)
def test_what_is_no_key_is_refused(site: Site, text: str) -> None:
    site.key.path.write_text(text)
    assert "is no key of SSH: " in site.call("bundle", "sign", "--key", str(site.key.path), code=2).err
    public = site.key.path.with_suffix(".pub")
    public.write_text(text)
    assert "is no key of SSH: " in site.call("bundle", "sign", "--key", str(public), code=2).err


# The tree that is signed


def test_a_source_that_is_no_folder_needs_one(site: Site) -> None:
    manifest = site.project.folder / "bundle.yaml"
    manifest.write_text(
        manifest.read_text().replace("type: filesystem, base_path: release", "type: git, url: x, ref: m")
    )
    told = site.call("bundle", "sign", "--key", str(site.key.path), code=2).err
    assert "takes the bundle from a source of type git, which is no folder" in told
    assert "no folder" in site.call("bundle", "sign", "nowhere", "--key", str(site.key.path), code=2).err
    (site.release / ".git").mkdir()
    (site.release / ".git/HEAD").write_text("x")
    assert site.sign("release")["files"] == 4, "the repository is no part of a commit"
    assert site.document("bundle", "verify", "release")["signature"]["version"] == 1


def test_a_source_without_its_folder_is_told(site: Site) -> None:
    manifest = site.project.folder / "bundle.yaml"
    manifest.write_text(manifest.read_text().replace(", base_path: release", ""))
    assert "base_path" in site.call("bundle", "sign", "--key", str(site.key.path), code=2).err


def test_a_link_in_the_tree_is_refused(site: Site) -> None:
    (site.release / "link").symlink_to("/etc/passwd")
    assert "link is no regular file" in site.call("bundle", "sign", "--key", str(site.key.path), code=2).err


def test_the_statement_is_the_same_text_for_the_same_tree(site: Site) -> None:
    site.sign()
    first = (site.release / STATEMENT).read_bytes()
    site.sign()
    assert (site.release / STATEMENT).read_bytes() == first
    assert read_statement(first).text() == first
    named = b'"bundle": "nightly",'
    for other in (first + b"\n", first.replace(b": ", b":"), first.replace(named, b'"bundle": "x",\n ' + named)):
        assert other != first
        with pytest.raises(BundleTamperedError, match="is not the statement of a bundle"):
            read_statement(other)


# bundle verify


def test_verify_judges_the_store_and_a_folder(site: Site) -> None:
    site.sign()
    assert site.document("bundle", "verify", "release")["ok"] is True
    site.call("bundle", "sync")
    report = site.document("bundle", "verify")
    assert (report["ok"], report["signature"]["version"], report["refused"]) == (True, 1, None)
    assert " version 1 by ssh-ed25519 SHA256:" in site.call("bundle", "verify").out
    site.allow(f'nightly valid-before="20200101Z" {site.key.line}')
    report = site.document("bundle", "verify", code=1)
    assert (report["ok"], report["signature"], report["refused"]["code"]) == (False, None, "AF7009")
    site.publish("x")
    assert site.call("bundle", "verify", "release", code=1).out.startswith("AF7009 ")
    site.policy.unlink()
    assert site.document("bundle", "verify")["signature"] is None
    assert "name the file with --signers" in site.call("bundle", "verify", "release", code=2).err
    site.allow(f"* {site.key.line}")
    told = site.call("bundle", "verify", "release", "--signers", str(site.signers), code=1).out
    assert told.startswith("AF7007 bundle nightly is not what was signed as version 1: sql/a.sql was changed\n  fix: ")


def test_what_sign_prints_can_be_typed(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    out = site.call("bundle", "sign", "--key", str(site.key.path)).out
    (site.project.folder / "allowed_signers").write_text(out.splitlines()[-2] + "\n")
    monkeypatch.setattr(administrator, "POLICY_FILE", "/nowhere")
    done = site.project.cli(*shlex.split(out.splitlines()[-1].partition(": ")[2])[1:])
    assert (done.code, done.out.partition(" by ")[0]) == (0, "signed: nightly version 1")


# The extra


def test_without_the_extra_the_command_that_installs_it_is_told(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [each for each in sys.modules if each.startswith(("cryptography", "aetherflow.core.bundle.ss"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr("aetherflow.core.bundle.sshsig")
    monkeypatch.setitem(sys.modules, "cryptography", None)
    told = site.call("bundle", "sign", "--key", str(site.key.path), code=2).err
    assert told.endswith(f"fix: run: {install_command('sign')}\n")


def test_only_one_module_imports_the_library() -> None:
    sources = (ROOT / "aetherflow-core/src").rglob("*.py")
    found = [
        path.name for path in sources if re.search(r"^\s*(from|import) cryptography", path.read_text(), re.MULTILINE)
    ]
    assert found == ["sshsig.py"]


# The plugin lock


def test_the_lock_of_the_plugins_is_signed(site: Site) -> None:
    lock = site.project.folder / "plugins.lock"
    lock.write_text("one\n")
    assert site.sign()["plugins_lock"] is not None
    site.call("bundle", "sync")
    lock.write_text("two\n")
    refused(site, "AF7007", "run", "-q", told="is signed for another plugins.lock: its sha256 is")
    lock.unlink()
    refused(site, "AF7007", "run", "-q", told="is signed for another plugins.lock: there is none")
    (site.release / "plugins.lock").write_text("three\n")
    assert site.sign()["version"] == 2
    site.call("bundle", "sync")
