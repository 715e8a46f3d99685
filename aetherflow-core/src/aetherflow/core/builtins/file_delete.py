from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from aetherflow.core.api import Flag, Holds, PathError, Step, StepOutputs, StepResult
from aetherflow.core.builtins.file_lists import (
    Files,
    FoundFile,
    Texts,
    below,
    counted,
    list_files,
    only_files,
    require_all,
    shown,
)
from aetherflow.core.builtins.gate import GateInputs
from aetherflow.core.builtins.intent import remember, remembered


class Inputs(GateInputs):
    path: Annotated[Files, Holds.WRITES] = Field(
        description="The files: a path, a pattern, or a list of these or of `file_find`'s `files`; relative to the "
        "job's artifacts"
    )
    exclude: Texts = Field([], description="Files and folders that a pattern leaves out")
    missing_ok: Flag = Field(True, description="A path that does not exist is no error; it is listed in `missing`")
    recursive: Flag = Field(False, description="A path may name a folder: it is deleted with all in it")
    min_count: int = Field(1, ge=0, description="Fewer found files and missing paths than these are too few")


class Outputs(StepOutputs):
    has_data: bool = Field(description="True if at least min_count were named")
    count: int = Field(description="Number of files and folders deleted")
    deleted: list[str] = Field(description="Absolute paths of what was deleted")
    missing: list[str] = Field(description="Paths that did not exist")


class FileDelete(Step[Inputs]):
    """Delete files; a missing file is no error unless `missing_ok: false`.

    A pattern matches files only. A folder is deleted if it is named by its path and `recursive: true` is set; never a
    folder of the run, or one that contains it. After an interruption the next attempt continues with the same files.

    Example:
        - id: tidy
          type: file_delete
          inputs:
            path: ["scratch.csv", "parts/*.tmp"]
            on_empty: ok
    """

    Outputs = Outputs

    def run(self) -> StepResult:
        found = remembered(self)
        again = found is not None
        paths, missing = found if again else self._decide()
        total = len(paths) + len(missing)
        result = self.args.judge(total, {}, "check path, or set on_empty: ok")
        if not again and paths:
            remember(self, [paths, missing])
        deleted: list[str] = []
        for number, path in enumerate(paths):
            self.ctx.check_cancelled()
            gone = not self.ctx.remove(path)
            (missing if gone and not again else deleted).append(path)
            self.ctx.progress(number + 1, len(paths), "files")
        output = {**(result.output or {}), "count": len(deleted), "deleted": deleted, "missing": missing}
        return StepResult(result.status, output, result.reason)

    def plan(self) -> list[str]:
        paths, missing = remembered(self) or self._decide()
        paths = [path for path in paths if Path(path).exists()]
        said = [
            f"delete {counted(len(paths))}: {shown(below(self.ctx, self.job_id, paths))}"
            if paths
            else "no file to delete"
        ]
        return said + ([f"not there: {shown(missing)}"] if missing else [])

    def _decide(self) -> tuple[list[str], list[str]]:
        args = self.args
        files, missing = list_files(self.ctx, self.job_id, args.path, role="write", exclude=args.exclude)
        if not args.missing_ok:
            require_all(missing)
        if args.recursive:
            self._refuse_around(files)
        else:
            folders = [each for each in files if each.path.is_dir()]  # what is no file may be deleted
            only_files(folders, "set recursive: true to delete a folder with all in it")
        return [str(each.path) for each in files], missing

    def _refuse_around(self, files: list[FoundFile]) -> None:
        mine: list[Any] = [self.ctx.work_root, self.ctx.job_dir(self.job_id), self.ctx.artifacts_dir(self.job_id)]
        for each in files:
            if any(Path(folder).resolve().is_relative_to(each.path) for folder in mine):
                message = f"{each.path} holds this run, or is a folder of it, and is not deleted"
                raise PathError(message, fix="name what is in it; the run's own folders go by `cleanup_policy`")
