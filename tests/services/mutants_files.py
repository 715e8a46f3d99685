"""Connectors for files with one fault each: of the kind that our own have capabilities for, and of the minimum."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from aetherflow.core.api import (
    ConnectorError,
    ConnectorInit,
    PreparedFile,
    RemoteEntry,
    RemoteFileError,
    RemoteFileMeta,
)
from aetherflow_builtins_transfer.connectors.local import SftpLocal
from folder_suite import FolderSuite

Sink = Callable[[bytes], object]
Source = Callable[[int], bytes]


class Folder(SftpLocal):
    """Files below a folder, with the capabilities of a server.

    resources:
      partner: {kind: sftp, driver: mutant, config: {root: partner}}
    """

    def sends_together(self) -> bool:
        return True

    def write_together(
        self, files: Sequence[PreparedFile], *, overwrite: bool, mode: int | None = None
    ) -> Sequence[bool]:
        return [self.written(each, overwrite=overwrite) for each in files]

    def written(self, file: PreparedFile, *, overwrite: bool) -> bool:
        """Whether one of several files arrived."""
        parts = iter([file.data, b""] if file.data else [b""])
        self.write(file.part, lambda _: next(parts))
        if file.mtime is not None:
            self.set_mtime(file.part, file.mtime)
        try:
            self.rename(file.part, file.target, overwrite=overwrite)
        except RemoteFileError:
            self.remove(file.part)
            return False
        return True

    def hash_at_peer(self, path: str) -> str | None:
        import hashlib

        digest = hashlib.sha256()
        self.read(path, digest.update)
        return digest.hexdigest()


class AppendsOneTooEarly(Folder):
    def append(self, path: str, source: Source, offset: int) -> None:
        super().append(path, source, max(offset - 1, 0))


class AppendStartsAgain(Folder):
    def append(self, path: str, source: Source, offset: int) -> None:
        self.write(path, source)


class ResumesOneTooLate(Folder):
    def read(self, path: str, sink: Sink, *, offset: int = 0, limit: int | None = None) -> None:
        super().read(path, sink, offset=offset + 1 if offset else 0, limit=limit)


class HidesDotFiles(Folder):
    def entries(self, folder: str) -> list[RemoteEntry]:
        return [each for each in super().entries(folder) if not each.name.startswith(".")]


class LosesTheLastEntry(Folder):
    def entries(self, folder: str) -> list[RemoteEntry]:
        found = sorted(super().entries(folder), key=lambda each: each.name)
        return found[:-1] if len(found) > 1 else found


class ListsItself(Folder):
    def entries(self, folder: str) -> list[RemoteEntry]:
        return [RemoteEntry(".", "folder"), *super().entries(folder)]


class TruncatesSilently(Folder):
    def write(self, path: str, source: Source) -> None:
        left = 8 << 20

        def give(most: int) -> bytes:
            nonlocal left
            data = source(most)[:left]
            left -= len(data)
            return data

        super().write(path, give)


class SwallowsWhatFailsAtTheEnd(Folder):
    def write(self, path: str, source: Source) -> None:
        try:
            super().write(path, source)
        except RemoteFileError:
            return


class CopiesToRename(Folder):
    def rename(self, old: str, new: str, *, overwrite: bool = True) -> None:
        if not overwrite or old.endswith("none"):
            super().rename(old, new, overwrite=overwrite)
            return
        parts: list[bytes] = []
        self.read(old, lambda piece: parts.append(bytes(piece)))
        give = iter([*parts, b""])
        self.write(new, lambda _: next(give))


class RemovesBeforeItRenames(Folder):
    def rename(self, old: str, new: str, *, overwrite: bool = True) -> None:
        if overwrite:
            try:
                self.remove(new)
            except RemoteFileError:
                pass
        super().rename(old, new, overwrite=overwrite)


class RenamesInTheSameFolder(Folder):
    def rename(self, old: str, new: str, *, overwrite: bool = True) -> None:
        folder = self.split(old)[0]
        super().rename(old, self.join(folder, self.split(new)[1]), overwrite=overwrite)


class TimesAreNotSet(Folder):
    def set_mtime(self, path: str, mtime: float) -> None:
        self.stat(path)


class TimesInLocalTime(Folder):
    def set_mtime(self, path: str, mtime: float) -> None:
        super().set_mtime(path, mtime + 3600)


class ModesOfNothing(Folder):
    def chmod(self, path: str, mode: int) -> None:
        try:
            super().chmod(path, mode)
        except RemoteFileError:
            return


class LocksItselfOut(Folder):
    def chmod(self, path: str, mode: int) -> None:
        super().chmod(path, mode)
        super().rename(path, f"{path}.{mode:o}")


class RemembersTheHash(Folder):
    def __init__(self, init: ConnectorInit) -> None:
        super().__init__(init)
        self._hashes: dict[str, str | None] = {}

    def hash_at_peer(self, path: str) -> str | None:
        if path not in self._hashes:
            self._hashes[path] = super().hash_at_peer(path)
        return self._hashes[path]


class SeesItsOwnChangesOnly(Folder):
    def __init__(self, init: ConnectorInit) -> None:
        super().__init__(init)
        self._known: dict[str, RemoteEntry] = {}

    def stat(self, path: str, *, follow: bool = True) -> RemoteEntry:
        if path not in self._known:
            self._known[path] = super().stat(path, follow=follow)
        return self._known[path]

    def write(self, path: str, source: Source) -> None:
        self._known.clear()
        super().write(path, source)

    def remove(self, path: str) -> None:
        self._known.clear()
        super().remove(path)

    def rename(self, old: str, new: str, *, overwrite: bool = True) -> None:
        self._known.clear()
        super().rename(old, new, overwrite=overwrite)


class TogetherOverwrites(Folder):
    def written(self, file: PreparedFile, *, overwrite: bool) -> bool:
        del overwrite
        return super().written(file, overwrite=True)


class TogetherClaimsAll(Folder):
    def written(self, file: PreparedFile, *, overwrite: bool) -> bool:
        super().written(file, overwrite=overwrite)
        return True


class TogetherLosesTimes(Folder):
    def written(self, file: PreparedFile, *, overwrite: bool) -> bool:
        return super().written(PreparedFile(file.part, file.target, file.data, None), overwrite=overwrite)


class UploadsInPlace(Folder):
    def upload(self, local_path: str | Path, remote_path: str, **_more: Any) -> Any:
        self.mkdir_recursive(self.split(remote_path)[0])
        target = self._root / self.at(remote_path).strip("/")
        target.write_bytes(b"")
        target.write_bytes(Path(local_path).read_bytes())


class DownloadsInPlace(Folder):
    def download(self, remote_path: str, local_path: str | Path, **_more: Any) -> Any:
        with Path(local_path).open("wb") as file:
            file.write(self.read_bytes(remote_path))


class LeavesPartsBehind(Folder):
    def upload(self, local_path: str | Path, remote_path: str, **_more: Any) -> Any:
        part = self._root / self.at(f"{remote_path}.part").strip("/")
        part.parent.mkdir(parents=True, exist_ok=True)
        part.touch()
        shutil.copyfile(local_path, part)
        part.replace(self._root / self.at(remote_path).strip("/"))


class DeletesThroughLinks(Folder):
    def delete_recursive(self, remote_path: str) -> None:
        root = self._root / self.at(remote_path).strip("/")
        for path in [each for each in root.rglob("*") if each.is_symlink() and each.is_dir()]:
            for each in path.iterdir():
                each.unlink()
        super().delete_recursive(remote_path)


class DeletesByPrefix(Folder):
    def delete_recursive(self, remote_path: str) -> None:
        root = self._root / self.at(remote_path).strip("/")
        for each in root.parent.glob(f"{root.name}*"):
            shutil.rmtree(each)


class SizesOfFolders(Folder):
    def list(self, remote_dir: str) -> Any:
        found = super().list(remote_dir)
        return [
            RemoteFileMeta(path=each.path, name=each.name, is_dir=each.is_dir, size=each.size or 0) for each in found
        ]


class MixedUpThreads(Folder):
    """What is being written stands in an attribute."""

    def write(self, path: str, source: Source) -> None:
        self._path = path
        source = self._after_the_first(source)
        super().write(self._path, source)

    def _after_the_first(self, source: Source) -> Source:
        first = source(1 << 16)  # a server would be asked here, and threads change
        parts = iter([first])
        return lambda most: next(parts, None) or (source(most) if first else b"")


class ProbesNothing(Folder):
    def probe(self) -> None:
        pass


class InterruptEndsIt(Folder):
    def interrupt(self) -> None:
        self.close()
        self.open_session = self._ended  # type: ignore[method-assign]  # the fault under test

    def _ended(self) -> Any:
        raise ConnectorError("interrupted")


SUITES: dict[type, tuple[type, str]] = {Folder: (FolderSuite, "sftp")}

CAUGHT_BY: dict[type[Folder], str] = {
    AppendsOneTooEarly: "test_append_goes_on_after_what_is_there",
    AppendStartsAgain: "test_append_goes_on_after_what_is_there",
    ResumesOneTooLate: "test_a_part_is_read",
    HidesDotFiles: "test_names_are_used_byte_for_byte",
    LosesTheLastEntry: "test_entries_tell_files_and_folders",
    ListsItself: "test_entries_tell_files_and_folders",
    TruncatesSilently: "test_what_is_written_is_read[10485761]",
    SwallowsWhatFailsAtTheEnd: "test_what_is_missing_is_told_as_missing",
    CopiesToRename: "test_a_rename_moves_the_content",
    RemovesBeforeItRenames: "test_rename",
    RenamesInTheSameFolder: "test_a_rename_moves_the_content",
    TimesAreNotSet: "test_the_time_of_a_file_is_set",
    TimesInLocalTime: "test_the_time_of_a_file_is_set",
    ModesOfNothing: "test_permission_bits_are_set",
    LocksItselfOut: "test_permission_bits_are_set",
    RemembersTheHash: "test_the_hash_is_that_of_the_content",
    SeesItsOwnChangesOnly: "test_stat_tells_what_is_there_now",
    TogetherOverwrites: "test_many_small_files_are_written_together",
    TogetherClaimsAll: "test_many_small_files_are_written_together",
    TogetherLosesTimes: "test_many_small_files_are_written_together",
    UploadsInPlace: "test_a_failed_upload_keeps_the_old_file[missing]",
    DownloadsInPlace: "test_a_failed_download_keeps_the_old_file",
    LeavesPartsBehind: "test_a_failed_upload_keeps_the_old_file[missing]",
    DeletesThroughLinks: "test_delete_recursive_does_not_follow_links",
    DeletesByPrefix: "test_delete_recursive_removes_the_tree_and_nothing_beside_it",
    SizesOfFolders: "test_a_listing_is_one_level_and_complete",
    MixedUpThreads: "test_threads_do_not_mix_their_files",
    ProbesNothing: "test_probe_says_what_is_wrong",
    InterruptEndsIt: "test_interrupt_without_work_is_harmless",
}
"""Each connector, and a test of its suite that fails for it."""
