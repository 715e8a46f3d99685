"""What an archive says about its members, the same for every format."""

import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import BinaryIO, Literal, Protocol, Self, TypeAlias

Kind: TypeAlias = Literal["file", "folder", "symbolic link", "hard link", "device", "pipe", "socket"]

_KINDS: dict[int, Kind] = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "folder",
    stat.S_IFLNK: "symbolic link",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
    stat.S_IFIFO: "pipe",
    stat.S_IFSOCK: "socket",
}


@dataclass(frozen=True, slots=True)
class Member:
    """One member as the archive declares it, which need not be true."""

    name: str
    kind: Kind
    size: int
    packed: int | None = None
    """Compressed size; None where members are not compressed one by one."""
    executable: bool = False
    encrypted: bool = False


Opener: TypeAlias = Callable[[], BinaryIO]


class Reader(Protocol):
    packed: int
    """Size of the archive in bytes."""

    def members(self) -> Iterator[tuple[Member, Opener]]:
        """Each member with what opens its content, in the archive's order; open it before going on to the next."""
        ...

    def declared(self) -> list[Member] | None:
        """All members, if the archive has a table of contents; None if it has to be read through."""
        ...

    def close(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def kind_of_mode(mode: int, *, is_dir: bool) -> Kind:
    """Kind of a member whose Unix mode is known; without one a name that ends in `/` is a folder."""
    found = _KINDS.get(stat.S_IFMT(mode))
    return found or ("folder" if is_dir else "file")


@dataclass(frozen=True, slots=True)
class Source:
    """A file or an empty folder that goes into an archive."""

    path: str
    """Its absolute path on disk."""
    name: str
    """Its name in the archive, parts separated by `/`."""
    is_dir: bool = False
