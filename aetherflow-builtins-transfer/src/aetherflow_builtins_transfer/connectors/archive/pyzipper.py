from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, Literal

from pydantic import Field

from aetherflow.core.api import ArchiveInput, ArchiveWork, ConnectorConfig, ExtractRules, Packing, Unpacked
from aetherflow_builtins_transfer.archives.pack import AesStrength, pack
from aetherflow_builtins_transfer.archives.unpack import unpack
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

    def create(self, sink: BinaryIO, sources: Sequence[ArchiveInput], how: Packing, work: ArchiveWork) -> None:
        """Write an archive to a stream."""
        if how.password is not None and how.form != "zip":
            raise self.refuse(f"{how.form} archives cannot be encrypted", "use format: zip")
        pack(sink, sources, how, work.tick, self.conf.aes_strength)

    def extract(self, archive: Path, into: Path, rules: ExtractRules, work: ArchiveWork) -> list[Unpacked]:
        """Unpack an archive into an empty folder."""
        return unpack(archive, rules, into, work.tick)
