"""The bundle sources `sftp` and `smb`: a bundle in a folder on a server."""

from collections.abc import Iterator
from typing import BinaryIO

from pydantic import Field

from aetherflow.core.api import BundleSource, BundleSourceConfig, ConnectorError, PlainText, RemoteFileMeta
from aetherflow_builtins_transfer.moving.files import Files
from aetherflow_builtins_transfer.moving.serving import files_of


class Config(BundleSourceConfig):
    base_path: PlainText = Field(min_length=1, description="Folder on the server that holds the bundle.")


class RemoteFolder(BundleSource[Config]):
    """The base class of both sources. Links are refused, because their targets are not part of the folder."""

    @property
    def peer(self) -> Files:
        """The files at the peer."""
        return files_of(self.connector)

    def list(self) -> Iterator[RemoteFileMeta]:
        """Yield every file below the folder, with size and time; ConnectorError for links and special files."""
        yield from self._below(self.conf.base_path, "")

    def _below(self, folder: str, prefix: str) -> Iterator[RemoteFileMeta]:
        for entry in self.peer.entries(folder):
            path, rel_path = self.peer.join(folder, entry.name), prefix + entry.name
            if entry.kind == "folder":
                yield from self._below(path, f"{rel_path}/")
            elif entry.kind == "file":
                yield RemoteFileMeta(rel_path=rel_path, path=path, name=entry.name, size=entry.size, mtime=entry.mtime)
            else:
                what = "a link" if entry.kind == "link" else "neither a file nor a folder"
                message = f"bundle source {self.type}: {path} is {what}, which a bundle cannot hold"
                raise ConnectorError(message, fix="put a copy in its place, or take it out of the folder")

    def fetch(self, rel_path: str, target: BinaryIO) -> None:
        self.refuse_path(rel_path)
        self.peer.read_to(self.peer.join(self.conf.base_path, rel_path), target.write)


class SftpSource(RemoteFolder):
    """Takes a bundle from a folder on an SFTP server.

    Example:
        source:
          type: sftp
          resource: releases
          base_path: /srv/bundles/daily
    """

    resource_kind = "sftp"


class SmbSource(RemoteFolder):
    r"""Takes a bundle from a folder on an SMB share.

    Example:
        source:
          type: smb
          resource: releases
          base_path: BUNDLES:/daily
    """

    resource_kind = "smb"
