"""Helpers shared by the unit and the system tests of test_transfer_bundle_sources.py."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aetherflow.core.api import BundleSource, BundleSourceInit
from aetherflow.core.testing import BundleSourceSuite


class RemoteSuite(BundleSourceSuite):
    def folder(self, place: Path) -> Path:
        """The folder of the bundle on disk."""
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
