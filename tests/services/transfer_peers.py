"""Projects with one resource `peer`, for every driver in turn, and access to the peer's folder on disk."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from aetherflow.core.testing import FlowProject
from aetherflow.core.testing.project import Ran
from services import Smbd, Sshd
from transfer_strangers import KIND, STRANGERS

DRIVERS = ("sftp.local", "sftp.paramiko", "smb.local", "smb.smbclient", "smb.pysmb")


def sftp_resource(server: Sshd, port: int | None = None, **options: Any) -> dict[str, Any]:
    """A resource for the SSH server, through another port if one is given."""
    config = {"host": "127.0.0.1", "port": port or server.port, "user": server.user, "pkey_path": str(server.key)}
    key = server.known_hosts.read_text().split(maxsplit=1)[1].strip()
    return {"kind": "sftp", "driver": "paramiko", "config": config | {"host_key": key}, "options": options}


def smb_resource(server: Smbd, driver: str = "smbclient", port: int | None = None, **options: Any) -> dict[str, Any]:
    """A resource for the SMB server, through another port if one is given."""
    config = {"server": "127.0.0.1", "port": port or server.port, "share": "data"}
    login = {"username": server.user, "password": server.password}
    return {"kind": "smb", "driver": driver, "config": config | login, "options": options}


@dataclass
class Peer:
    """A resource, the folder of its files on disk, and the prefix of its step types."""

    kind: str
    driver: str
    resource: dict[str, Any]
    disk: Path
    base: str
    """Path of the folder as flows write it."""
    project: FlowProject = field(repr=False)

    def put(self, name: str, data: bytes | str = b"x") -> Path:
        """Write a file directly into the peer's folder, without the connector; returns its path."""
        path = self.disk / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        return path

    def local(self, name: str, data: bytes | str = b"x") -> Path:
        """Write a local file where the flow may read and write it; returns its path."""
        path = self.project.work / "given" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        return path

    def tree(self) -> dict[str, bytes]:
        """Path to content of every file below the folder, including leftovers."""
        return {
            path.relative_to(self.disk).as_posix(): path.read_bytes()
            for path in sorted(self.disk.rglob("*"))
            if path.is_file()
        }

    def step(self, what: str, step_id: str | None = None, **inputs: Any) -> dict[str, Any]:
        """A step `KIND_WHAT_files` of the resource, of another kind `remote_WHAT`."""
        step_type = f"{self.kind}_{what}_files" if self.kind in ("sftp", "smb") else f"remote_{what}"
        return {"id": step_id or what, "type": step_type, "inputs": {"resource": "peer"} | inputs}

    def run(self, *steps: Mapping[str, Any]) -> Ran:
        """Run steps; a failed run is returned, not raised."""
        self.project.flow(*steps, resources={"peer": self.resource})
        return self.project.run()

    def outputs(self, what: str, **inputs: Any) -> dict[str, Any]:
        """Run one step that must succeed; returns its outputs."""
        ran = self.run(self.step(what, **inputs))
        assert ran.error is None, ran.error
        return ran[what].outputs

    def files(self, **inputs: Any) -> list[dict[str, Any]]:
        """The files that a list step returns."""
        found: list[dict[str, Any]] = self.outputs("list", remote_dir=self.base, min_count=0, **inputs)["files"]
        return found


def build_peer(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> Peer:
    """A peer on one driver, with an empty folder of its own."""
    kind, _, driver = name.partition(".")
    unique = tmp_path.name.replace("[", "_").replace("]", "_")
    project = FlowProject(tmp_path / "project")
    if driver in STRANGERS:
        root = tmp_path / "server"
        base, disk, resource = unique, root / unique, {"kind": KIND, "driver": driver, "config": {"root": str(root)}}
    elif driver == "local":
        root = tmp_path / "server"
        share: dict[str, Any] = {"share": "data"} if kind == "smb" else {}
        base, disk = (unique, root / "data" / unique) if kind == "smb" else (unique, root / unique)
        resource = {"kind": kind, "driver": driver, "config": {"root": str(root), **share}}
    elif driver == "paramiko":
        server: Sshd = request.getfixturevalue("sshd")
        disk = server.root / unique
        base, resource = str(disk), sftp_resource(server)
    else:
        smb: Smbd = request.getfixturevalue("smbd" if driver == "smbclient" else "smbd_old")
        base, disk, resource = unique, smb.root / unique, smb_resource(smb, driver)
    disk.mkdir(parents=True)
    return Peer(kind, driver, resource, disk, base, project)


@pytest.fixture(params=DRIVERS)
def each_peer(request: pytest.FixtureRequest, tmp_path: Path) -> Peer:
    """Each driver in turn."""
    return build_peer(request.param, request, tmp_path)


@pytest.fixture
def local_peer(request: pytest.FixtureRequest, tmp_path: Path) -> Peer:
    """A peer with a local folder instead of an SFTP server."""
    return build_peer("sftp.local", request, tmp_path)
