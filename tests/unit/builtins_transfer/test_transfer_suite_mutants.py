"""FileTransferSuite catches what is wrong with a connector: each mutant breaks one promise of the contract."""

import inspect
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from aetherflow.core.api import ConnectorInit, RemoteEntry, RemoteFileError
from aetherflow.core.testing import FileTransferSuite, file_primitives
from transfer_strangers import Primitives, Store

Sink = Callable[[bytes], object]
Source = Callable[[int], bytes]


class IgnoresOffset(Primitives):
    def read(self, path: str, sink: Sink, *, offset: int = 0, limit: int | None = None) -> None:
        super().read(path, sink, limit=limit)


class IgnoresLimit(Primitives):
    def read(self, path: str, sink: Sink, *, offset: int = 0, limit: int | None = None) -> None:
        super().read(path, sink, offset=offset)


class LosesTheLastByte(Primitives):
    def read(self, path: str, sink: Sink, *, offset: int = 0, limit: int | None = None) -> None:
        size = self.stat(path).size or 0
        super().read(path, sink, offset=offset, limit=min(limit if limit is not None else size, size - offset - 1))


class WrapsWhatSinkRaises(Primitives):
    def read(self, path: str, sink: Sink, *, offset: int = 0, limit: int | None = None) -> None:
        try:
            super().read(path, sink, offset=offset, limit=limit)
        except RemoteFileError:
            raise
        except Exception as error:
            raise RemoteFileError("it broke") from error


class HidesWhatSourceRaises(Primitives):
    def write(self, path: str, source: Source) -> None:
        def give(most: int) -> bytes:
            try:
                return source(most)
            except Exception:  # noqa: BLE001 the fault under test
                return b""

        super().write(path, give)


class LeavesTheOldEnd(Primitives):
    def write(self, path: str, source: Source) -> None:
        data = b"".join(iter(lambda: source(1 << 20), b""))
        old: list[bytes] = []
        try:
            super().read(path, lambda piece: old.append(bytes(piece)))
        except RemoteFileError:
            old = []
        parts = iter([data + b"".join(old)[len(data) :], b""])
        super().write(path, lambda _: next(parts))


class MakesFoldersUnasked(Primitives):
    def write(self, path: str, source: Source) -> None:
        folder = self.split(path)[0]
        try:
            self.stat(folder)
        except RemoteFileError:
            self.make_folder(folder)
        super().write(path, source)


class AsksTwice(Primitives):
    def write(self, path: str, source: Source) -> None:
        source(0)
        super().write(path, source)


class Stale(Primitives):
    def __init__(self, init: ConnectorInit) -> None:
        super().__init__(init)
        self._known: dict[str, RemoteEntry] = {}

    def stat(self, path: str, *, follow: bool = True) -> RemoteEntry:
        return self._known.setdefault(path, super().stat(path, follow=follow))


class ListsFromBefore(Primitives):
    def __init__(self, init: ConnectorInit) -> None:
        super().__init__(init)
        self._known: dict[str, list[RemoteEntry]] = {}

    def entries(self, folder: str) -> list[RemoteEntry]:
        return self._known.setdefault(folder, super().entries(folder))


class ListsTheFirstPage(Primitives):
    def entries(self, folder: str) -> list[RemoteEntry]:
        return super().entries(folder)[:20]


class ListsNothingOfAMissingFolder(Primitives):
    def entries(self, folder: str) -> list[RemoteEntry]:
        try:
            return super().entries(folder)
        except RemoteFileError:
            return []


class ListsFoldersAsFiles(Primitives):
    def entries(self, folder: str) -> list[RemoteEntry]:
        return [RemoteEntry(each.name, "file", each.size, each.mtime) for each in super().entries(folder)]


class TellsMilliseconds(Primitives):
    def entries(self, folder: str) -> list[RemoteEntry]:
        found = super().entries(folder)
        return [RemoteEntry(each.name, each.kind, each.size, (each.mtime or 0) * 1000) for each in found]


class NamesWithFolders(Primitives):
    def stat(self, path: str, *, follow: bool = True) -> RemoteEntry:
        found = super().stat(path, follow=follow)
        return RemoteEntry(path, found.kind, found.size, found.mtime)


class LosesTheKind(Primitives):
    def stat(self, path: str, *, follow: bool = True) -> RemoteEntry:
        try:
            return super().stat(path, follow=follow)
        except RemoteFileError as error:
            raise RemoteFileError(str(error)) from error


class RemovesWithoutAWord(Primitives):
    def remove(self, path: str) -> None:
        try:
            super().remove(path)
        except RemoteFileError:
            return


class RemovesFoldersToo(Primitives):
    def remove(self, path: str) -> None:
        if self.stat(path).is_dir:
            self.remove_folder(path)
        else:
            super().remove(path)

    def remove_folder(self, path: str) -> None:
        for each in self.entries(path):
            self.remove(self.join(path, each.name))
        super().remove_folder(path)


class RenamesOver(Primitives):
    def rename(self, old: str, new: str, *, overwrite: bool = True) -> None:
        super().rename(old, new)


class NeverRenamesOver(Primitives):
    def rename(self, old: str, new: str, *, overwrite: bool = True) -> None:
        super().rename(old, new, overwrite=False)


class CopiesInsteadOfRenaming(Primitives):
    def rename(self, old: str, new: str, *, overwrite: bool = True) -> None:
        parts: list[bytes] = []
        self.read(old, lambda piece: parts.append(bytes(piece)))
        if not overwrite:
            try:
                self.stat(new)
            except RemoteFileError:
                pass
            else:
                raise RemoteFileError("taken", kind="exists")
        give = iter([*parts, b""])
        self.write(new, lambda _: next(give))


class TakesAnExistingFolder(Primitives):
    def make_folder(self, path: str) -> None:
        try:
            super().make_folder(path)
        except RemoteFileError as error:
            if error.kind != "exists":
                raise


class MakesAllFolders(Primitives):
    def make_folder(self, path: str) -> None:
        folder, name = self.split(path)
        if name and folder not in ("", "/"):
            try:
                self.stat(folder)
            except RemoteFileError:
                self.make_folder(folder)
        super().make_folder(path)


class SplitsNothing(Primitives):
    def split(self, path: str) -> tuple[str, str]:
        return "", path


class OneIdentity(Primitives):
    def identity(self, path: str) -> str:
        del path
        return "same"


class OneBufferForAll(Primitives):
    """Threads share what they read into."""

    def write(self, path: str, source: Source) -> None:
        self._shared = b""
        while data := source(1 << 16):
            self._shared += data
        parts = iter([self._shared, b""])
        super().write(path, lambda _: next(parts))


class HalfAStore(Store):
    """Says that it writes whole files, and writes as it comes."""


class ClosesWhenItHasEnded(Primitives):
    def __init__(self, init: ConnectorInit) -> None:
        super().__init__(init)
        self._lock = threading.RLock()

    def write(self, path: str, source: Source) -> None:
        with self._lock:
            super().write(path, source)

    def close(self) -> None:
        with self._lock:
            super().close()


MUTANTS = [
    each
    for each in list(globals().values())
    if inspect.isclass(each) and issubclass(each, Primitives) and each not in (Primitives, Store)
]


def failures(cls: type[Primitives], root: Path) -> Iterator[str]:
    """The tests of the contract that fail for a class."""

    class Suite(FileTransferSuite):
        connector = cls
        name = "stranger.mutant"

    suite: Any = Suite()

    def connect() -> Primitives:
        return cls(ConnectorInit("peer", "stranger", "mutant", {"root": str(root)}, {}))

    for number, (name, test) in enumerate(inspect.getmembers(suite, inspect.ismethod)):
        wanted = inspect.signature(test).parameters.keys()
        if not name.startswith("test_") or not {"peer", "remote"} <= wanted or wanted & {"tmp_path", "flow"}:
            continue
        (root / f"t{number}").mkdir(parents=True)
        given = {"peer": connect(), "remote": f"t{number}", "connect": connect, "size": 70_000}
        try:
            test(**{key: given[key] for key in wanted})
        except (Exception, pytest.fail.Exception):  # noqa: BLE001 a failure, of whatever kind
            yield name


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_a_mutant_is_caught(mutant: type[Primitives], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if mutant is ClosesWhenItHasEnded:  # a limit that a sound connector has all of
        monkeypatch.setattr(file_primitives, "CLOSE_SECONDS", 0.2)
    assert next(failures(mutant, tmp_path), None) is not None


def test_a_sound_connector_passes(tmp_path: Path) -> None:
    assert list(failures(Primitives, tmp_path)) == []
