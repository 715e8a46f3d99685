"""The bundle sources of the core: archives and git repositories, on the suite of all sources."""

import io
import os
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from aetherflow.core.api import BundleSourceInit, ConnectorError
from aetherflow.core.builtins.archive_source import ArchiveSource
from aetherflow.core.testing import BundleSourceSuite

FORMATS = {"a.zip": "", "a.tar": "w:", "a.tar.gz": "w:gz", "a.tar.xz": "w:xz"}


def pack(path: Path, tree: Mapping[str, bytes], prefix: str = "") -> None:
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in tree.items():
                archive.writestr(prefix + name, data)
        return
    with tarfile.open(path, FORMATS[path.name]) as tar:  # type: ignore[call-overload]  # the modes are those of tarfile
        for name, data in tree.items():
            info = tarfile.TarInfo(prefix + name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


class _Archive(BundleSourceSuite):
    source = ArchiveSource
    name = "archive"
    file = "a.zip"
    prefix = ""

    def publish(self, place: Path, tree: Mapping[str, bytes]) -> None:
        path = place / self.file
        changed = path.stat().st_mtime + 1 if path.exists() else None
        pack(path, tree, self.prefix)
        if changed is not None:  # as by a clock that goes on
            os.utime(path, (changed, changed))

    def config(self, place: Path) -> dict[str, Any]:
        return {"base_path": self.file, "folder": self.prefix}

    def unreachable(self, place: Path) -> ArchiveSource:
        return ArchiveSource(BundleSourceInit("archive", "suite", {"base_path": "none.zip"}, place))


class TestZip(_Archive):
    @pytest.mark.parametrize("damage", ["cut", "text", "encrypted name"])
    def test_a_damaged_archive_is_said(self, place: Path, damage: str) -> None:
        self.publish(place, {"flow.yaml": b"x" * 1000})
        path = place / self.file
        path.write_bytes({"cut": path.read_bytes()[:60], "text": b"hello", "encrypted name": b"PK\3\4"}[damage])
        source = ArchiveSource(BundleSourceInit("archive", "suite", self.config(place), place))
        with source, pytest.raises(ConnectorError, match=r"a\.zip"):
            list(source.list())

    def test_links_are_refused(self, place: Path) -> None:
        info = zipfile.ZipInfo("link")
        info.external_attr = 0o120777 << 16
        with zipfile.ZipFile(place / self.file, "w") as archive:
            archive.writestr(info, "/etc/passwd")
        source = ArchiveSource(BundleSourceInit("archive", "suite", self.config(place), place))
        with source, pytest.raises(ConnectorError, match="link is a link"):
            list(source.list())


class TestZipFolder(_Archive):
    prefix = "nightly-1.0/"


class TestTarGz(_Archive):
    file = "a.tar.gz"

    @pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
    def test_what_is_no_file_is_refused(self, place: Path, kind: bytes) -> None:
        info = tarfile.TarInfo("odd")
        info.type, info.linkname = kind, "/etc/passwd"
        with tarfile.open(place / self.file, "w:gz") as tar:
            tar.addfile(info)
        source = ArchiveSource(BundleSourceInit("archive", "suite", self.config(place), place))
        with source, pytest.raises(ConnectorError, match="odd is a link or a device"):
            list(source.list())


class TestTarFolder(_Archive):
    file = "a.tar"
    prefix = "nightly-1.0/"
