"""Makes a FileConnector of a connector that has only the documented minimum: `list`, `upload`, `download` and so on."""

import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from aetherflow.core.api import (
    ConnectorConfig,
    ConnectorOptions,
    FileConnector,
    RemoteEntry,
    RemoteFileError,
    wrong_result,
)

CHUNK = 1 << 20


class MinimalFiles(FileConnector[ConnectorConfig, ConnectorOptions]):
    """The methods of the minimum as primitives. Each transfer goes through a file of this machine.

    `upload` is trusted to show a file only when it is whole, as `FileTransferSuite` tests. Nothing is continued.
    """

    WRITES_WHOLE = True

    def __init__(self, inner: Any) -> None:
        # no super(): the wrapped connector has the settings, and its opener closes it
        self.inner = inner
        self._alone = threading.Lock()
        """Held during each call: the minimum was never asked to bear several threads at once."""
        self.name, self.kind, self.driver = inner.name, inner.kind, inner.driver

    def _call(self, method: str, *arguments: Any) -> Any:
        with self._alone:
            return getattr(self.inner, method)(*arguments)

    # Looking

    def entries(self, folder: str) -> list[RemoteEntry]:
        try:
            found = self._call("list", folder)
        except Exception as error:
            if folder and self._is_missing(folder):
                raise RemoteFileError("it is not there", kind="missing") from error
            raise
        if not isinstance(found, Iterable) or isinstance(found, str | Mapping):
            raise wrong_result(self.inner, "list", found, "a list of entries")
        return [_entry(self.inner, each) for each in found]

    def stat(self, path: str, *, follow: bool = True) -> RemoteEntry:
        del follow  # the minimum does not tell links from files
        folder, name = self.split(path)
        if not name:
            return RemoteEntry("", "folder")
        found = next((each for each in self.entries(folder) if each.name == name), None)
        if found is None:
            raise RemoteFileError("it is not there", kind="missing")
        return found

    def _is_missing(self, path: str) -> bool:
        try:
            self.stat(path)
        except RemoteFileError as error:
            return error.kind == "missing"
        except Exception:  # noqa: BLE001 the caller raises the error of its own call
            return False
        return False

    @contextmanager
    def _missing_is_told(self, path: str) -> Iterator[None]:
        """Raise `missing` if a call fails and there is nothing at the path."""
        try:
            yield
        except Exception as error:
            if self._is_missing(path):
                raise RemoteFileError("it is not there", kind="missing") from error
            raise

    # Content

    def read(self, path: str, sink: Callable[[bytes], object], *, offset: int = 0, limit: int | None = None) -> None:
        if not hasattr(self.inner, "download"):
            with self._missing_is_told(path):
                data = self._call("read_bytes", path)
            if data := data[offset:] if limit is None else data[offset : offset + limit]:
                sink(data)
            return
        with tempfile.TemporaryDirectory(prefix="aetherflow-") as folder:
            local = Path(folder) / "file"
            with self._missing_is_told(path):
                self._call("download", path, local)
            with local.open("rb") as file:
                file.seek(offset)
                while data := file.read(CHUNK if limit is None else min(limit, CHUNK)):
                    sink(data)
                    limit = None if limit is None else limit - len(data)

    def write(self, path: str, source: Callable[[int], bytes]) -> None:
        if not hasattr(self.inner, "upload"):
            self._call("write_bytes", path, b"".join(iter(lambda: source(CHUNK), b"")))
            return
        with tempfile.TemporaryDirectory(prefix="aetherflow-") as folder:
            local = Path(folder) / self.split(path)[1]
            with local.open("xb") as file:
                while data := source(CHUNK):
                    file.write(data)
            self._call("upload", local, path)

    # Changing

    def rename(self, old: str, new: str, *, overwrite: bool = True) -> None:
        if not hasattr(self.inner, "rename"):
            self._refuse("rename")
        if not overwrite and not self._is_missing(new):
            raise RemoteFileError("the name is taken", kind="exists")
        with self._missing_is_told(old):
            self._call("rename", old, new)

    def remove(self, path: str) -> None:
        if not hasattr(self.inner, "delete"):
            self._refuse("delete")
        with self._missing_is_told(path):
            self._call("delete", path)

    def make_folder(self, path: str) -> None:
        for method in ("mkdir_recursive", "mkdir"):
            if hasattr(self.inner, method):
                self._call(method, path)
                return
        # without both `upload` makes what it needs

    def remove_folder(self, path: str) -> None:
        self.remove(path)

    def _refuse(self, method: str) -> NoReturn:
        raise RemoteFileError(f"its class {type(self.inner).__name__} has no {method}()", fix="add it to the class")


def _entry(inner: Any, found: Any) -> RemoteEntry:
    """An entry of `list`: a RemoteFileMeta, or anything with its names as attributes or keys."""

    def told(name: str) -> Any:
        return found.get(name) if isinstance(found, Mapping) else getattr(found, name, None)

    name = told("name") or str(told("path") or told("rel_path") or "").replace("\\", "/").rstrip("/").rpartition("/")[2]
    if not isinstance(name, str) or not name:
        raise wrong_result(inner, "list", found, "entries with `name`")
    return RemoteEntry(name, "folder" if told("is_dir") else "file", told("size"), told("mtime"))
