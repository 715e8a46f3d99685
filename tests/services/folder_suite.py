"""The contract of a file transfer over a folder of this machine."""

from pathlib import Path
from typing import Any

from aetherflow.core.testing import FileTransferSuite


class FolderSuite(FileTransferSuite):
    has_links = True

    def config(self, place: Path) -> dict[str, Any]:
        return {"root": str(place)}

    def unreachable(self, place: Path) -> dict[str, Any]:
        (place / "file").touch()
        return {"root": str(place / "file" / "below")}

    def make_link(self, place: Path, target: str, link: str) -> None:
        (place / link).symlink_to(place / target)

    def names_at(self, place: Path, folder: str) -> list[str] | None:
        return sorted(each.name for each in (place / folder).iterdir())
