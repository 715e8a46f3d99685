"""Keys, signed bundles and a policy that asks for them, for the unit and the system tests of signatures."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from core_bundle_store import MANIFEST, TREE, publish, store
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from aetherflow.core.base import owners
from aetherflow.core.bundle import sshsig
from aetherflow.core.runtime.environment import administrator

if TYPE_CHECKING:
    from core_project import Project, Result

KEYS: dict[str, Any] = {
    "ed25519": ed25519.Ed25519PrivateKey.generate,
    "ecdsa-256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ecdsa-384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "ecdsa-521": lambda: ec.generate_private_key(ec.SECP521R1()),
    "rsa": lambda: rsa.generate_private_key(65537, 2048),
}
STATEMENT, SIGNATURE = "bundle.signed.json", "bundle.signed.json.sig"


def wire(*parts: bytes) -> bytes:
    """Strings as on the wire."""
    return b"".join(len(part).to_bytes(4) + part for part in parts)


class Key(NamedTuple):
    """A private key in a file of its own."""

    path: Path
    private: Any

    @property
    def line(self) -> str:
        """The public key as in a file."""
        return sshsig.public_line(self.signer.key)

    @property
    def signer(self) -> sshsig.Signer:
        return sshsig.signer_of(self.private)


def make_key(path: Path, kind: str = "ed25519", passphrase: bytes | None = None) -> Key:
    private = KEYS[kind]()
    form = serialization.PrivateFormat.OpenSSH
    # one round: the usual sixteen are to take long
    how = form.encryption_builder().kdf_rounds(1).build(passphrase) if passphrase else serialization.NoEncryption()
    path.write_bytes(private.private_bytes(serialization.Encoding.PEM, form, how))
    path.chmod(0o600)
    return Key(path, private)


class Site(NamedTuple):
    """A machine whose policy names signers, and a bundle that it uses."""

    project: "Project"
    policy: Path
    signers: Path
    key: Key

    def call(self, *words: str, code: int = 0) -> "Result":
        """Type a command about the bundle."""
        done = self.project.cli(*words, "-m", "bundle.yaml")
        assert done.code == code, done.out + done.err
        return done

    def document(self, *words: str, code: int = 0) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.call(*words, "--json", code=code).out)
        return found

    def sign(self, *words: str, key: Key | None = None) -> dict[str, Any]:
        return self.document("bundle", "sign", "--key", str((key or self.key).path), *words)

    def allow(self, *lines: str) -> None:
        """Write allowed_signers."""
        self.signers.write_text("".join(f"{line}\n" for line in lines))

    def publish(self, text: str) -> None:
        """Change the content of the source, and sign nothing."""
        (self.project.folder / "release/sql/a.sql").write_text(text)

    @property
    def release(self) -> Path:
        return self.project.folder / "release"


def make_site(project: "Project") -> Site:
    """The policy is written; `administrator.POLICY_FILE` is the caller's to set."""
    project.write(MANIFEST, "bundle.yaml")
    publish(project, TREE)
    etc = project.folder / "etc"
    etc.mkdir()
    policy, signers = etc / "policy.yaml", etc / "allowed_signers"
    policy.write_text("version: 1\nbundles: {signers: allowed_signers, rollback: forbid}\n")
    site = Site(project, policy, signers, make_key(project.folder / "release_key"))
    site.allow(f'nightly namespaces="aetherflow-bundle" {site.key.line} ci@example')
    return site


@pytest.fixture
def site(project: "Project", monkeypatch: pytest.MonkeyPatch) -> Site:
    """A machine whose policy names who may sign bundles."""
    project.enter(monkeypatch)
    found = make_site(project)
    monkeypatch.setattr(administrator, "POLICY_FILE", str(found.policy))
    monkeypatch.setattr(owners, "ROOT", os.geteuid())  # who runs the tests is the administrator
    return found


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Key]:
    """A key of each kind."""
    folder = tmp_path_factory.mktemp("keys")
    return {kind: make_key(folder / kind, kind) for kind in KEYS}


def refused(site: Site, code: str, *words: str, told: str = "") -> str:
    """A sync, or another command, is refused with a code, and the active version stays."""
    link = store(site.project) / "active"
    before = link.readlink() if link.is_symlink() else None
    err = site.call(*(words or ("bundle", "sync")), code=1).err
    assert err.startswith(f"{code} "), err
    assert told in err
    assert "\n  fix: " in err
    assert (link.readlink() if link.is_symlink() else None) == before
    return err
