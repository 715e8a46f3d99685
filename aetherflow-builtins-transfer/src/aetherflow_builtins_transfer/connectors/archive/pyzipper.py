from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, Literal

from pydantic import Field

from aetherflow.core.api import ConnectorConfig
from aetherflow_builtins_transfer.archives.entries import Source
from aetherflow_builtins_transfer.archives.pack import AesStrength, Packing, pack
from aetherflow_builtins_transfer.archives.tools import Work
from aetherflow_builtins_transfer.archives.unpack import Rules, Unpacked, unpack
from aetherflow_builtins_transfer.connectors.archive.base import ArchiveBase, NoOptions


class Config(ConnectorConfig):
    encryption: Literal["aes"] = Field("aes", description="The only supported encryption: WinZip's AES.")
    aes_strength: AesStrength = Field(256, description="Bits of the key: 128, 192 or 256.")


class PyzipperConnector(ArchiveBase[Config, NoOptions]):
    """Archives in this process, with WinZip's AES encryption if a password is given.

    7-Zip, WinZip and macOS open them; `unzip` does not. Only the content is encrypted; names of members stay readable.

        resources:
          packing: {kind: archive, driver: pyzipper}
    """

    requires = ("pyzipper",)

    def create(self, sink: BinaryIO, sources: Sequence[Source], how: Packing, work: Work) -> None:
        """Write an archive to a stream."""
        if how.password is not None and how.form != "zip":
            raise self.refuse(f"{how.form} archives cannot be encrypted", "use format: zip")
        pack(sink, sources, replace(how, aes_strength=self.conf.aes_strength), work.tick)

    def extract(self, archive: Path, into: Path, rules: Rules, work: Work) -> list[Unpacked]:
        """Unpack an archive into an empty folder."""
        return unpack(archive, rules, into, work.tick)
