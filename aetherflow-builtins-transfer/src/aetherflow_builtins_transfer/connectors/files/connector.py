"""PooledFiles, the connectors of kind `sftp` and `smb`: the contract by sessions, and methods for steps of users."""

import builtins
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from aetherflow.core.api import PreparedFile, RemoteEntry, RemoteFileMeta, ResumableWriter
from aetherflow_builtins_transfer.connectors.files.options import ConfigT, FileOptions, OptionsT
from aetherflow_builtins_transfer.connectors.files.peer import OwnErrors, PeerConnector
from aetherflow_builtins_transfer.connectors.files.session import FileSession
from aetherflow_builtins_transfer.failures import shown
from aetherflow_builtins_transfer.moving.download import Check, PartFile
from aetherflow_builtins_transfer.moving.files import Files
from aetherflow_builtins_transfer.moving.upload import TransferResult
from aetherflow_builtins_transfer.paths import check_name

__all__ = ["FileOptions", "OptionsT", "PooledFiles", "SendsTogether", "SetsPermissions"]


class PooledFiles(PeerConnector[ConfigT, OptionsT]):
    """Files on a server: the contract `FileConnector`, and what `FileTransferSuite` lists, for steps of users.

    Thread-safe; up to `options.pool_size` threads work at the same time. Methods raise RemoteError.
    """

    # The contract; each is one request or one transfer, tried once

    def entries(self, folder: str) -> "builtins.list[RemoteEntry]":
        place = self.at(folder)
        return self.run("listing", folder, lambda session: session.entries(place))

    def stat(self, path: str, *, follow: bool = True) -> RemoteEntry:
        place = self.at(path)
        return self.run("looking at", path, lambda session: session.stat(place, follow=follow))

    def read(self, path: str, sink: Callable[[bytes], object], *, offset: int = 0, limit: int | None = None) -> None:
        place, stops, own = self.at(path), self._stops, OwnErrors()

        def take(data: bytes) -> None:
            with own:
                sink(data)
            self.pace(len(data), stops)

        self.run("reading", path, lambda session: session.fetch(place, offset, limit, take), own)

    def write(self, path: str, source: Callable[[int], bytes]) -> None:
        self.append(path, source, 0)

    def append(self, path: str, source: Callable[[int], bytes], offset: int) -> None:
        """As `AppendsFiles.append`, on a session of the pool."""
        place, stops, own = self.at(path), self._stops, OwnErrors()

        def give(size: int) -> bytes:
            with own:
                data = source(size)
            if data:
                self.pace(len(data), stops)
            return data

        self.run("writing", path, lambda session: session.store(place, offset, give), own)

    def rename(self, old: str, new: str, *, overwrite: bool = True) -> None:
        source, target = self.at(old), self.at(new)
        self.run("renaming", f"{old} to {new}", lambda session: session.rename(source, target, replace=overwrite))

    def remove(self, path: str) -> None:
        place = self.at(path)
        self.run("deleting", path, lambda session: session.remove(place))

    def make_folder(self, path: str) -> None:
        place = self.at(path)
        self.run("making the folder", path, lambda session: session.mkdir(place))

    def remove_folder(self, path: str) -> None:
        place = self.at(path)
        self.run("deleting", path, lambda session: session.rmdir(place))

    def set_mtime(self, path: str, mtime: float) -> None:
        """As `SetsMtime.set_mtime`, on a session of the pool."""
        place = self.at(path)
        self.run("setting the time of", path, lambda session: session.set_mtime(place, mtime))

    # For steps of users; what failed with a lost connection is repeated by options.retry

    def files(self) -> Files:
        """Whole files, as the steps move them."""
        return Files(self, partial(self.check, self._stops))

    def list(self, remote_dir: str) -> "builtins.list[RemoteFileMeta]":
        """The entries of one folder, one level, sorted by name; our unfinished files are left out."""
        return [
            RemoteFileMeta(
                path=self.join(remote_dir, each.name),
                name=each.name,
                is_dir=each.is_dir,
                size=None if each.is_dir else each.size,
                mtime=each.mtime,
            )
            for each in self.files().entries(remote_dir)
        ]

    def exists(self, remote_path: str) -> bool:
        """Whether there is a file or folder at the path."""
        return self.find(remote_path) is not None

    def find(self, remote_path: str) -> RemoteEntry | None:
        """What is at the path, links followed; None if there is nothing."""
        return self.files().look(remote_path)

    def read_bytes(self, remote_path: str) -> bytes:
        """The content of a file, read into memory."""
        return self.files().read_bytes(remote_path)

    def write_bytes(self, remote_path: str, data: bytes, *, key: str | None = None) -> None:
        """Write a complete file; missing parent folders are created. `key` as in `upload`."""
        self.files().write_bytes(remote_path, data, key=key)

    def upload(
        self,
        local_path: str | Path,
        remote_path: str,
        *,
        key: str | None = None,
        verify: bool = False,
        preserve_mtime: bool = False,
        mode: int | None = None,
        overwrite: bool = True,
        on_bytes: Callable[[int], None] | None = None,
    ) -> TransferResult:
        """Copy a local file to the server: under a temporary name, with its size checked, then renamed.

        Missing parent folders are created. `key` identifies the unfinished file, so that a later call with the same key
        continues it. `verify` reads the file back and compares its SHA-256. `on_bytes` is called with the size of each
        chunk and may raise.
        """
        return self.files().upload(
            Path(local_path),
            remote_path,
            key=key,
            verify=verify,
            preserve_mtime=preserve_mtime,
            mode=mode,
            overwrite=overwrite,
            on_bytes=on_bytes,
        )

    def download(self, remote_path: str, local_path: str | Path, *, preserve_mtime: bool = False) -> TransferResult:
        """Copy a file to a local one in an existing folder: under a temporary name, size checked, synced, renamed."""
        sink = PartFile(Path(local_path))
        try:
            moved = self.files().download_to(sink, remote_path)
            sink.publish(moved.mtime if preserve_mtime else None)
        finally:
            sink.discard()
        return moved

    def download_to(
        self,
        sink: ResumableWriter,
        remote_path: str,
        *,
        check: Check | None = None,
        on_bytes: Callable[[int], None] | None = None,
    ) -> TransferResult:
        """Copy a file to a sink, such as `ctx.resume_file` returns; its size is checked.

        Content of an earlier attempt in the sink is kept if it is of the same file. `check` is called with the complete
        file and may raise.
        """
        return self.files().download_to(sink, remote_path, check=check, on_bytes=on_bytes)

    def delete(self, remote_path: str) -> None:
        """Delete a file, a link or an empty folder."""

        def delete() -> None:
            if self.stat(remote_path, follow=False).is_dir:
                self.remove_folder(remote_path)
            else:
                self.remove(remote_path)

        self.calls().attempt("deleting", remote_path, delete)

    def mkdir(self, remote_dir: str) -> None:
        """Create one folder; an existing one is an error."""
        self.calls().attempt("making the folder", remote_dir, lambda: self.make_folder(remote_dir))

    def mkdir_recursive(self, remote_dir: str) -> None:
        """Create a folder and its missing parents; existing ones are no error."""
        self.files().make_folders(remote_dir)

    def delete_recursive(self, remote_path: str) -> None:
        """Delete a folder and its content.

        Links are removed, never followed; failures are reported together at the end.
        """
        failures: list[str] = []
        path = self.at(remote_path)

        def walk(session: FileSession, here: str) -> None:
            if session.stat(here, follow=False).kind != "folder":
                attempt(session.remove, here)
                return
            for entry in session.entries(here):
                check_name(entry.name, self.SEPARATOR, self.label)
                below = f"{here.rstrip(self.SEPARATOR)}{self.SEPARATOR}{entry.name}"
                if entry.kind == "folder":
                    walk(session, below)
                else:
                    attempt(session.remove, below)
            attempt(session.rmdir, here)

        def attempt(action: Callable[[str], None], what: str) -> None:
            self.check(stops)
            try:
                action(what)
            except Exception as error:
                fault = self.explain(error)
                if fault.kind == "lost":
                    raise
                failures.append(f"{shown(what)}: {fault.text}")

        stops = self._stops
        self.calls().attempt(
            "deleting",
            remote_path,
            lambda: self.run("deleting", remote_path, lambda session: walk(session, path)),
        )
        if failures:
            more = f" (and {len(failures) - 3} more)" if len(failures) > 3 else ""
            raise self.error("other", f"deleting {remote_path} left something behind: {'; '.join(failures[:3])}{more}")


class SetsPermissions(PooledFiles[ConfigT, OptionsT]):
    """Files that have permission bits."""

    def chmod(self, path: str, mode: int) -> None:
        """As `SetsMode.chmod`, on a session of the pool."""
        place = self.at(path)
        self.run("changing the mode of", path, lambda session: session.chmod(place, mode))


class SendsTogether(SetsPermissions[ConfigT, OptionsT]):
    """Files whose sessions can upload many small ones together."""

    def sends_together(self) -> bool:
        """Not with a bandwidth limit, which a batch would exceed in bursts."""
        return self.opts.max_bytes_per_second is None

    def write_together(
        self, files: Sequence[PreparedFile], *, overwrite: bool, mode: int | None = None
    ) -> Sequence[bool]:
        """As `WritesTogether.write_together`, all on one session."""
        placed = [PreparedFile(self.at(each.part), self.at(each.target), each.data, each.mtime) for each in files]
        doing = f"{files[0].target} and {len(files) - 1} more"
        return self.run("uploading to", doing, lambda session: session.store_all(placed, replace=overwrite, mode=mode))
