"""The common code of the steps that delete and move remote files, for SFTP and SMB."""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import Field

from aetherflow.core.api import Flag, PlainText, StepInputs, StepOutputs, StepResult
from aetherflow_builtins_transfer.failures import RemoteError
from aetherflow_builtins_transfer.moving.files import Files
from aetherflow_builtins_transfer.moving.serving import Needs
from aetherflow_builtins_transfer.parallel import Parallelism, Progress, raise_failures, run_all
from aetherflow_builtins_transfer.paths import safe_relative
from aetherflow_builtins_transfer.records import OnEmpty, RemoteFile, RemoteFiles, empty_result, refuse_folders
from aetherflow_builtins_transfer.steps.remote_step import RemoteStep

MTIME_SLACK = 1.0
"""Tolerance in seconds: protocols report one time of change with different precision."""


class ChangeInputs(StepInputs):
    """Inputs that deleting and moving share."""

    files: RemoteFiles = Field(description="The files: records of a list step, or paths.")
    missing_ok: Flag = Field(True, description="Accept a missing file; false: it is a failure.")
    if_unchanged: Flag = Field(
        True, description="Fail for a file whose size or time differs from its record, and leave it unchanged."
    )
    parallelism: Parallelism = Field(Parallelism(), description="How many at the same time.")
    on_empty: OnEmpty = Field("ok", description="No files given: `ok`, `skip` the step, or `fail` it.")


class DeleteInputs(ChangeInputs):
    """The remote files to delete, and how."""


class MoveInputs(ChangeInputs):
    """The remote files to move, and their target folder."""

    dest_dir: PlainText = Field(min_length=1, description="Remote target folder; created if missing.")
    overwrite: Flag = Field(False, description="Replace an existing file; false: it is a failure.")
    keep_tree: Flag = Field(False, description="Keep rel_path below dest_dir; false: only the name.")


class DeleteOutputs(StepOutputs):
    is_deleted: bool = Field(description="Always true: none of the files exists any more.")
    deleted: list[str] = Field(description="Paths that this step deleted.")
    missing: list[str] = Field(description="Paths where nothing was.")
    count: int = Field(description="Number of files that were deleted.")


class MoveOutputs(StepOutputs):
    moved: list[dict[str, str]] = Field(description="`{path, new_path}` of each file that was moved.")
    missing: list[str] = Field(description="Paths where nothing was.")
    count: int = Field(description="Number of files that were moved.")


ChangeT = TypeVar("ChangeT", bound=ChangeInputs)
DeleteT = TypeVar("DeleteT", bound=DeleteInputs)
MoveT = TypeVar("MoveT", bound=MoveInputs)


class _Change(RemoteStep[ChangeT]):
    def _there(self, file: RemoteFile) -> bool:
        """Whether the file exists; RemoteError if it differs from its record, or is missing and must not be."""
        found = self.peer.look(file.path, follow=False)
        if found is None:
            if not self.args.missing_ok:
                raise self.peer.error("missing", f"{file.path} is not there")
            return False
        if found.kind == "folder":
            raise self.peer.error("other", f"{file.path} is a folder", "give files; folders are left alone")
        if found.kind == "file" and self.args.if_unchanged and changed(file, found.size, found.mtime):
            raise self.peer.error(
                "other", f"{file.path} is not the file that was listed: its size or time differ; it was left alone",
                "list again; if_unchanged: false takes whatever is there",
            )  # fmt: skip
        return True


class DeleteFiles(_Change[DeleteT]):
    """The base of the steps that delete remote files."""

    Outputs = DeleteOutputs

    @classmethod
    def needs(cls, inputs: Mapping[str, Any]) -> Needs:
        del inputs
        return [("list",), ("delete",)]

    def plan(self) -> list[str]:
        names = [each.path for each in self.args.files]
        if not names:
            return []
        return [f"delete {counted(names)} from resource {self.inputs['resource']}: {some(names)}"]

    def run(self) -> StepResult:
        args = self.args
        refuse_folders(args.files)
        if not args.files:
            return empty_result(args.on_empty, {"is_deleted": True, "deleted": [], "missing": [], "count": 0}, "files")
        peer = self.peer  # here: threads that ask for it at once would each make one

        def delete(file: RemoteFile, progress: Progress) -> bool:
            progress.tick(0)
            if not self._there(file):
                return False
            try:
                peer.remove(file.path)
            except RemoteError as error:
                if error.kind != "missing" or not args.missing_ok:
                    raise
                return False
            return True

        outcome = run_all(self.ctx, args.files, delete, args.parallelism)
        raise_failures(outcome, lambda file: file.path, "deleted")
        deleted = [file.path for file, was_there in outcome.done if was_there]
        missing = [file.path for file, was_there in outcome.done if not was_there]
        return StepResult(output={"is_deleted": True, "deleted": deleted, "missing": missing, "count": len(deleted)})


class MoveFiles(_Change[MoveT]):
    """The base of the steps that move remote files."""

    Outputs = MoveOutputs

    @classmethod
    def needs(cls, inputs: Mapping[str, Any]) -> Needs:
        del inputs
        return [("list",), ("rename",)]

    def target(self, file: RemoteFile) -> str:
        rel_path = safe_relative(file.relative)
        return self.peer.join(self.args.dest_dir, str(rel_path) if self.args.keep_tree else rel_path.name)

    def plan(self) -> list[str]:
        return [
            f"move {each.path} to {self.target(each)} at resource {self.inputs['resource']}" for each in self.args.files
        ]

    def run(self) -> StepResult:
        args, peer = self.args, self.peer
        refuse_folders(args.files)
        if not args.files:
            return empty_result(args.on_empty, {"moved": [], "missing": [], "count": 0}, "files")
        targets = unique([(file, self.target(file)) for file in args.files], peer)
        for folder in sorted({target.rpartition("/")[0] for _, target in targets}):
            peer.make_folders(folder)

        def move(item: tuple[RemoteFile, str], progress: Progress) -> bool:
            file, target = item
            progress.tick(0)
            found = peer.look(file.path, follow=False)
            if found is None and self.ctx.attempt > 1 and self._was_moved(file, target):
                return True
            if not self._there(file):
                return False
            peer.rename(file.path, target, overwrite=args.overwrite)
            return True

        outcome = run_all(self.ctx, targets, move, args.parallelism)
        raise_failures(outcome, lambda item: item[0].path, "moved")
        moved = [{"path": file.path, "new_path": target} for (file, target), was_there in outcome.done if was_there]
        missing = [file.path for (file, _), was_there in outcome.done if not was_there]
        return StepResult(output={"moved": moved, "missing": missing, "count": len(moved)})

    def _was_moved(self, file: RemoteFile, target: str) -> bool:
        """Whether an earlier, interrupted attempt has already moved the file."""
        found = self.peer.look(target)
        return found is not None and not found.is_dir and not changed(file, found.size, found.mtime)


def changed(file: RemoteFile, size: int | None, mtime: float | None) -> bool:
    """Whether size or time show that the file is not the recorded one."""
    if file.size is not None and size is not None and file.size != size:
        return True
    return file.mtime is not None and mtime is not None and abs(file.mtime - mtime) > MTIME_SLACK


def unique(
    targets: list[tuple[RemoteFile, str]],
    peer: Files,
    fix: str = "keep_tree: true keeps their folders apart",
) -> list[tuple[RemoteFile, str]]:
    """Return `targets`; RemoteError if two files would get the same target."""
    seen: dict[str, RemoteFile] = {}
    for file, target in targets:
        place = peer.identity(target)
        if place in seen:
            raise peer.error(
                "exists",
                f"{seen[place].path} and {file.path} would both become {target}",
                fix,
            )
        seen[place] = file
    return targets


def counted(names: list[str]) -> str:
    """A count with its noun: `1 file`, `3 files`."""
    return "1 file" if len(names) == 1 else f"{len(names)} files"


def some(names: list[str]) -> str:
    """The first ten names, and the number of further ones."""
    more = f", and {len(names) - 10} more" if len(names) > 10 else ""
    return ", ".join(names[:10]) + more
