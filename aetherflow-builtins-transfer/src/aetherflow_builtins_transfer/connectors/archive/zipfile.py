"""The archive driver `zipfile`: Python's own modules."""

from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from aetherflow.core.api import ArchiveInput, ArchiveWork, ExtractRules, Packing, Unpacked
from aetherflow_builtins_transfer.archives.pack import pack
from aetherflow_builtins_transfer.archives.unpack import unpack
from aetherflow_builtins_transfer.connectors.archive.base import ArchiveBase, NoConfig, NoOptions


class ZipfileConnector(ArchiveBase[NoConfig, NoOptions]):
    """Archives in this process, without encryption; the libraries isal and zlib-ng make it faster if installed.

    It reads zip archives with the old ZipCrypto encryption, but writes no encrypted ones.

        resources:
          packing: {kind: archive, driver: zipfile}
    """

    def create(self, sink: BinaryIO, sources: Sequence[ArchiveInput], how: Packing, work: ArchiveWork) -> None:
        """Write an archive to a stream."""
        if how.password is not None:
            raise self.refuse("it cannot encrypt", "use a resource with driver: pyzipper")
        pack(sink, sources, how, work.tick)

    def extract(self, archive: Path, into: Path, rules: ExtractRules, work: ArchiveWork) -> list[Unpacked]:
        """Unpack an archive into an empty folder."""
        return unpack(archive, rules, into, work.tick)
