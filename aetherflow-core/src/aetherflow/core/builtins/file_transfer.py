"""The common part of `file_copy` and `file_move`: the list of transfers, remembered before the first effect."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from pydantic import Field, model_validator

from aetherflow.core.api import Flag, PathError, Step, StepError, StepInputError, StepOutputs, StepResult, WritePath
from aetherflow.core.builtins.file_lists import (
    Files,
    FoundFile,
    Role,
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

TREE_FIX = "write a pattern for what is in it, as in `in/**`, and `preserve_tree: true` to keep the folders below"


class TransferInputs(GateInputs):
    """Inputs of `file_copy` and `file_move`."""

    src: Files = Field(
        description="The files: a path, a pattern, or a list of these or of `file_find`'s `files`; relative to the "
        "job's artifacts. A path that does not exist is an error"
    )
    dest: WritePath | None = Field(None, description="New path of the one file that `src` names")
    dest_dir: WritePath | None = Field(None, description="Folder for the files, created if missing; or give `dest`")
    preserve_tree: Flag = Field(
        False, description="Keep the folders below the fixed part of a pattern, or below the folder of `file_find`"
    )
    exclude: Texts = Field([], description="Files and folders that a pattern leaves out")
    overwrite: Flag = Field(False, description="Replace an existing file; false: an existing file is an error")

    @model_validator(mode="after")
    def _one_destination(self) -> "TransferInputs":
        if (self.dest is None) == (self.dest_dir is None):
            raise ValueError("give either dest, the new path of one file, or dest_dir, a folder")
        if self.dest is not None and self.dest.endswith("/"):
            raise ValueError("dest is the new path of one file; give a folder as dest_dir")
        return self


class TransferOutputs(StepOutputs):
    """Outputs of `file_copy` and `file_move`."""

    has_data: bool = Field(description="True if there were at least min_count files")
    count: int = Field(description="Number of files")
    files: list[dict[str, Any]] = Field(description="Each file: src, path (the new one), rel_path, size in bytes")
    paths: list[str] = Field(description="The new paths alone")
    total_bytes: int = Field(description="Sum of the sizes")


class Transfer(NamedTuple):
    """One file to copy or move: source, destination, relative path, size in bytes."""

    src: str
    path: str
    rel_path: str
    size: int


class FileTransfer(Step[TransferInputs]):
    """Base class of `file_copy` and `file_move`."""

    Inputs = TransferInputs
    Outputs = TransferOutputs
    role: ClassVar[Role]
    verb: ClassVar[str]
    consuming: ClassVar[bool]
    """True if sources disappear, so that a second attempt must continue with the list of the first."""
    args: TransferInputs

    def run(self) -> StepResult:
        found = [Transfer(*each) for each in remembered(self) or ()]
        again = bool(found) and self.consuming
        todo = found if again else self._decide({each.path for each in found})
        output = {
            "count": len(todo),
            "files": [each._asdict() for each in todo],
            "paths": [each.path for each in todo],
            "total_bytes": sum(each.size for each in todo),
        }
        result = self.args.judge(len(todo), output, "check src, or set on_empty: ok")
        if result.status == "SUCCESS":
            if not again:
                remember(self, todo)
            for number, each in enumerate(todo):
                self.ctx.check_cancelled()
                self.transfer(each, again=again)
                self.ctx.progress(number + 1, len(todo), "files")
        return result

    def plan(self) -> list[str]:
        found = remembered(self)
        if found and self.consuming:
            todo = [Transfer(*each) for each in found if Path(each[0]).exists()]
        else:
            todo = self._decide({Transfer(*each).path for each in found or ()})
        where = self.args.dest or self.args.dest_dir
        names = below(self.ctx, self.job_id, [each.src for each in todo])
        return [f"{self.verb} {counted(len(todo))} to {where}: {shown(names)}" if todo else f"no file to {self.verb}"]

    def transfer(self, each: Transfer, *, again: bool) -> None:
        """Transfer one file; `again`: an earlier attempt may have done so."""
        raise NotImplementedError

    def is_ours(self, each: Transfer) -> bool:
        """Whether what stands at the new place was brought there by a run that this one takes over from."""
        del each
        return False

    def _decide(self, ours: Collection[str]) -> list[Transfer]:
        """The list of transfers; `ours` are destinations that an earlier attempt may have created, to be replaced."""
        args = self.args
        files, missing = list_files(self.ctx, self.job_id, args.src, role=self.role, exclude=args.exclude)
        require_all(missing)
        only_files(files, TREE_FIX)
        if args.dest is not None and len(files) > 1:
            raise StepInputError(f"dest is the path of one file, and src names {len(files)}", fix="give dest_dir")
        todo = [Transfer(str(each.path), str(self._target(each)), each.rel, each.path.stat().st_size) for each in files]
        self._refuse_collisions(todo, ours)
        return todo

    def _target(self, each: FoundFile) -> Path:
        args = self.args
        if args.dest is not None:
            return self.ctx.write_path(args.dest)
        folder = self.ctx.write_path(str(args.dest_dir))
        target = self.ctx.write_path(str(folder / (each.rel if args.preserve_tree else each.path.name)))
        if not target.is_relative_to(folder):
            raise PathError(f"{each.rel} leads out of {folder}", fix="correct rel_path")
        return target

    def _refuse_collisions(self, todo: Sequence[Transfer], ours: Collection[str]) -> None:
        places: dict[str, str] = {}
        for each in todo:
            if (other := places.setdefault(each.path, each.src)) != each.src:
                message = f"two files would become {each.path}: {other} and {each.src}"
                raise StepError(message, fix="set preserve_tree: true, or name them apart")
        if same := [each.src for each in todo if each.src == each.path]:
            raise StepError(f"a file would replace itself: {shown(same)}", fix="give another dest or dest_dir")
        if folders := [each.path for each in todo if Path(each.path).is_dir()]:
            raise StepError(f"a folder stands in the way: {shown(folders)}", fix="give another dest or dest_dir")
        if crossing := sorted(places.keys() & {each.src for each in todo}):
            raise StepError(f"both source and destination: {shown(crossing)}", fix="give another dest_dir")
        ours = {*ours, *(each.path for each in todo if self.is_ours(each))}
        there = [path for path in places if path not in ours and Path(path).exists()]
        if there and not self.args.overwrite:
            raise StepError(f"exists already: {shown(there)}", fix="set overwrite: true, or give another place")
