from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from pydantic import Field

from aetherflow.core.api import ArchiveInput, ArchiveWork, ConnectorConfig, ExtractRules, Packing, Unpacked, require
from aetherflow_builtins_transfer.connectors.archive.base import ArchiveBase, NoOptions, stream, workspace


class Config(ConnectorConfig):
    level: int = Field(5, ge=1, le=9, description="1: fast, 9: small.")


class PyminizipConnector(ArchiveBase[Config, NoOptions]):
    """Writes zip archives with the old ZipCrypto encryption, for receivers that cannot open AES; it cannot read.

    The encryption is weak: anyone who knows a part of a file can open the archive. No extra brings the package
    pyminizip, which has to be compiled: build a wheel of its source, and install that file.

        resources:
          packing: {kind: archive, driver: pyminizip}
    """

    FORMATS = ("zip",)
    requires = ("pyminizip",)

    def create(self, sink: BinaryIO, sources: Sequence[ArchiveInput], how: Packing, work: ArchiveWork) -> None:
        """Write an archive through a temporary file in a private folder."""
        self.only_zip(how)
        if how.password is None:
            raise self.refuse("it writes encrypted archives only", "give a password, or use the driver zipfile")
        files = [source for source in sources if not source.is_dir]
        if len(files) < len(sources) or not files:
            raise self.refuse("it can store neither empty folders nor nothing at all", "use the driver pyzipper")
        module = require("pyminizip")
        with workspace() as folder:
            output = folder / "archive.zip"
            ordered = sorted(files, key=lambda source: source.name.encode())
            paths = [source.path for source in ordered]
            folders = [str(Path(source.name).parent) if "/" in source.name else "" for source in ordered]
            try:
                module.compress_multiple(paths, folders, str(output), how.password, self.conf.level)
            except (OSError, ValueError, RuntimeError) as error:
                raise self.refuse(f"pyminizip failed: {error}") from error
            stream(output, sink, work.tools)

    def extract(self, archive: Path, into: Path, rules: ExtractRules, work: ArchiveWork) -> list[Unpacked]:
        """Always a ConnectorError: pyminizip only writes."""
        del archive, into, rules, work
        raise self.refuse("it cannot unpack", "use the driver zipfile or pyzipper")
