"""The connector `acme_remote:memory`: files in this process, for tries and tests."""

from collections.abc import Callable
from typing import Any

from pydantic import Field

from acme_remote.base import CHUNK, FsspecFiles
from aetherflow.core.api import ConnectorConfig, ConnectorError, ConnectorOptions, PlainText, RemoteEntry, require


class Config(ConnectorConfig):
    """Which tree of files: resources with the same `config` share it within a process."""

    folder: PlainText = Field(pattern=r"^[a-z0-9/_-]+$", description="Name of the folder in memory.")


class Options(ConnectorOptions):
    """The memory has no settings beyond its `config`."""


class Memory(FsspecFiles[Config, Options]):
    """Files in the memory of this process; all resources with one folder see the same ones.

    resources:
      scratch:
        kind: acme_remote
        driver: memory
        config: {folder: scratch}
    """

    requires = ("fsspec",)
    WRITES_WHOLE = True

    def open_fs(self) -> Any:
        fs = require("fsspec.implementations.memory").MemoryFileSystem()
        fs.makedirs(self.full(""), exist_ok=True)
        return fs

    def probe(self) -> None:
        """See whether the name can be used."""
        if ".." in self.conf.folder or self.conf.folder.startswith("/"):
            raise ConnectorError(f"resource {self.name}: not the name of a folder", fix="use letters, digits, _ and -")
        self.entries("")

    def full(self, path: str) -> str:
        return "/" + "/".join(part for part in (self.conf.folder, path.strip("/")) if part)

    def entry(self, found: dict[str, Any]) -> RemoteEntry:
        name = found["name"].rstrip("/").rpartition("/")[2]
        if found["type"] == "directory":
            return RemoteEntry(name, "folder")
        return RemoteEntry(name, "file", found["size"], self.fs.created(found["name"]).timestamp())

    def store(self, path: str, source: Callable[[int], bytes]) -> None:
        data = b"".join(iter(lambda: source(CHUNK), b""))
        if not self.fs.isdir(path.rpartition("/")[0]):
            raise FileNotFoundError("its folder is not there")
        self.fs.pipe_file(path, data)

    def make_folder(self, path: str) -> None:
        with self.work():
            if self.fs.exists(self.full(path)):
                raise FileExistsError("the name is taken")
            if not self.fs.isdir(self.full(path).rpartition("/")[0]):
                raise FileNotFoundError("the folder above is not there")
            self.fs.mkdir(self.full(path), create_parents=False)

    def remove_folder(self, path: str) -> None:
        with self.work():
            self.fs.rmdir(self.full(path))
