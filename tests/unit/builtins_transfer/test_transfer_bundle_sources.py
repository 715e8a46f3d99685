"""The bundle sources on real servers, and on the folders in their place."""

from pathlib import Path
from typing import Any

from aetherflow.core.api import ConnectorInit
from aetherflow_builtins_transfer.bundle_sources import SftpSource
from aetherflow_builtins_transfer.connectors.local import SftpLocal
from transfer_bundle_sources import RemoteSuite


class TestSftpOnAFolder(RemoteSuite):
    source = SftpSource
    name = "sftp"

    def folder(self, place: Path) -> Path:
        return place / "bundle"

    def config(self, place: Path) -> dict[str, Any]:
        return {"base_path": "bundle"}

    def connector(self, place: Path) -> Any:
        return SftpLocal(ConnectorInit("peer", "sftp", "local", {"root": str(place)}, {}))
