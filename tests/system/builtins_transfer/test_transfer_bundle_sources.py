"""The bundle sources on real servers, and on the folders in their place."""

from pathlib import Path
from typing import Any, ClassVar

import pytest

from aetherflow.core.api import ConnectorInit
from aetherflow_builtins_transfer.bundle_sources import SftpSource, SmbSource
from aetherflow_builtins_transfer.connectors.sftp.connector import SftpConnector
from aetherflow_builtins_transfer.connectors.smb.smbclient import SmbClientConnector
from services import Smbd, Sshd
from transfer_bundle_sources import RemoteSuite
from transfer_peers import sftp_resource, smb_resource


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
