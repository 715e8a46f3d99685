import hashlib
import os
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from aetherflow.core.api import StepError, open_file
from aetherflow.core.builtins.file_lists import Role
from aetherflow.core.builtins.file_transfer import FileTransfer, Transfer, TransferInputs

CHUNK = 1 << 20


class CopyInputs(TransferInputs):
    verify: Literal["size", "sha256"] = Field(
        "size",
        description="size: as many bytes as the source, which must not change meanwhile; sha256: read the copy again",
    )


class FileCopy(FileTransfer):
    """Copy files: each whole or not at all, none replaced unless `overwrite`.

    Before the first file is copied, all are checked: missing files, two files with one destination, existing
    destinations. The copies are new files, with their own time and mode 0600.

    Example:
        - id: keep
          type: file_copy
          inputs:
            src: in/*.csv
            dest_dir: kept
            on_empty: ok
    """

    Inputs = CopyInputs
    role: ClassVar[Role] = "read"
    verb: ClassVar[str] = "copy"
    consuming = False
    args: CopyInputs

    def transfer(self, each: Transfer, *, again: bool) -> None:
        del again
        digest, size = hashlib.sha256(), 0
        with open_file(Path(each.src)) as old, self.ctx.write_file(each.path) as new:
            while size <= each.size and (
                data := old.read(CHUNK)
            ):  # ends at the known size: a file that grows faster than the copy would never end
                self.ctx.check_cancelled()
                digest.update(data)
                size += new.write(data)
            now = os.fstat(old.fileno()).st_size
            if size != now or (size != each.size):
                message = f"{each.src} changed while it was copied: {each.size} bytes, then {max(size, now)}"
                raise StepError(message, fix="wait until it is complete: file_find or file_wait with stable_seconds")
        if self.args.verify == "sha256":
            with open_file(Path(each.path)) as copy:
                if hashlib.file_digest(copy, "sha256").digest() != digest.digest():
                    raise StepError(f"the copy {each.path} is not what was written", fix="check the disk")
