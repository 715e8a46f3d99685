"""Files at a peer as the steps use them: whole files, by any connector that implements `FileConnector`."""

from collections.abc import Callable, Sequence
from pathlib import Path

from aetherflow.core.api import RemoteEntry, ResumableWriter, WritesTogether, wrong_result
from aetherflow_builtins_transfer.failures import RemoteError
from aetherflow_builtins_transfer.moving.calls import Calls
from aetherflow_builtins_transfer.moving.download import Check, Download
from aetherflow_builtins_transfer.moving.upload import TransferResult, Upload, make_folders, sha256_at_peer
from aetherflow_builtins_transfer.moving.upload_batch import BatchUpload, SmallFile
from aetherflow_builtins_transfer.paths import check_name, is_part


class Files(Calls):
    """The files of one resource. Thread-safe. Methods raise RemoteError."""

    # Paths

    @property
    def kind(self) -> str:
        """The kind of the resource."""
        return self.connector.kind

    def join(self, folder: str, name: str) -> str:
        """The path of a name in a folder."""
        return self.connector.join(folder, name)

    def split(self, path: str) -> tuple[str, str]:
        """The folder and the name of a path."""
        return self.connector.split(path)

    def identity(self, path: str) -> str:
        """A text that is equal for all spellings of a path."""
        return self.connector.identity(path)

    def can_name(self, name: str) -> bool:
        """Whether a path that contains this name is valid."""
        return self.connector.can_name(name)

    # Looking

    def entries(self, folder: str) -> list[RemoteEntry]:
        """The entries of one folder, sorted by name; links are not followed, our unfinished files are left out."""
        found = self.attempt("listing", folder, lambda: self._entries(folder), again=True)
        for entry in found:
            check_name(entry.name, self.connector.SEPARATOR, self.label)
        return sorted((each for each in found if not is_part(each.name)), key=lambda each: each.name)

    def names_in(self, folder: str) -> frozenset[str]:
        """All names in a folder, including our unfinished files; empty if the folder does not exist."""
        try:
            found = self.attempt("listing", folder, lambda: self._entries(folder), again=True)
        except RemoteError as error:
            if error.kind == "missing":
                return frozenset()
            raise
        return frozenset(each.name for each in found)

    def stat(self, path: str, *, follow: bool = True) -> RemoteEntry:
        """What is at a path, links followed unless `follow` is false; RemoteError of kind `missing` if nothing."""
        return self.attempt("looking at", path, lambda: self.stat_once(path, follow=follow), again=True)

    def _entries(self, folder: str) -> Sequence[RemoteEntry]:
        found: object = self.connector.entries(folder)
        if not isinstance(found, Sequence) or not all(isinstance(each, RemoteEntry) for each in found):
            raise wrong_result(self.connector, "entries", found, "a list of RemoteEntry")
        return found

    def look(self, path: str, *, follow: bool = True) -> RemoteEntry | None:
        """What is at a path, with or without following a link; None if there is nothing."""
        try:
            return self.stat(path, follow=follow)
        except RemoteError as error:
            if error.kind == "missing":
                return None
            raise

    # Content

    def read_bytes(self, path: str) -> bytes:
        """The content of a file, read into memory."""

        def read() -> bytes:
            found: list[bytes] = []
            self.connector.read(path, lambda data: found.append(bytes(data)))
            return b"".join(found)

        return self.attempt("reading", path, read, again=True)

    def read_to(self, path: str, write: Callable[[bytes], object]) -> None:
        """Call `write` with the content of a file, piece by piece; after an error the pieces are incomplete."""
        self.attempt("reading", path, lambda: self.connector.read(path, lambda data: write(bytes(data))))

    def sha256(self, path: str) -> str:
        """SHA-256 of a file, in hexadecimal; the file is read unless the peer computes it."""
        return self.attempt("reading", path, lambda: sha256_at_peer(self, path), again=True)

    def write_bytes(self, path: str, data: bytes, *, key: str | None = None) -> None:
        """Write a complete file; missing parent folders are created. `key` as in `upload`."""
        Upload.of_bytes(self, data, path, key).run()

    def upload(
        self,
        local: Path,
        path: str,
        *,
        key: str | None = None,
        resume: bool = True,
        verify: bool = False,
        preserve_mtime: bool = False,
        mode: int | None = None,
        overwrite: bool = True,
        on_bytes: Callable[[int], None] | None = None,
    ) -> TransferResult:
        """Copy a local file to the peer: under a temporary name, with its size checked, then renamed.

        Missing parent folders are created. `key` identifies the unfinished file, so that a later call with the same key
        continues it; `resume=False` means that there is none, which saves a request. `verify` compares its SHA-256.
        `on_bytes` is called with the size of each chunk and may raise.
        """
        upload = Upload.of_file(self, local, path, key)
        upload.resume = resume
        upload.verify, upload.mode, upload.overwrite, upload.on_bytes = verify, mode, overwrite, on_bytes
        upload.preserve_mtime = preserve_mtime
        return upload.run()

    @property
    def sends_together(self) -> bool:
        """Whether `upload_all` may be used."""
        return isinstance(self.connector, WritesTogether) and self.connector.sends_together()

    def upload_all(
        self,
        files: Sequence[SmallFile],
        *,
        preserve_mtime: bool = False,
        mode: int | None = None,
        overwrite: bool = True,
    ) -> list[TransferResult | None]:
        """Copy small files to the peer together, each like `upload`; None for a file that must be sent by `upload`.

        After a RemoteError some files may have arrived.
        """
        if not isinstance(self.connector, WritesTogether):
            return [None] * len(files)
        return BatchUpload(self, self.connector, files, preserve_mtime, mode, overwrite).run()

    def download_to(
        self,
        sink: ResumableWriter,
        path: str,
        *,
        check: Check | None = None,
        on_bytes: Callable[[int], None] | None = None,
    ) -> TransferResult:
        """Copy a file to a sink, such as `ctx.resume_file` returns; its size is checked.

        Content of an earlier attempt in the sink is kept if it is of the same file: path, size and time are compared,
        and the last bytes of that content. `check` is called with the complete file and may raise.
        """
        return Download(self, path, sink, check, on_bytes).run()

    # Changing

    def rename(self, old: str, new: str, *, overwrite: bool = True) -> None:
        """Rename a file; an existing target is replaced, or with `overwrite=False` is an error."""
        self.attempt("renaming", f"{old} to {new}", lambda: self.connector.rename(old, new, overwrite=overwrite))

    def remove(self, path: str) -> None:
        """Remove a file, or a link itself."""
        self.attempt("deleting", path, lambda: self.connector.remove(path))

    def make_folders(self, path: str) -> None:
        """Create a folder and its missing parents; existing ones are no error."""
        self.attempt("making the folder", path, lambda: make_folders(self, path), again=True)
