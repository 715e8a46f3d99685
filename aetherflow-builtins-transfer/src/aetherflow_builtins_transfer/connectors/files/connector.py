"""FileConnector, the interface of all connectors of kind `sftp` and `smb`."""

import builtins
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

from aetherflow.core.api import RemoteFileMeta, ResumableWriter
from aetherflow_builtins_transfer.connectors.files.download import Check, Download, PartFile
from aetherflow_builtins_transfer.connectors.files.options import ConfigT, FileOptions, OptionsT
from aetherflow_builtins_transfer.connectors.files.peer import PeerConnector
from aetherflow_builtins_transfer.connectors.files.session import FileSession, RemoteEntry
from aetherflow_builtins_transfer.connectors.files.upload import TransferResult, Upload
from aetherflow_builtins_transfer.connectors.files.upload_batch import BatchUpload, SmallFile
from aetherflow_builtins_transfer.failures import RemoteError, shown
from aetherflow_builtins_transfer.paths import check_name, is_part

__all__ = ["FileConnector", "FileOptions", "OptionsT"]


class FileConnector(PeerConnector[ConfigT, OptionsT]):
    """Files on a server: the contract that FileTransferSuite checks, and further methods for the steps.

    Thread-safe; up to `options.pool_size` threads work at the same time. Methods raise RemoteError.
    """

    BATCHES = False
    """Whether its sessions can upload many small files together."""

    @property
    def sends_together(self) -> bool:
        """Whether `upload_all` may be used; not with a bandwidth limit, which a batch would exceed in bursts."""
        return self.BATCHES and self.opts.max_bytes_per_second is None

    # Listing and looking

    def entries(self, remote_dir: str) -> "list[RemoteEntry]":
        """The entries of one folder, sorted by name; links are not followed, our unfinished files are left out."""
        folder = self.at(remote_dir)
        found = self.run("listing", remote_dir, lambda session: session.entries(folder), again=True)
        for entry in found:
            check_name(entry.name, self.SEPARATOR, self.label)
        return sorted((each for each in found if not is_part(each.name)), key=lambda each: each.name)

    def list(self, remote_dir: str) -> "list[RemoteFileMeta]":
        """The entries of one folder, one level, sorted by name."""
        return [
            RemoteFileMeta(
                path=self.join(remote_dir, each.name),
                name=each.name,
                is_dir=each.kind == "folder",
                size=None if each.kind == "folder" else each.size,
                mtime=each.mtime,
            )
            for each in self.entries(remote_dir)
        ]

    @staticmethod
    def can_name(name: str) -> bool:
        """Whether a path that contains this name is valid for the other methods."""
        del name
        return True

    @staticmethod
    def join(remote_dir: str, name: str) -> str:
        """The path of a name in a folder, in the user's form."""
        if not remote_dir:
            return name
        return remote_dir + name if remote_dir[-1] in "/\\" else f"{remote_dir}/{name}"

    def stat(self, remote_path: str) -> RemoteFileMeta:
        """The file or folder at a path, links followed; RemoteError of kind `missing` if there is none."""
        path = self.at(remote_path)
        found = self.run("looking at", remote_path, lambda session: session.stat(path), again=True)
        return RemoteFileMeta(
            path=remote_path,
            name=found.name,
            is_dir=found.kind == "folder",
            size=None if found.kind == "folder" else found.size,
            mtime=found.mtime,
        )

    def exists(self, remote_path: str) -> bool:
        """Whether there is a file or folder at the path."""
        return self.find(remote_path) is not None

    def find(self, remote_path: str) -> RemoteFileMeta | None:
        """The result of `stat`, None if there is nothing at the path."""
        try:
            return self.stat(remote_path)
        except RemoteError as error:
            if error.kind == "missing":
                return None
            raise

    def look(self, remote_path: str, *, follow: bool = True) -> RemoteEntry | None:
        """The entry at a path, with or without following a link; None if there is none."""
        path = self.at(remote_path)
        try:
            return self.run("looking at", remote_path, lambda session: session.stat(path, follow=follow), again=True)
        except RemoteError as error:
            if error.kind == "missing":
                return None
            raise

    # Content

    def read_bytes(self, remote_path: str) -> bytes:
        """The content of a file, read into memory."""

        def read(session: FileSession) -> bytes:
            found: list[bytes] = []
            self._fetch(session, remote_path, found.append)
            return b"".join(found)

        return self.run("reading", remote_path, read, again=True)

    def sha256(self, remote_path: str) -> str:
        """SHA-256 of a file, in hexadecimal; the whole file is read."""

        def read(session: FileSession) -> str:
            digest = hashlib.sha256()
            self._fetch(session, remote_path, digest.update)
            return digest.hexdigest()

        return self.run("reading", remote_path, read, again=True)

    def read_to(self, remote_path: str, write: Callable[[bytes], object]) -> None:
        """Call `write` with the content of a file, piece by piece; after an error the pieces are incomplete."""
        self.run("reading", remote_path, lambda session: self._fetch(session, remote_path, write))

    def _fetch(self, session: FileSession, remote_path: str, write: Callable[[bytes], object]) -> None:
        stops = self._stops

        def take(data: bytes) -> None:
            write(bytes(data))  # sessions may pass a view of their buffer
            self.pace(len(data), stops)

        session.fetch(self.at(remote_path), 0, None, take)

    def write_bytes(self, remote_path: str, data: bytes, *, key: str | None = None) -> None:
        """Write a complete file; missing parent folders are created. `key` as in `upload`."""
        Upload.of_bytes(self, data, remote_path, key).run()

    def upload(
        self,
        local_path: str | Path,
        remote_path: str,
        *,
        key: str | None = None,
        resume: bool = True,
        verify: bool = False,
        preserve_mtime: bool = False,
        mode: int | None = None,
        overwrite: bool = True,
        on_bytes: Callable[[int], None] | None = None,
    ) -> TransferResult:
        """Copy a local file to the server: under a temporary name, with its size checked, then renamed.

        Missing parent folders are created. `key` identifies the unfinished file, so that a later call with the same key
        continues it; `resume=False` means that there is none, which saves a request. `verify` reads the file back and
        compares its SHA-256. `on_bytes` is called with the size of each chunk and may raise.
        """
        upload = Upload.of_file(self, Path(local_path), remote_path, key)
        upload.resume = resume
        upload.verify, upload.mode, upload.overwrite, upload.on_bytes = verify, mode, overwrite, on_bytes
        upload.preserve_mtime = preserve_mtime
        return upload.run()

    def upload_all(
        self,
        files: "Sequence[SmallFile]",
        *,
        preserve_mtime: bool = False,
        mode: int | None = None,
        overwrite: bool = True,
    ) -> "builtins.list[TransferResult | None]":
        """Copy small files to the server together, each like `upload`; None for a file that must be sent by `upload`.

        Only if `sends_together` is true. After a RemoteError some files may have arrived.
        """
        return BatchUpload(self, files, preserve_mtime, mode, overwrite).run()

    def download(self, remote_path: str, local_path: str | Path, *, preserve_mtime: bool = False) -> TransferResult:
        """Copy a file to a local one in an existing folder: under a temporary name, size checked, synced, renamed."""
        sink = PartFile(Path(local_path))
        try:
            moved = Download(self, remote_path, sink).run()
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

        Content of an earlier attempt in the sink is kept if it is of the same file: path, size and time are compared,
        and the last bytes of that content. `check` is called with the complete file and may raise.
        """
        return Download(self, remote_path, sink, check, on_bytes).run()

    # Changing

    def rename(self, old_path: str, new_path: str, *, overwrite: bool = True) -> None:
        """Rename a file; an existing target is replaced atomically, or with `overwrite=False` is an error."""
        old, new = self.at(old_path), self.at(new_path)
        self.run("renaming", f"{old_path} to {new_path}", lambda session: session.rename(old, new, replace=overwrite))

    def delete(self, remote_path: str) -> None:
        """Delete a file, a link or an empty folder."""
        path = self.at(remote_path)

        def delete(session: FileSession) -> None:
            if session.stat(path, follow=False).kind == "folder":
                session.rmdir(path)
            else:
                session.remove(path)

        self.run("deleting", remote_path, delete)

    def mkdir(self, remote_dir: str) -> None:
        """Create one folder; an existing one is an error."""
        path = self.at(remote_dir)
        self.run("making the folder", remote_dir, lambda session: session.mkdir(path))

    def mkdir_recursive(self, remote_dir: str) -> None:
        """Create a folder and its missing parents; existing ones are no error."""
        path = self.at(remote_dir)
        self.run("making the folder", remote_dir, lambda session: self.make_folders(session, path), again=True)

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
        self.run("deleting", remote_path, lambda session: walk(session, path))
        if failures:
            more = f" (and {len(failures) - 3} more)" if len(failures) > 3 else ""
            raise self.error("other", f"deleting {remote_path} left something behind: {'; '.join(failures[:3])}{more}")

    def chmod(self, remote_path: str, mode: int) -> None:
        """Set the permission bits of a file."""
        path = self.at(remote_path)
        self.run("changing the mode of", remote_path, lambda session: session.chmod(path, mode))

    def set_mtime(self, remote_path: str, mtime: float) -> None:
        """Set the time of a file's last change, in Unix seconds."""
        path = self.at(remote_path)
        self.run("setting the time of", remote_path, lambda session: session.set_mtime(path, mtime))

    # Unfinished files; `folder` is in the driver's form

    def names_in(self, folder: str) -> frozenset[str]:
        """All names in a folder, including our unfinished files; empty if the folder does not exist."""
        try:
            found = self.run("listing", folder, lambda session: session.entries(folder), again=True)
        except RemoteError as error:
            if error.kind == "missing":
                return frozenset()
            raise
        return frozenset(each.name for each in found)

    def remove_leftover(self, folder: str, name: str) -> None:
        path = f"{folder.rstrip(self.SEPARATOR)}{self.SEPARATOR}{name}"
        self.run("deleting", path, lambda session: session.remove(path))
