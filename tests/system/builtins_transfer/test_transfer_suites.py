"""The contract of a file transfer, on every driver, against real servers."""

from pathlib import Path
from typing import Any, ClassVar

import pytest

from aetherflow.core.testing import FileTransferSuite
from aetherflow_builtins_transfer.connectors.local import SftpLocal, SmbLocal
from aetherflow_builtins_transfer.connectors.sftp.connector import SftpConnector
from aetherflow_builtins_transfer.connectors.smb.pysmb import PysmbConnector
from aetherflow_builtins_transfer.connectors.smb.smbclient import SmbClientConnector
from folder_suite import FolderSuite
from services import Smbd, Sshd
from svc import free_port
from torture_tier import sized


class TestSftpLocal(FolderSuite):
    connector = SftpLocal
    name = "sftp.local"
    kills = sized(3, 200)


class TestSmbLocal(TestSftpLocal):
    connector = SmbLocal  # type: ignore[assignment]  # the other local driver
    name = "smb.local"
    kills = sized(1, 40)

    def config(self, place: Path) -> dict[str, Any]:
        return {"root": str(place), "share": "data"}

    def make_link(self, place: Path, target: str, link: str) -> None:
        (place / "data" / link).symlink_to(place / "data" / target)

    def names_at(self, place: Path, folder: str) -> list[str] | None:
        return sorted(each.name for each in (place / "data" / folder).iterdir())


class TestSftpParamiko(FileTransferSuite):
    connector = SftpConnector
    name = "sftp.paramiko"
    kills = sized(2, 40)
    has_links = True
    server: ClassVar[Sshd]

    @pytest.fixture(autouse=True)
    def _server(self, sshd: Sshd) -> None:
        type(self).server = sshd

    @property
    def base(self) -> str:  # type: ignore[override]  # known when the server runs
        return str(self.server.root)

    def config(self, place: Path) -> dict[str, Any]:
        server = self.server
        return {
            "host": "127.0.0.1",
            "port": server.port,
            "user": server.user,
            "pkey_path": str(server.key),
            "known_hosts": str(server.known_hosts),
        }

    def unreachable(self, place: Path) -> dict[str, Any]:
        return self.config(place) | {"port": free_port()}

    def make_link(self, place: Path, target: str, link: str) -> None:
        Path(link).symlink_to(target)

    def names_at(self, place: Path, folder: str) -> list[str] | None:
        return sorted(each.name for each in Path(folder).iterdir())


class TestSmbClient(FileTransferSuite):
    connector = SmbClientConnector
    name = "smb.smbclient"
    kills = sized(2, 40)
    server: ClassVar[Smbd]

    @pytest.fixture(autouse=True)
    def _server(self, smbd: Smbd) -> None:
        type(self).server = smbd

    def config(self, place: Path) -> dict[str, Any]:
        server = self.server
        return {
            "server": "127.0.0.1",
            "port": server.port,
            "share": "data",
            "username": server.user,
            "password": server.password,
        }

    def unreachable(self, place: Path) -> dict[str, Any]:
        return self.config(place) | {"port": free_port()}

    def names_at(self, place: Path, folder: str) -> list[str] | None:
        return sorted(each.name for each in (self.server.root / folder).iterdir())


class TestPysmb(TestSmbClient):
    connector = PysmbConnector  # type: ignore[assignment]  # the other driver
    name = "smb.pysmb"

    @pytest.fixture(autouse=True)
    def _server(self, smbd_old: Smbd) -> None:
        type(self).server = smbd_old
