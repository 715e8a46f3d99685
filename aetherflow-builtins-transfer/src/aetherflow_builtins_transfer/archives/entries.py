"""The members of an archive, in the same form for every format."""

import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import BinaryIO, Literal, Protocol, Self, TypeAlias

MemberKind: TypeAlias = Literal["file", "folder", "symbolic link", "hard link", "device", "pipe", "socket"]

_KINDS: dict[int, MemberKind] = {
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
    """One member as the archive declares it; the declaration may be false."""

    name: str
    kind: MemberKind
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
        """Yield each member with a function that opens its content; call it before the next member is requested."""
        ...

    def declared(self) -> list[Member] | None:
        """All members, if the archive has a table of contents; None if it must be read sequentially."""
        ...

    def close(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def kind_of_mode(mode: int, *, is_dir: bool) -> MemberKind:
    """The kind of a member by its Unix mode; without a file type in it, by `is_dir`."""
    found = _KINDS.get(stat.S_IFMT(mode))
    return found or ("folder" if is_dir else "file")
