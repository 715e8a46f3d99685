"""The bundle sources on real servers, and on the folders in their place."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aetherflow.core.api import BundleSource, BundleSourceInit, ConnectorInit
from aetherflow.core.testing import BundleSourceSuite
from aetherflow_builtins_transfer.bundle_sources import SftpSource
from aetherflow_builtins_transfer.connectors.local import SftpLocal


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


class TestSftpOnAFolder(RemoteSuite):
    source = SftpSource
    name = "sftp"

    def folder(self, place: Path) -> Path:
        return place / "bundle"

    def config(self, place: Path) -> dict[str, Any]:
        return {"base_path": "bundle"}

    def connector(self, place: Path) -> Any:
        return SftpLocal(ConnectorInit("peer", "sftp", "local", {"root": str(place)}, {}))
