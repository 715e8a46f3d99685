"""The SSH half of the table of TLS and host keys: what is refused by default, and that it is refused in time."""

import base64
import hashlib
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import paramiko
import pytest

from aetherflow.core.api import ConnectorError, ConnectorInit, SpecError
from aetherflow.core.testing import FlowProject
from aetherflow_builtins_transfer.connectors.sftp.connector import SftpConnector
from aetherflow_builtins_transfer.connectors.sftp.keys import HostKeys
from services import Sshd
from sftp_server import ssh_server
from transfer_peers import sftp_resource

SECRET = "s3cr3t-p4ssw0rd"


class _Server(paramiko.ServerInterface):
    def __init__(self, seen: list[str]) -> None:
        self.seen = seen

    def check_auth_none(self, username: str) -> int:
        self.seen.append(f"none {username}")
        return paramiko.common.AUTH_FAILED

    def check_auth_password(self, username: str, password: str) -> int:
        self.seen.append(f"password {username} {password}")
        return paramiko.common.AUTH_FAILED

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        self.seen.append(f"key {username}")
        return paramiko.common.AUTH_PARTIALLY_SUCCESSFUL if username == "both" else paramiko.common.AUTH_FAILED

    def get_allowed_auths(self, username: str) -> str:
        return "password,publickey"


@dataclass
class Impostor:
    """A server with a key of its own, which writes down every login that reaches it."""

    port: int
    key: paramiko.PKey
    seen: list[str]


@pytest.fixture
def impostor() -> Iterator[Impostor]:
    key, seen = paramiko.RSAKey.generate(2048), list[str]()
    with ssh_server(key, lambda transport: transport.start_server(server=_Server(seen))) as port:
        yield Impostor(port, key, seen)


def connector(config: dict[str, Any], **options: Any) -> SftpConnector:
    return SftpConnector(ConnectorInit("partner", "sftp", "paramiko", config, options))


def refusal(config: dict[str, Any], **options: Any) -> ConnectorError:
    with connector(config, **options) as found, pytest.raises(ConnectorError) as caught:
        found.probe()
    return caught.value


def known_line(port: int, key: paramiko.PKey) -> str:
    return f"[127.0.0.1]:{port} {key.get_name()} {key.get_base64()}\n"


@pytest.mark.parametrize("policy", ["strict", "accept-new", "insecure"])
@pytest.mark.parametrize("known_by", ["known_hosts", "pinned"])
def test_a_changed_key_is_refused_before_any_credential(
    impostor: Impostor, sshd: Sshd, tmp_path: Path, policy: str, known_by: str
) -> None:
    other = paramiko.RSAKey.generate(2048)
    known = tmp_path / "known_hosts"
    known.write_text(known_line(impostor.port, other))
    config = {"host": "127.0.0.1", "port": impostor.port, "user": "acme", "password": SECRET}
    config |= {"pkey_path": str(sshd.key), "known_hosts": str(known)}
    if known_by == "pinned":
        config["host_key"] = "SHA256:" + "A" * 43
    error = refusal(config, host_key_policy=policy)
    assert impostor.seen == [], "a credential, or even the account's name, reached the server"
    assert "host key" in str(error)
    assert "Nothing was sent" in str(error)
    assert SECRET not in f"{error} {error.fix}"
    assert known.read_text() == known_line(impostor.port, other)


def test_an_unknown_key_is_refused_by_default(impostor: Impostor, tmp_path: Path) -> None:
    config = {"host": "127.0.0.1", "port": impostor.port, "user": "acme", "password": SECRET}
    config["known_hosts"] = str(tmp_path / "none")
    error = refusal(config)
    assert impostor.seen == []
    digest = base64.b64encode(hashlib.sha256(impostor.key.asbytes()).digest()).decode().rstrip("=")
    assert f"SHA256:{digest}" in str(error), "the fingerprint is told, to be compared"
    assert "config.host_key" in error.fix


def test_accept_new_remembers_the_first_key_and_no_other(impostor: Impostor, sshd: Sshd, tmp_path: Path) -> None:
    known = tmp_path / "folder" / "known_hosts"
    config = {"host": "127.0.0.1", "port": sshd.port, "user": sshd.user, "pkey_path": str(sshd.key)}
    config["known_hosts"] = str(known)
    for _ in range(2):
        with connector(config, host_key_policy="accept-new") as found:
            found.probe()
    assert known.read_text().split()[:2] == [f"[127.0.0.1]:{sshd.port}", "ssh-ed25519"]
    assert len(known.read_text().splitlines()) == 1
    with connector(config) as found:
        found.probe()  # known from now on, for strict too
    known.write_text(known.read_text().replace(str(sshd.port), str(impostor.port)))
    refusal(config | {"port": impostor.port}, host_key_policy="accept-new")
    assert impostor.seen == []


def test_a_first_key_that_another_run_has_just_remembered_is_not_joined_by_a_second(
    impostor: Impostor, sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = tmp_path / "known_hosts"
    original = HostKeys._remember

    def late(keys: HostKeys, key: paramiko.PKey, shown: str) -> None:
        line = (sshd.known_hosts).read_text().split(maxsplit=1)[1]
        known.write_text(f"[127.0.0.1]:{impostor.port} {line}")
        original(keys, key, shown)

    monkeypatch.setattr(HostKeys, "_remember", late)
    config = {"host": "127.0.0.1", "port": impostor.port, "user": "me", "password": SECRET, "known_hosts": str(known)}
    error = refusal(config, host_key_policy="accept-new")
    assert "is not the one in" in str(error)
    assert impostor.seen == []
    assert len(known.read_text().splitlines()) == 1


@pytest.mark.parametrize("what", ["read", "written"])
def test_a_known_hosts_that_is_of_no_use_is_named(sshd: Sshd, tmp_path: Path, what: str) -> None:
    known = tmp_path if what == "read" else Path("/proc/no-such-process/known_hosts")
    config = {"host": "127.0.0.1", "port": sshd.port, "user": sshd.user, "pkey_path": str(sshd.key)}
    error = refusal(config | {"known_hosts": str(known)}, host_key_policy="accept-new")
    assert str(known) in str(error)
    assert f"cannot be {what}" in str(error)
    assert "known_hosts" in error.fix


def test_insecure_takes_an_unknown_key_and_writes_nothing(sshd: Sshd, tmp_path: Path) -> None:
    known = tmp_path / "known_hosts"
    config = {"host": "127.0.0.1", "port": sshd.port, "user": sshd.user, "pkey_path": str(sshd.key)}
    with connector(config | {"known_hosts": str(known)}, host_key_policy="insecure") as found:
        found.probe()
    assert not known.exists()


def test_a_revoked_key_is_refused(sshd: Sshd, tmp_path: Path) -> None:
    known, line = tmp_path / "known_hosts", sshd.known_hosts.read_text()
    known.write_text(f"{line}@revoked {line}")
    config = {"host": "127.0.0.1", "port": sshd.port, "user": sshd.user, "pkey_path": str(sshd.key)}
    assert "revoked" in str(refusal(config | {"known_hosts": str(known)}))


@pytest.mark.parametrize(
    "form", ["hashed", "wildcard", "list", "pinned line", "pinned fingerprint", "old lines beside"]
)
def test_a_known_key_is_known_in_every_form(sshd: Sshd, tmp_path: Path, form: str) -> None:
    known = tmp_path / "known_hosts"
    name, kind, key = sshd.known_hosts.read_text().split()[:3]
    config: dict[str, Any] = {"host": "127.0.0.1", "port": sshd.port, "user": sshd.user, "pkey_path": str(sshd.key)}
    lines = {
        "hashed": f"{paramiko.HostKeys.hash_host(name)} {kind} {key}\n",
        "wildcard": f"[127.0.0.*]:{sshd.port},!other {kind} {key}\n",
        "list": f"example.com,{name} {kind} {key} comment\n",
        "old lines beside": f"# comment\n\n{name} ssh-dss AAAAB3NzaC1kc3MAAACBAA==\nbroken line\n{name} {kind} {key}\n",
    }
    known.write_text(lines.get(form, ""))
    config["known_hosts"] = str(known)
    if form == "pinned line":
        config["host_key"] = [f"{kind} {key}"]
    if form == "pinned fingerprint":
        config["host_key"] = "SHA256:" + base64.b64encode(hashlib.sha256(base64.b64decode(key)).digest()).decode()
    with connector(config) as found:
        found.probe()


def test_explain_shows_the_override_as_insecure(sshd: Sshd, tmp_path: Path) -> None:
    project = FlowProject(tmp_path)
    resource = sftp_resource(sshd, host_key_policy="insecure")
    project.flow({"id": "s", "type": "check_items", "inputs": {"items": [1]}}, resources={"partner": resource})
    told = project.command("explain", "flow.yaml")
    assert told.code == 0, told.err
    line = next(line for line in told.out.splitlines() if "host_key_policy" in line)
    assert "INSECURE" in line


# Logins


def make_key(folder: Path, kind: str, passphrase: str = "") -> Path:
    keygen = shutil.which("ssh-keygen") or "ssh-keygen"
    path = folder / f"id_{kind}_{bool(passphrase)}"
    # -a 1: each round of the passphrase's hash takes 20 ms here and in the driver, and 24 are usual
    subprocess.run([keygen, "-q", "-t", kind, "-a", "1", "-N", passphrase, "-f", str(path)], check=True)
    return path


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
@pytest.mark.parametrize("form", ["file", "inline", "passphrase"])
def test_keys_of_all_types_log_in(sshd: Sshd, tmp_path: Path, kind: str, form: str) -> None:
    key = make_key(tmp_path, kind, "open sesame" if form == "passphrase" else "")
    authorized = sshd.key.parent / "authorized"
    with authorized.open("a") as file:
        file.write(key.with_suffix(".pub").read_text())
    config: dict[str, Any] = {"host": "127.0.0.1", "port": sshd.port, "username": sshd.user}
    config["known_hosts"] = str(sshd.known_hosts)
    config |= {"private_key": key.read_text()} if form == "inline" else {"pkey_path": str(key)}
    if form == "passphrase":
        assert "passphrase" in refusal(config).fix
        assert "passphrase is wrong" in str(refusal(config | {"passphrase": "nonsense"}))
        config["passphrase"] = "open sesame"
    with connector(config) as found:
        found.probe()


def test_a_certificate_logs_in(sshd: Sshd, tmp_path: Path) -> None:
    authority, key = make_key(tmp_path, "ed25519", "ca"), make_key(tmp_path, "ecdsa")
    keygen = shutil.which("ssh-keygen") or "ssh-keygen"
    sign = ["-q", "-P", "ca", "-s", str(authority), "-I", "test", "-n", sshd.user, str(key.with_suffix(".pub"))]
    subprocess.run([keygen, *sign], check=True)
    with (sshd.key.parent / "authorized").open("a") as file:
        file.write(f"cert-authority {authority.with_suffix('.pub').read_text()}")
    config = {"host": "127.0.0.1", "port": sshd.port, "user": sshd.user, "known_hosts": str(sshd.known_hosts)}
    config |= {"pkey_path": str(key)}
    refusal(config)
    with connector(config | {"certificate": str(key) + "-cert.pub"}) as found:
        found.probe()


def test_a_jump_host_is_gone_through_and_checked(sshd: Sshd, tmp_path: Path) -> None:
    config = sftp_resource(sshd)["config"]
    jump = dict(config)
    with connector(config | {"jump": jump}) as found:
        found.write_bytes(f"{sshd.root}/through", b"x")
    assert (sshd.root / "through").read_bytes() == b"x"
    wrong = jump | {"host_key": "SHA256:" + "A" * 43}
    assert "host key" in str(refusal(config | {"jump": wrong}))


def test_a_server_that_asks_for_key_and_password_gets_both(impostor: Impostor, sshd: Sshd) -> None:
    pin = f"{impostor.key.get_name()} {impostor.key.get_base64()}"
    config = {
        "host": "127.0.0.1",
        "port": impostor.port,
        "pkey_path": str(sshd.key),
        "password": SECRET,
        "host_key": pin,
    }
    refusal(config | {"user": "one"})
    assert impostor.seen == ["key one"], "a password is for servers that ask for it beside the key"
    impostor.seen.clear()
    refusal(config | {"user": "both"})
    assert impostor.seen[-1] == f"password both {SECRET}"


def test_refused_logins_say_what_was_tried(sshd: Sshd, tmp_path: Path) -> None:
    base = {"host": "127.0.0.1", "port": sshd.port, "user": sshd.user, "known_hosts": str(sshd.known_hosts)}
    error = refusal(base | {"password": SECRET})
    assert "the password (the server takes publickey)" in str(error)
    stranger = make_key(tmp_path, "ed25519")
    assert "tried: the key ssh-ed25519" in str(refusal(base | {"pkey_path": str(stranger), "password": SECRET}))
    assert "neither password nor key" in str(refusal(base))
    missing = refusal(base | {"pkey_path": str(tmp_path / "none")})
    assert "cannot be read" in str(missing)


def test_under_a_policy_known_hosts_is_no_way_out(sshd: Sshd, tmp_path: Path) -> None:
    """A line of it is a file of the flow's author: its first word, the name of the server, is his as well."""
    project = FlowProject(tmp_path / "project")
    project.env["AETHERFLOW_MODE"] = "enterprise"
    precious = tmp_path / "authorized_keys"
    resource = sftp_resource(sshd, host_key_policy="accept-new")
    resource["config"] |= {"host_key": [], "known_hosts": str(precious)}
    listing = {"type": "sftp_list_files", "inputs": {"resource": "peer", "remote_dir": str(sshd.root), "min_count": 0}}
    project.flow({"id": "list", **listing}, resources={"peer": resource})
    ran = project.run()
    assert ran.error is not None
    assert ran.error.code == "AF5003", ran.error
    assert not precious.exists()
    resource["config"]["known_hosts"] = str(project.work / "flow" / "known_hosts")
    project.flow({"id": "list", **listing}, resources={"peer": resource})
    assert project.run().error is None, "its own folder is allowed"


def test_a_known_hosts_file_that_others_may_write(sshd: Sshd, tmp_path: Path) -> None:
    """Whoever may write it decides which server gets the password; by its absolute path it was not judged."""
    project = FlowProject(tmp_path / "project")
    known = tmp_path / "known_hosts"
    known.write_text(sshd.known_hosts.read_text())
    known.chmod(0o666)
    resource = sftp_resource(sshd)
    resource["config"] |= {"host_key": [], "known_hosts": str(known)}
    inputs = {"resource": "peer", "remote_dir": str(sshd.root), "min_count": 0}
    project.flow({"id": "list", "type": "sftp_list_files", "inputs": inputs}, resources={"peer": resource})
    with pytest.raises(SpecError, match="is writable by others") as caught:
        project.run()
    assert caught.value.problems[0].af == "AF1601"
    known.chmod(0o600)
    assert project.run().error is None
