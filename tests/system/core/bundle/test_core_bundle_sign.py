"""Signatures of bundles beside OpenSSH itself: ssh-keygen, ssh-agent, and a scheduler under a real policy."""

import json
import os
import pty
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from core_bundle_signing import SIGNATURE, STATEMENT, Site, make_key, make_site, refused, wire

import warm
from aetherflow.core.base.errors import AetherflowError
from aetherflow.core.bundle.signed import rules_for
from aetherflow.core.bundle.signing import Release, content_in
from aetherflow.core.bundle.statement import NAMESPACE
from services import need

if TYPE_CHECKING:
    from core_project import Project

TYPES = {
    "ed25519": ("-t", "ed25519"),
    "ecdsa-256": ("-t", "ecdsa", "-b", "256"),
    "ecdsa-384": ("-t", "ecdsa", "-b", "384"),
    "ecdsa-521": ("-t", "ecdsa", "-b", "521"),
    "rsa": ("-t", "rsa", "-b", "2048"),
}


@pytest.fixture
def keygen() -> str:
    (found,) = need("ssh-keygen")
    return found


def made(keygen: str, path: Path, kind: str, passphrase: str = "") -> str:
    """Make a key with ssh-keygen; returns its public line."""
    subprocess.run([keygen, "-q", *TYPES[kind], "-N", passphrase, "-C", "ci", "-f", path], check=True)
    return path.with_suffix(".pub").read_text().strip()


def good(keygen: str, site: Site) -> bool:
    """Whether ssh-keygen finds the signature of the release good."""
    words = ["-Y", "verify", "-f", str(site.signers), "-I", "nightly", "-n", NAMESPACE]
    with (site.release / STATEMENT).open("rb") as statement:
        done = subprocess.run(
            [keygen, *words, "-s", site.release / SIGNATURE], stdin=statement, capture_output=True, check=False
        )
    return done.returncode == 0


@pytest.mark.parametrize("kind", TYPES)
def test_ssh_keygen_verifies_what_we_sign(site: Site, keygen: str, kind: str) -> None:
    site.key.path.unlink()
    site.allow(f"nightly {made(keygen, site.key.path, kind)}")
    site.sign()
    assert good(keygen, site)
    site.call("bundle", "sync")
    text = (site.release / STATEMENT).read_text()
    (site.release / STATEMENT).write_text(text.replace('"version": 1', '"version": 2'))
    assert not good(keygen, site)
    refused(site, "AF7007")


@pytest.mark.parametrize("hashing", ["sha512", "sha256"])
@pytest.mark.parametrize("kind", TYPES)
def test_we_verify_what_ssh_keygen_signs(site: Site, keygen: str, kind: str, hashing: str) -> None:
    site.sign()
    site.key.path.unlink()
    site.allow(f"nightly {made(keygen, site.key.path, kind)}")
    refused(site, "AF7008")
    (site.release / SIGNATURE).unlink()
    words = ["-q", "-Y", "sign", "-O", f"hashalg={hashing}", "-n", NAMESPACE, "-f", str(site.key.path)]
    subprocess.run([keygen, *words, site.release / STATEMENT], check=True, capture_output=True)
    assert good(keygen, site)
    site.call("bundle", "sync")


def test_two_people_sign_with_either_program(site: Site, keygen: str) -> None:
    site.policy.write_text("version: 1\nbundles: {signers: allowed_signers, threshold: 2}\n")
    site.key.path.unlink()
    bob = site.project.folder / "bob"
    lines = f"nightly,a@x {made(keygen, site.key.path, 'ed25519')}", f"nightly,b@x {made(keygen, bob, 'rsa')}"
    site.allow(*lines)
    site.sign()
    refused(site, "AF7011")
    words = ["-q", "-Y", "sign", "-n", NAMESPACE, "-f", str(bob)]
    with (site.release / STATEMENT).open("rb") as statement, (site.release / SIGNATURE).open("ab") as signature:
        subprocess.run([keygen, *words], check=True, stdin=statement, stdout=signature, stderr=subprocess.DEVNULL)
    assert len(site.document("bundle", "sync")["signature"]["signatures"]) == 2
    assert site.sign()["signatures"] == 2, "that of ssh-keygen stays"
    site.call("bundle", "verify", "release")
    for line in lines:  # ssh-keygen looks at the first signature
        site.allow(line)
        assert good(keygen, site) == ("b@x" in line)


def test_an_encrypted_key_of_ssh_keygen(site: Site, keygen: str, monkeypatch: pytest.MonkeyPatch) -> None:
    site.key.path.unlink()
    site.allow(f"nightly {made(keygen, site.key.path, 'ed25519', 'open sesame')}")
    monkeypatch.setenv("AETHERFLOW_SIGN_PASSPHRASE", "open sesame")
    site.sign()
    assert good(keygen, site)


LINES = [
    "nightly KEY",
    "* KEY",
    "night*,!nightly KEY",
    "!night*,nightly KEY",
    "daily KEY",
    "daily,nightly KEY comment with words",
    '"daily, nightly" KEY',
    '"daily,nightly" KEY',
    "Nightly KEY",
    "n?ghtly KEY",
    '  nightly namespaces="aetherflow-bundle" KEY',
    'nightly namespaces="aetherflow-*" KEY',
    'nightly namespaces="file,aetherflow-bundle" KEY',
    'nightly namespaces="file" KEY',
    'nightly namespaces="*,!aetherflow-bundle" KEY',
    'nightly NAMESPACES="aetherflow-bundle" KEY',
    'nightly valid-before="20200101" KEY',
    'nightly valid-before="20990101" KEY',
    'nightly valid-after="20200101Z",valid-before="209901010000Z" KEY',
    'nightly valid-after="20990101" KEY',
    'nightly valid-after="20200101000000utc" KEY',
    'nightly valid-after="2020" KEY',
    'nightly valid-after="20200101",valid-after="20200101" KEY',
    'nightly valid-after="20210101",valid-before="20200101" KEY',
    'nightly namespaces="aetherflow-bundle",namespaces="aetherflow-bundle" KEY',
    'nightly namespaces="aetherflow-bundle", KEY',
    "nightly namespaces=aetherflow-bundle KEY",
    'nightly namespaces="aetherflow-bundle KEY',
    "nightly nonsense KEY",
    "nightly",
    "nightly OTHER",
    "nightly OTHER\nnightly KEY",
    'nightly valid-before="20200101" KEY\nnightly KEY',
    'nightly namespaces="file" KEY\nnightly namespaces="aetherflow-bundle" KEY',
    "# nightly KEY",
    "\n# a comment\n\nnightly\tKEY",
    "daily nonsense\nnightly KEY",
    "nightly KEY\r",
    "",
]


def test_allowed_signers_means_what_it_means_to_ssh_keygen(site: Site, keygen: str) -> None:
    site.sign()
    other = make_key(site.project.folder / "other").line
    hashes = Release(site.release, is_source=True).hashes()

    def ours(text: str) -> bool:
        site.signers.write_text(text)
        try:
            rules_for(site.signers, "nightly", site.project.folder / "bundle.yaml", []).judge(
                hashes, content_in(site.release)
            )
        except AetherflowError:
            return False
        return True

    texts = {line: line.replace("KEY", site.key.line).replace("OTHER", other) + "\n" for line in LINES}
    verdicts = {line: (ours(text), good(keygen, site)) for line, text in texts.items()}
    assert {line: each for line, each in verdicts.items() if each[0] != each[1]} == {}
    assert sum(each for each, _ in verdicts.values()) > 12
    # ssh-keygen passes over lines that it cannot read, and over certificates for a key that is none; we tell them
    for line in ("nightly nonsense", f"nightly cert-authority {other}"):
        assert (ours(f"{line}\nnightly {site.key.line}\n"), good(keygen, site)) == (False, True)


def test_the_passphrase_is_asked_for_on_a_terminal(site: Site) -> None:
    key = make_key(site.project.folder / "asked", passphrase=b"open sesame")
    main, end = pty.openpty()
    words = site.project.argv("bundle", "sign", "--key", "asked", "-m", "bundle.yaml")
    process = warm.Popen(
        words,
        cwd=site.project.folder,
        env=site.project.env,
        stdin=end,
        stdout=subprocess.PIPE,
        stderr=end,
        start_new_session=True,  # without the terminal that the tests may have
    )
    os.close(end)
    shown = b""
    while b"Passphrase" not in shown:
        shown += os.read(main, 1024)
    os.write(main, b"open sesame\n")
    out, _ = process.communicate(timeout=30)
    with os.fdopen(main, "rb", 0) as rest:
        try:
            shown += rest.read(4096)
        except OSError:  # the terminal's end is closed
            pass
    assert process.returncode == 0, shown
    assert b"sesame" not in shown
    assert out.startswith(b"signed: nightly version 1")
    site.allow(f"nightly {key.line}")
    site.call("bundle", "sync")


# Agents


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa-256", "rsa"])
def test_a_key_of_an_agent(site: Site, keygen: str, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    agent, add = need("ssh-agent", "ssh-add")
    site.key.path.unlink()
    site.allow(f"nightly {made(keygen, site.key.path, kind)}")
    public = site.key.path.with_suffix(".pub")
    monkeypatch.chdir(site.project.folder)
    monkeypatch.setenv("SSH_AUTH_SOCK", "agent.sock")
    with subprocess.Popen([agent, "-D", "-a", "agent.sock"], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()  # it listens
            told = site.call("bundle", "sign", "--key", str(public), code=2).err
            assert "the agent does not sign with SHA256:" in told
            subprocess.run([add, "-q", site.key.path], check=True)
            site.key.path.unlink()
            site.call("bundle", "sign", "--key", str(public))
        finally:
            process.terminate()
    assert good(keygen, site)
    site.call("bundle", "sync")


@pytest.fixture
def liar(project: "Project", monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[bytes], None]]:
    """An agent that gives one answer to every request."""
    path = project.folder / "agent"
    answers: list[bytes] = []
    with closing(socket.socket(socket.AF_UNIX)) as door:
        door.bind(os.path.relpath(path))
        door.listen()

        def serve() -> None:
            while True:
                talk, _ = door.accept()
                with talk:
                    if not talk.recv(1 << 16):
                        return
                    talk.sendall(answers[-1])

        thread = threading.Thread(target=serve)
        thread.start()
        monkeypatch.setenv("SSH_AUTH_SOCK", os.path.relpath(path))
        yield answers.append
        with closing(socket.socket(socket.AF_UNIX)) as last:
            last.connect(os.path.relpath(path))
        thread.join()


def test_an_agent_that_does_not_sign_is_told(
    site: Site, liar: Callable[[bytes], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    public = site.key.path.with_suffix(".pub")
    public.write_text(f"{site.key.line} ci\n")
    words = ("bundle", "sign", "--key", str(public))
    for answer in (b"", wire(b"\x05"), wire(b"\x0e"), (1 << 30).to_bytes(4), wire(b"\x0e" + wire(b"x"))):
        liar(answer)
        told = site.call(*words, code=2).err
        assert "the agent does not sign with SHA256:" in told or "the agent made no signature that holds: " in told
        assert not (site.release / STATEMENT).exists()
    monkeypatch.setenv("SSH_AUTH_SOCK", "nowhere")
    assert "the agent at nowhere cannot be used: No such file" in site.call(*words, code=2).err
    monkeypatch.delenv("SSH_AUTH_SOCK")
    assert "SSH_AUTH_SOCK is not set" in site.call(*words, code=2).err


# The scheduler


UNDER_POLICY = """\
import json, os, shutil, subprocess, sys

folder, = sys.argv[1:]
subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=0755", "tmpfs", "/etc"], check=True)
os.mkdir("/etc/aetherflow")
for name in ("policy.yaml", "allowed_signers"):
    shutil.copy(f"{folder}/etc/{name}", "/etc/aetherflow")
told = {}


def attempt(name):
    scheduler = [sys.executable, "-m", "aetherflow.scheduler", "run-item", "s.yaml", "a", "--slot", name]
    done = subprocess.run(scheduler, cwd=folder, capture_output=True, text=True)
    told[name] = done.returncode, done.stdout + done.stderr


attempt("2026-01-01T00:00Z")
with open(f"{folder}/release/sql/a.sql", "a") as file:
    file.write("-- more")
attempt("2026-01-02T00:00Z")
print(json.dumps(told))
"""


def test_a_scheduler_runs_only_what_is_signed(project: "Project", monkeypatch: pytest.MonkeyPatch) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can mount")
    unshare, _ = need("unshare", "mount")
    project.enter(monkeypatch)
    site = make_site(project)
    site.sign()
    project.write(
        "state: ledger.sqlite\ntimezone: UTC\nitems: [{id: a, bundle_manifest: bundle.yaml, cron: '0 0 * * *'}]\n",
        "s.yaml",
    )
    words = [unshare, "--pid", "--fork", "--mount", "--mount-proc", sys.executable, "-c", UNDER_POLICY]
    done = subprocess.run(
        [*words, str(project.folder)], env=project.env, capture_output=True, text=True, timeout=60, check=False
    )
    told = json.loads(done.stdout)
    assert {slot: code for slot, (code, _) in told.items()} == {"2026-01-01T00:00Z": 0, "2026-01-02T00:00Z": 1}, told
    assert "FAILED, bundle nightly is not what was signed" in told["2026-01-02T00:00Z"][1]
