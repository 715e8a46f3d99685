"""Connectors of nobody's kind over a local folder: with primitives alone, with the documented minimum; and a view that
shows of any connector what its contract publishes.
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field

from aetherflow.core.api import (
    AppendsFiles,
    Backoff,
    ConnectorBase,
    ConnectorConfig,
    ConnectorError,
    ConnectorInit,
    ConnectorOptions,
    FileConnector,
    HashesFiles,
    RemoteEntry,
    RemoteFileMeta,
    SetsMode,
    SetsMtime,
    WritePath,
    WritesLocally,
    WritesTogether,
    register_connector,
)
from aetherflow.core.host import catalog
from aetherflow_builtins_transfer.connectors.local import SftpLocal
from aetherflow_builtins_transfer.moving import serving
from aetherflow_builtins_transfer.moving.files import Files

KIND = "stranger"


class Config(ConnectorConfig):
    root: WritePath = Field(description="The folder.")


class Options(ConnectorOptions):
    """These peers have no settings beyond their folder."""


class Primitives(FileConnector[Config, Options]):
    """The primitives and nothing else: any other name is an AttributeError, settings included."""

    def __init__(self, init: ConnectorInit) -> None:
        super().__init__(init)
        self._inner = SftpLocal(ConnectorInit(init.name, "sftp", "local", {"root": self.conf.root}, {}))
        del self.config, self.options, self.conf, self.opts

    @property
    def retry(self) -> Backoff:
        return self._inner.retry

    def split(self, path: str) -> tuple[str, str]:
        return self._inner.split(path)

    def identity(self, path: str) -> str:
        return self._inner.identity(path)

    def entries(self, folder: str) -> list[RemoteEntry]:
        return self._inner.entries(folder)

    def stat(self, path: str, *, follow: bool = True) -> RemoteEntry:
        return self._inner.stat(path, follow=follow)

    def read(self, path: str, sink: Callable[[bytes], object], *, offset: int = 0, limit: int | None = None) -> None:
        self._inner.read(path, sink, offset=offset, limit=limit)

    def write(self, path: str, source: Callable[[int], bytes]) -> None:
        self._inner.write(path, source)

    def rename(self, old: str, new: str, *, overwrite: bool = True) -> None:
        self._inner.rename(old, new, overwrite=overwrite)

    def remove(self, path: str) -> None:
        self._inner.remove(path)

    def make_folder(self, path: str) -> None:
        self._inner.make_folder(path)

    def remove_folder(self, path: str) -> None:
        self._inner.remove_folder(path)


class Store(Primitives):
    """A peer that shows whole files only: nothing is renamed into its place."""

    WRITES_WHOLE = True

    def rename(self, old: str, new: str, *, overwrite: bool = True) -> None:
        assert ".aetherflow-" not in old, "what is written whole needs no temporary name"
        super().rename(old, new, overwrite=overwrite)


class Minimum(ConnectorBase[Config, Options]):
    """The documented minimum, written as a script of one hour would."""

    def _at(self, path: str) -> Path:
        return Path(self.conf.root) / path.strip("/")

    def list(self, remote_dir: str) -> Any:
        found = []
        for each in self._at(remote_dir).iterdir():
            facts, is_dir = each.stat(), each.is_dir()
            size = None if is_dir else facts.st_size
            path = f"{remote_dir}/{each.name}"
            found.append(RemoteFileMeta(path=path, name=each.name, is_dir=is_dir, size=size, mtime=facts.st_mtime))
        return found

    def read_bytes(self, remote_path: str) -> bytes:
        return self._at(remote_path).read_bytes()

    def write_bytes(self, remote_path: str, data: bytes) -> None:
        self._target(remote_path).write_bytes(data)

    def upload(self, local_path: str | Path, remote_path: str) -> None:
        shutil.copyfile(local_path, self._target(remote_path))

    def download(self, remote_path: str, local_path: str | Path) -> None:
        shutil.copyfile(self._at(remote_path), local_path)

    def delete(self, remote_path: str) -> None:
        if not self._at(remote_path).exists():
            raise ConnectorError("there is no such thing")
        self._at(remote_path).unlink()

    def mkdir_recursive(self, remote_dir: str) -> None:
        self._at(remote_dir).mkdir(parents=True, exist_ok=True)

    def _target(self, path: str) -> Path:
        found = self._at(path)
        found.parent.mkdir(parents=True, exist_ok=True)
        return found


class Renaming(Minimum):
    """The minimum with the one method that it need not have."""

    def rename(self, old_path: str, new_path: str) -> None:
        self._at(old_path).replace(self._at(new_path))


STRANGERS: dict[str, type[ConnectorBase[Any, Any]]] = {
    "primitives": Primitives,
    "store": Store,
    "renaming": Renaming,
    "minimum": Minimum,
}


@pytest.fixture
def strangers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make them known to this process, for one test."""
    monkeypatch.setattr(catalog, "_registered", {group: dict(known) for group, known in catalog._registered.items()})
    for driver, cls in STRANGERS.items():
        register_connector(KIND, driver)(cls)


# What the steps may see of a connector

CAPABILITIES = (AppendsFiles, HashesFiles, SetsMode, SetsMtime, WritesLocally, WritesTogether)
METHODS = {name for capability in CAPABILITIES for name in vars(capability) if not name.startswith("_")}
PUBLISHED = {"name", "kind", "driver", "__class__"} | METHODS
PUBLISHED |= {name for name in vars(FileConnector) if not name.startswith("_")}


class View(FileConnector[Any, Any]):
    """A connector of which only the names of its contract can be seen; any other is an AttributeError."""

    def __init__(self, inner: Any) -> None:
        object.__setattr__(self, "_seen", inner)

    def __getattribute__(self, name: str) -> Any:
        if name not in PUBLISHED:
            raise AttributeError(f"a step uses {name}, which the contract does not publish")
        return type(self) if name == "__class__" else getattr(object.__getattribute__(self, "_seen"), name)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"a step sets {name}")


View.__abstractmethods__ = frozenset()


def view(inner: Any) -> Any:
    """A view of `inner`; its class has the methods of the abilities, as `isinstance` asks it since Python 3.12."""
    cls = type(inner)
    return type("View", (View,), {name: getattr(cls, name) for name in METHODS if hasattr(cls, name)})(inner)


@pytest.fixture(autouse=True)
def only_published(monkeypatch: pytest.MonkeyPatch) -> None:
    """The steps in this process see connectors by View."""

    def seen(connector: Any, *more: Any) -> Files:
        return Files(view(connector) if isinstance(connector, FileConnector) else connector, *more)

    monkeypatch.setattr(serving, "Files", seen)
