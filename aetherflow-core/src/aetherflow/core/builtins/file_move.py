from functools import cached_property, partial
from pathlib import Path
from typing import ClassVar

from aetherflow.core.api import StepError
from aetherflow.core.builtins.claimed_files import ClaimMoves, is_equal
from aetherflow.core.builtins.file_lists import Role
from aetherflow.core.builtins.file_transfer import FileTransfer, Transfer, TransferInputs


class FileMove(FileTransfer):
    """Move files: none replaced unless `overwrite`, each always complete at one of both places.

    Before the first file is moved, all are checked: missing files, two files with one destination, existing
    destinations. Across file systems a file is copied completely before the source is deleted. After an interruption
    the next attempt continues with the same files.

    Example:
        - id: archive
          type: file_move
          inputs:
            src: in/*.csv
            dest_dir: "done/{{run.date.compact}}"
            on_empty: ok
    """

    Inputs = TransferInputs
    role: ClassVar[Role] = "write"
    verb: ClassVar[str] = "move"
    consuming = True

    def transfer(self, each: Transfer, *, again: bool) -> None:
        """Move a file; if an earlier attempt has moved it, only record it."""
        old, new = Path(each.src), Path(each.path)
        if not old.exists():
            if not again or not new.exists():
                raise StepError(
                    f"{old} is gone", fix=f"find out who took it; --from-step {self.job_id}.{self.id} looks again"
                )
            self.ctx.artifact(new)
            self.ctx.consume(old)
            return
        # there now and not when all was looked at: a copy across file systems whose original was about to go
        if new.exists() and not self.args.overwrite and not (again and is_equal(old, new)) and not self.is_ours(each):
            raise StepError(f"exists already: {new}", fix="set overwrite: true, or give another place")
        self.ctx.move_file(old, new, before=partial(self._claims.moving, each.src))

    def is_ours(self, each: Transfer) -> bool:
        """A run that this one takes over from has moved it there."""
        return self._claims.is_repeated(each.src, each.path)

    @cached_property
    def _claims(self) -> ClaimMoves:
        return ClaimMoves(self.ctx)
