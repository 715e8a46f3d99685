"""The bundle sources on real servers, and on the folders in their place."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

from aetherflow.core.api import BundleSource, BundleSourceInit, ConnectorInit
from aetherflow.core.testing import BundleSourceSuite
from aetherflow_builtins_transfer.bundle_sources import SftpSource, SmbSource
from aetherflow_builtins_transfer.connectors.sftp import SftpConnector
from aetherflow_builtins_transfer.connectors.smb import SmbClientConnector
from services import Smbd, Sshd
from transfer_peers import sftp_resource, smb_resource


class RemoteSuite(BundleSourceSuite):
    def folder(self, place: Path) -> Path:
        """Where the bundle is on disk."""
        raise NotImplementedError

    def publish(self, place: Path, tree: Mapping[str, bytes]) -> None:
        folder = self.folder(place)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for name, data in tree.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)

    def unreachable(self, place: Path) -> BundleSource[Any]:
        config = {"base_path": f"{self.config(place)['base_path']}-none"}
        return self.source(BundleSourceInit(self.name, self.bundle, config, place, self.connector(place)))


class TestSftp(RemoteSuite):
    source = SftpSource
    name = "sftp"
    server: ClassVar[Sshd]

    @pytest.fixture(autouse=True)
    def _server(self, sshd: Sshd) -> None:
        type(self).server = sshd

    def folder(self, place: Path) -> Path:
        return self.server.root / place.parent.name / "bundle"

    def config(self, place: Path) -> dict[str, Any]:
        return {"base_path": str(self.folder(place))}

    def connector(self, place: Path) -> Any:
        return SftpConnector(ConnectorInit("peer", "sftp", "paramiko", sftp_resource(self.server)["config"], {}))


class TestSmb(RemoteSuite):
    source = SmbSource
    name = "smb"
    server: ClassVar[Smbd]

    @pytest.fixture(autouse=True)
    def _server(self, smbd: Smbd) -> None:
        type(self).server = smbd

    def folder(self, place: Path) -> Path:
        return self.server.root / place.parent.name / "bundle"

    def config(self, place: Path) -> dict[str, Any]:
        return {"base_path": f"DATA:/{place.parent.name}/bundle"}

    def connector(self, place: Path) -> Any:
        return SmbClientConnector(ConnectorInit("peer", "smb", "smbclient", smb_resource(self.server)["config"], {}))
