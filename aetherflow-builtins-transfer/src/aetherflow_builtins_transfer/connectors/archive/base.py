"""The base class of all archive connectors."""

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, TypeVar, cast

from pydantic import Field

from aetherflow.core.api import (
    ArchiveConnector,
    ArchiveFormat,
    ArchiveInput,
    ConnectorConfig,
    ConnectorError,
    ConnectorOptions,
    ExtractRules,
    Packing,
    ProgramTools,
    Unpacked,
)
from aetherflow_builtins_transfer.archives.limits import Limits
from aetherflow_builtins_transfer.archives.pack import Compression
from aetherflow_builtins_transfer.archives.tools import Work
from aetherflow_builtins_transfer.paths import part_name

ConfigT = TypeVar("ConfigT", bound=ConnectorConfig)
OptionsT = TypeVar("OptionsT", bound=ConnectorOptions)


class NoConfig(ConnectorConfig):
    """Config of a driver without settings."""


class NoOptions(ConnectorOptions):
    """Options of a driver that has none."""


class ToolOptions(ConnectorOptions):
    timeout: float | None = Field(None, gt=0, description="Seconds after which the program is ended; null: no limit.")


class ArchiveBase(ArchiveConnector[ConfigT, OptionsT]):
    """Implements the connector contract on top of `create` and `extract` of a subclass."""

    FORMATS: ClassVar[tuple[ArchiveFormat, ...]] = ("zip", "tar", "tar.gz", "tar.zst")

    def create_zip(
        self,
        *,
        output: str | Path,
        files: Sequence[str | Path],
        base_dir: str | Path,
        password: str | None = None,
        compression: Compression = "deflated",
        overwrite: bool = True,
    ) -> dict[str, Any]:
        """Create a zip archive of files below `base_dir`. It appears under its name only when it is complete."""
        target, base = Path(output).absolute(), Path(base_dir).absolute()
        if compression not in ("deflated", "stored"):
            raise self.refuse(f"compression {compression!r} is unknown", "deflated and stored are known")
        if target.exists() and not overwrite:
            raise self.refuse(f"{target} exists", "overwrite: true replaces it")
        sources = [self._source(Path(file).absolute(), base) for file in files]
        part = target.with_name(part_name(target.name))
        try:
            with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as sink:
                self.create(cast(BinaryIO, sink), sources, Packing(compression=compression, password=password), Work())
                sink.flush()
                os.fsync(sink.fileno())
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
        return {"output": str(target), "count": len(sources), "password": password is not None, "driver": self.driver}

    def extract_zip(
        self,
        *,
        archive: str | Path,
        dest_dir: str | Path,
        password: str | None = None,
        overwrite: bool = True,
        members: Sequence[str] | None = None,
    ) -> dict[str, Any]:
        """Unpack an archive; nothing is written if any member is refused."""
        target = Path(dest_dir).absolute()
        target.mkdir(parents=True, exist_ok=True)
        rules = ExtractRules(Limits(), password, members)
        with tempfile.TemporaryDirectory(prefix=".aetherflow-", suffix=".part", dir=target) as staged:
            found = self.extract(Path(archive), Path(staged), rules, Work())
            written = [each for each in found if self._place(Path(staged), target, each, overwrite)]
        files = [str(target / each.name) for each in written if not each.is_dir]
        return {"dest_dir": str(target), "files": files, "password": password is not None, "driver": self.driver}

    def probe(self) -> None:
        """ConnectorError if a library or program of the driver is missing; here there is nothing to check."""

    def refuse(self, message: str, fix: str = "") -> ConnectorError:
        """A ConnectorError that names the resource, for the caller to raise."""
        return ConnectorError(f"resource {self.name} ({self.kind}:{self.driver}): {message}", fix=fix)

    def only_zip(self, how: Packing) -> None:
        """Raise ConnectorError for a format that the driver cannot write."""
        if how.form not in self.FORMATS:
            raise self.refuse(f"it cannot write {how.form}", "the drivers zipfile and pyzipper write tar archives")

    def _source(self, path: Path, base: Path) -> ArchiveInput:
        if not path.resolve().is_relative_to(base.resolve()):
            raise self.refuse(f"{path} does not lie under {base}")
        name = Path(os.path.normpath(path)).relative_to(os.path.normpath(base)).as_posix()
        return ArchiveInput(str(path), name, path.is_dir())

    def _place(self, staged: Path, target: Path, found: Unpacked, overwrite: bool) -> bool:
        final = target / found.name
        folder = final if found.is_dir else final.parent
        folder.mkdir(parents=True, exist_ok=True)
        if not folder.resolve().is_relative_to(target.resolve()):
            raise self.refuse(f"{folder} leads out of {target}", "remove the link in the destination")
        if found.is_dir or (final.exists() and not overwrite):
            return False
        (staged / found.name).replace(final)
        return True


@contextmanager
def workspace() -> Iterator[Path]:
    """A private folder for temporary files of programs; it is removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="aetherflow-") as folder:
        yield Path(folder)


def stream(path: Path, sink: BinaryIO, tools: ProgramTools) -> None:
    """Copy a file that a program wrote to the sink."""
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            tools.check()
            sink.write(chunk)


def need_program(connector: ArchiveBase[Any, Any], command: str) -> str:
    """The full path of a program; ConnectorError if it is not installed."""
    found = shutil.which(command)
    if found is None:
        raise connector.refuse(f"the program {command} is not installed", "install it, or use the driver pyzipper")
    return found
