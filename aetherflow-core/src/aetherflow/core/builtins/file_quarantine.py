from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from aetherflow.core.api import (
    Holds,
    PlainText,
    Step,
    StepError,
    StepInputError,
    StepInputs,
    StepOutputs,
    WritePath,
    open_file,
)
from aetherflow.core.builtins.claimed_files import LEDGER, is_equal

CHUNK = 1 << 20


class Inputs(StepInputs):
    item: Annotated[Any, Holds.READS] = Field(
        description="A record of a picked-up file, with `file` or `path`, and `claim`; or a path"
    )
    folder: WritePath = Field(
        min_length=1, description="The folder; a relative one is below the flow's folder in the work root"
    )
    error: PlainText = Field(description="Why the file is set aside")


class Outputs(StepOutputs):
    path: str = Field(description="Absolute path of the file in the folder")
    error_file: str = Field(description="Absolute path of the file beside it that says why")
    claim: str | None = Field(description="The claim of the file, which is final now; null for a file without one")


class FileQuarantine(Step[Inputs]):
    """Set a picked-up file aside that cannot be processed: a copy, and beside it a file that says why.

    `for_each: {quarantine: FOLDER}` runs it for an item that failed. The file's claim becomes final, whatever becomes
    of the run: no later run takes this version of the file. Put back to where it came from, it is a new version.

    Example:
        - id: aside
          type: file_quarantine
          inputs:
            item: in/orders.csv
            folder: bad
            error: it has no header
    """

    Outputs = Outputs

    def plan(self) -> list[str]:
        return [f"copy {self._source()} into {self._folder()}"]

    def run(self) -> dict[str, Any]:
        source, folder = self._source(), self._folder()
        if not source.is_file():
            raise StepError(f"there is no file {source} to set aside", fix="find out who took it")
        target = folder / self.ctx.run_id / source.name
        if target.exists() and not is_equal(source, target):  # another item of the same name
            target = folder / self.ctx.run_id / self.ctx.idempotency_key[:12] / source.name
        claim = self.args.item.get("claim") if isinstance(self.args.item, dict) else None
        if claim is not None and not self.ctx.ledger(LEDGER).settle(claim):
            raise StepError(
                f"the claim on {source} is not one of this run",
                fix="pick up and process files in one run; a flow that a step runs has claims of its own",
            )
        with open_file(source) as file, self.ctx.write_file(target) as copy:
            while data := file.read(CHUNK):
                self.ctx.check_cancelled()
                copy.write(data)
        note = target.with_name(f"{target.name}.error.txt")
        with self.ctx.write_file(note) as file:
            file.write(f"run {self.ctx.run_id} of flow {self.ctx.flow_id}: {self.args.error}\n".encode())
        self.ctx.log.warning("set aside: %s: %s", target, self.args.error.partition("\n")[0])
        return {"path": str(target), "error_file": str(note), "claim": claim}

    def _source(self) -> Path:
        item = self.args.item
        found = item.get("file") or item.get("path") if isinstance(item, dict) else item
        if not isinstance(found, str):
            raise StepInputError("item names no file", fix="give a record with `file` or `path`, or a path")
        return self.ctx.read_path(found)

    def _folder(self) -> Path:
        return self.ctx.write_path(str(Path(self.ctx.work_root, self.ctx.flow_id, self.args.folder)))
