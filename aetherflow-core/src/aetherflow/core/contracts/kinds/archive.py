"""The contract of a connector of kind `archive`: a way to pack and unpack files of this machine."""

import subprocess
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, ClassVar, Literal, Protocol, TypeAlias

from aetherflow.core.contracts.connector import ConfigT, ConnectorBase, OptionsT

ArchiveFormat: TypeAlias = Literal["zip", "tar", "tar.gz", "tar.zst"]


@dataclass(frozen=True, slots=True)
class ArchiveInput:
    """A file or an empty folder that goes into an archive."""

    path: str
    """The absolute path of the file on disk."""
    name: str
    """The name in the archive, with `/` as separator."""
    is_dir: bool = False


@dataclass(frozen=True, slots=True)
class Packing:
    """The settings for writing an archive."""

    form: ArchiveFormat = "zip"
    compression: Literal["deflated", "stored"] = "deflated"
    optimize: Literal["speed", "size"] = "speed"
    keep_times: bool = False
    """Whether members have the times of their files; else a fixed one, so that equal files give equal archives."""
    password: str | None = None


class ExtractLimits(Protocol):
    """The most that an archive may unpack to: members, bytes, and times its own size."""

    @property
    def max_members(self) -> int: ...
    @property
    def max_total_bytes(self) -> int: ...
    @property
    def max_ratio(self) -> float: ...


@dataclass(frozen=True, slots=True)
class ExtractRules:
    """The limits and options for unpacking an archive."""

    limits: ExtractLimits
    password: str | None = None
    members: Sequence[str] | None = None
    """Names or patterns of the members to unpack; None for all."""
    allow_case_collisions: bool = False


@dataclass(frozen=True, slots=True)
class Unpacked:
    """One member that passed all checks."""

    name: PurePosixPath
    """The path relative to the destination."""
    size: int
    is_dir: bool = False
    encrypted: bool = False
    packed: int | None = None


class ProgramTools(Protocol):
    """Starts and ends programs; the run supervises them."""

    def start(self, argv: Sequence[str], cwd: Path, env: Mapping[str, str]) -> "subprocess.Popen[bytes]":
        """Start a program with its output on pipes; OSError if that fails."""
        ...

    def end(self, process: "subprocess.Popen[bytes]") -> None:
        """End a program and its child processes."""
        ...

    def check(self) -> None:
        """Raise if the work must stop."""
        ...

    def environment(self) -> Mapping[str, str]:
        """The variables that a program is given by default."""


class ArchiveWork(Protocol):
    """The hooks for creating or unpacking an archive."""

    @property
    def tick(self) -> Callable[[int], None]:
        """To be called with the number of bytes done so far; raises if the run is being stopped."""
        ...

    @property
    def tools(self) -> ProgramTools: ...


class ArchiveConnector(ConnectorBase[ConfigT, OptionsT], ABC):
    """A way to pack and unpack files. `zip` and `unzip` need nothing else.

    The steps choose and check the files, publish what was made as a whole, and clean up. Both methods may be called by
    several threads. What `work.tick` and `work.tools.check` raise goes through unchanged.
    """

    FORMATS: ClassVar[tuple[ArchiveFormat, ...]] = ("zip",)
    """What it writes; empty if that is not known."""

    @abstractmethod
    def create(self, sink: BinaryIO, sources: Sequence[ArchiveInput], how: Packing, work: ArchiveWork) -> None:
        """Write an archive of the sources to a stream that cannot be read or rewound.

        ConnectorError if the driver cannot do what `how` asks, such as a format or a password.
        """

    @abstractmethod
    def extract(self, archive: Path, into: Path, rules: ExtractRules, work: ArchiveWork) -> Sequence[Unpacked]:
        """Unpack an archive into an empty folder; returns what is in it.

        ConnectorError for a damaged archive, a wrong password, an exceeded limit, a member that is absolute, has `..`,
        comes twice, or is neither file nor folder. The caller then deletes what was written.
        """
