"""The contract of connectors that reach files: what an author writes, and what an author may add."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol, runtime_checkable

from aetherflow.core.base.errors import ConnectorError
from aetherflow.core.contracts.backoff import Backoff
from aetherflow.core.contracts.connector import ConfigT, ConnectorBase, OptionsT

EntryKind = Literal["file", "folder", "link", "other"]
FileErrorKind = Literal["missing", "exists", "denied", "lost", "stopped", "other"]
"""`missing`: there is nothing at the path; `exists`: the name is taken; `denied`: the account lacks the right; `lost`:
the connection failed or broke, a later attempt may succeed; `stopped`: `interrupt` ended it; `other`: all else."""


@dataclass(frozen=True, slots=True)
class RemoteEntry:
    """What is at a path: its name without folders, its kind, size in bytes, mtime in Unix seconds; None if unknown."""

    name: str
    kind: EntryKind
    size: int | None = None
    mtime: float | None = None

    @property
    def is_dir(self) -> bool:
        """Whether it is a folder."""
        return self.kind == "folder"


@dataclass(frozen=True, slots=True)
class PreparedFile:
    """A small file in memory: temporary path, final path, content, and the mtime to set; None leaves it."""

    part: str
    target: str
    data: bytes
    mtime: float | None


class RemoteFileError(ConnectorError):
    """A file operation failed. `kind` decides what the steps do.

    The message says what the peer refuses or answers. The steps add resource, action and path; where the message names
    these already, `reason` is the part that they repeat.
    """

    def __init__(
        self, message: str, *, kind: FileErrorKind = "other", fix: str = "", reason: str = "", unsent: bool = False
    ) -> None:
        super().__init__(message, fix=fix)
        self.kind: FileErrorKind = kind
        self.reason = reason or message
        self.unsent = unsent
        """True if nothing was asked of the peer, such as after a failed login; then any request may be repeated."""


class FileConnector(ConnectorBase[ConfigT, OptionsT], ABC):
    """Files at a peer: a server, a share, an object store. All built-in steps for files work over it.

    **Paths** are texts in the form that flows write. `""` is the folder where the peer begins. A step makes a path only
    by `join` and `split`. A name is used byte for byte: it is no pattern, and no escape.

    **Errors**: a RemoteFileError with its kind, or an OSError, which counts by its class and number: FileNotFoundError
    is `missing`, FileExistsError `exists`, PermissionError `denied`, ConnectionError, TimeoutError and EOFError `lost`.
    Anything else counts as `other`. What `sink` and `source` raise goes through unchanged.

    **Threads**: every method may be called by several threads at once; one that cannot work in parallel waits for its
    lock. `interrupt` and `close` come from another thread than the one that works, whose call then fails.

    **Attempts**: a method tries once. The steps repeat what failed with `lost`, as `retry` says.
    """

    SEPARATOR: ClassVar[str] = "/"
    """Stands between the names of a path; no name holds it."""
    WRITES_WHOLE: ClassVar[bool] = False
    """True if a file that `write` makes appears when all of it has arrived, and what it replaces stays until then, as
    in object stores. The steps then write to the final name; otherwise to a temporary one, which they rename."""

    @property
    def retry(self) -> Backoff:
        """Attempts for what failed with `lost`; the default is one."""
        return Backoff()

    # Paths

    def join(self, folder: str, name: str) -> str:
        """The path of a name, or of names with `/` between them, in a folder; with `name` empty a prefix of those."""
        if not folder:
            return name
        return folder + name if folder.endswith(("/", self.SEPARATOR)) else f"{folder}/{name}"

    def split(self, path: str) -> tuple[str, str]:
        """The folder and the name of a path; the name is empty for the topmost folder. `join` undoes it.

        Raises RemoteFileError if the path is not valid.
        """
        folder, slash, name = path.rstrip("/").rpartition("/")
        return folder or slash, name

    def identity(self, path: str) -> str:
        """A text that is equal for all spellings of a path to the same file. RemoteFileError if it is not valid."""
        return path

    def can_name(self, name: str) -> bool:
        """Whether a listed name can be used in a path; files with other names are left out, with a warning."""
        del name
        return True

    # Primitives

    @abstractmethod
    def entries(self, folder: str) -> Sequence[RemoteEntry]:
        """The entries of one folder, all of them, without `.` and `..`, in any order; links are not followed."""

    @abstractmethod
    def stat(self, path: str, *, follow: bool = True) -> RemoteEntry:
        """What is at the path now, not from a cache. `follow`: of a link, what it leads to. Raises `missing`."""

    @abstractmethod
    def read(self, path: str, sink: Callable[[bytes], object], *, offset: int = 0, limit: int | None = None) -> None:
        """Call `sink` with a file's content from byte `offset` on: all of it, or `limit` bytes; in order, in pieces.

        At or beyond the end it calls nothing. `sink` copies what it keeps: a piece may be a view of a buffer that is
        used again. `sink` may raise; the read then ends, and the error goes through.
        """

    @abstractmethod
    def write(self, path: str, source: Callable[[int], bytes]) -> None:
        """Make a file, or replace its content, by the bytes of `source(most)`, which gives at most so many, b"" last.

        On return the peer has acknowledged every byte. The folder exists, otherwise it raises `missing`.
        """

    @abstractmethod
    def rename(self, old: str, new: str, *, overwrite: bool = True) -> None:
        """Give a file another path in an existing folder. The content stays as it is, and no bytes pass through here.

        `overwrite` replaces a file of that name, in one operation if the peer can; otherwise it raises `exists`.
        """

    @abstractmethod
    def remove(self, path: str) -> None:
        """Remove a file, or a link itself; never a folder. Raises `missing`."""

    @abstractmethod
    def make_folder(self, path: str) -> None:
        """Make one folder. Raises `exists` if the name is taken, `missing` if the folder above is not there.

        An object store without folders does nothing.
        """

    @abstractmethod
    def remove_folder(self, path: str) -> None:
        """Remove an empty folder; a folder with content is an error. An object store without folders does nothing."""


# Capabilities: a connector has one if its class has the methods.


@runtime_checkable
class AppendsFiles(Protocol):
    """Interrupted uploads continue where they were cut."""

    def append(self, path: str, source: Callable[[int], bytes], offset: int) -> None:
        """Like `write`, after the first `offset` bytes of a file, which are there and stay."""


@runtime_checkable
class WritesTogether(Protocol):
    """Many small files are uploaded with few round trips."""

    def sends_together(self) -> bool:
        """Whether `write_together` may be used, with the settings of this resource."""

    def write_together(
        self, files: Sequence[PreparedFile], *, overwrite: bool, mode: int | None = None
    ) -> Sequence[bool]:
        """Write each file to `part`, compare its size, set its mtime and mode, and rename it to `target`.

        Returns for each file whether it arrived; the steps send the others alone. An error tells nothing of any.
        """


@runtime_checkable
class SetsMtime(Protocol):
    """Uploaded files keep the time of their last change."""

    def set_mtime(self, path: str, mtime: float) -> None:
        """Set the time of a file's last change, in Unix seconds."""


@runtime_checkable
class SetsMode(Protocol):
    """Uploaded files get permission bits: the input `mode`."""

    def chmod(self, path: str, mode: int) -> None:
        """Set the permission bits of a file."""


@runtime_checkable
class HashesFiles(Protocol):
    """`verify: sha256` compares without reading the file back."""

    def hash_at_peer(self, path: str) -> str | None:
        """The SHA-256 of the content as the peer computes it now, in hexadecimal; None: it does not know it."""
