"""The common code of the download steps, for SFTP and SMB."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import Field, model_validator

from aetherflow.core.api import Flag, ResumableWriter, StepInputError, StepInputs, StepOutputs, StepResult
from aetherflow_builtins_transfer.clearing import Clearing
from aetherflow_builtins_transfer.connectors.files.upload import TransferResult
from aetherflow_builtins_transfer.control import check_control, sha256_of
from aetherflow_builtins_transfer.failures import shown
from aetherflow_builtins_transfer.journal import Journal
from aetherflow_builtins_transfer.ledger import Deliveries, Seen
from aetherflow_builtins_transfer.parallel import Parallelism, Progress, raise_failures, run_all
from aetherflow_builtins_transfer.paths import private_folder, safe_relative
from aetherflow_builtins_transfer.records import (
    After,
    ControlFile,
    OnEmpty,
    RemoteFile,
    RemoteFiles,
    empty_result,
    refuse_folders,
)
from aetherflow_builtins_transfer.steps.remote_change import changed, counted, some, unique
from aetherflow_builtins_transfer.steps.remote_step import RemoteStep


class DownloadInputs(StepInputs):
    """The remote files, their local folder, and what happens to them on the server."""

    files: RemoteFiles = Field(description="The files: records of a list step, or paths.")
    dest_dir: str = Field(
        min_length=1, description="Local folder, relative to the job's artifacts; rel_path is kept below it."
    )
    overwrite: Flag = Field(True, description="Replace existing local files; false: they are a failure.")
    new_only: Flag = Field(
        False, description="Download only files that no earlier run of this flow has downloaded, or that have changed."
    )
    after: After = Field(
        "keep", description="What happens to the remote files when all are downloaded: `keep`, `move`, `delete`."
    )
    move_to: str | None = Field(None, min_length=1, description="With `after: move`: the remote folder.")
    verify: Literal["size", "sha256"] = Field(
        "size", description="`sha256`: compare with the sha256 in the record, which must have one."
    )
    control_files: list[ControlFile] = Field(
        [], description="Control files that must exist and match: `sha256` (FILE.sha256), `rows` (FILE.rows)."
    )
    header_rows: int = Field(1, ge=0, description="Lines of a file that its FILE.rows does not count.")
    preserve_mtime: Flag = Field(True, description="Set the local file's time to the remote file's.")
    parallelism: Parallelism = Field(Parallelism(), description="How many at the same time.")
    on_empty: OnEmpty = Field("ok", description="No files given: `ok`, `skip` the step, or `fail` it.")

    @model_validator(mode="after")
    def _move_to_goes_with_move(self) -> "DownloadInputs":
        if (self.after == "move") != (self.move_to is not None):
            raise ValueError("after: move and move_to go together")
        return self


class DownloadOutputs(StepOutputs):
    local_files: list[str] = Field(description="Absolute paths, in the order of `files`.")
    dest_dir: str = Field(description="Absolute path of the folder.")
    count: int = Field(description="Number of downloaded files.")
    files: list[dict[str, Any]] = Field(
        description="Of each file: path, file, size, sha256, and status: `downloaded`, or `known` with new_only."
    )


@dataclass(frozen=True, slots=True)
class _Item:
    file: RemoteFile
    local: Path


DownloadT = TypeVar("DownloadT", bound=DownloadInputs)


class DownloadFiles(RemoteStep[DownloadT]):
    """The base of the download steps."""

    Outputs = DownloadOutputs

    def plan(self) -> list[str]:
        """The sentences of a dry run: downloads, and changes on the server."""
        names, resource = [each.path for each in self.args.files], self.resource
        if not names:
            return []
        told = [f"download {counted(names)} from resource {resource} to {self.args.dest_dir}: {some(names)}"]
        if self.args.after == "delete":
            told.append(f"then delete them from resource {resource}")
        elif self.args.after == "move":
            told.append(f"then move them to {self.args.move_to} at resource {resource}")
        return told

    def run(self) -> StepResult:
        args = self.args
        refuse_folders(args.files)
        folder = self.ctx.write_path(args.dest_dir)
        if not args.files:
            output = {"local_files": [], "dest_dir": str(folder), "count": 0, "files": []}
            return empty_result(args.on_empty, output, "files")
        items = self._items(folder)
        taken = Deliveries(self.ctx, "down", self.resource)
        journal = Journal(self.ctx)
        self._brought: set[Path] = set()
        known = {item.file.path for item in items if self._is_known(item.file, taken, journal)}
        wanted = [item for item in items if item.file.path not in known]
        for place in sorted({item.local.parent for item in wanted}):
            private_folder(place)
        clearing = Clearing(self.ctx, self.peer, args.move_to, args.parallelism)
        if args.move_to is not None:
            self._check_move([item.file for item in items], clearing)
            self.peer.mkdir_recursive(args.move_to)
        sizes = [item.file.size for item in wanted]
        total = sum(size for size in sizes if size is not None) if None not in sizes else None
        outcome = run_all(
            self.ctx, wanted, lambda item, progress: self._bring(item, journal, progress), args.parallelism, total
        )
        for item, facts in outcome.done:
            if item.local not in self._brought:  # by an earlier attempt
                self.ctx.artifact(item.local, sha256=facts["sha256"])
            taken.put(item.file.path, Seen(facts["size"], facts["mtime"], facts["sha256"]))
        raise_failures(outcome, lambda item: item.file.path, "downloaded")
        if args.after != "keep":
            clearing.run([(item.file, facts) for item, facts in outcome.done])
        told = {item.file.path: facts for item, facts in outcome.done}
        files = [self._told(item, told.get(item.file.path)) for item in items]
        return StepResult(
            output={
                "local_files": [str(item.local) for item in wanted],
                "dest_dir": str(folder),
                "count": len(wanted),
                "files": files,
            }
        )

    def _items(self, folder: Path) -> list[_Item]:
        relative = [(file, safe_relative(file.relative)) for file in self.args.files]
        unique([(file, str(rel)) for file, rel in relative], _Local())  # type: ignore[arg-type]  # the part it needs
        return [_Item(file, self.ctx.write_path(str(folder.joinpath(rel)))) for file, rel in relative]

    def _is_known(self, file: RemoteFile, taken: Deliveries, journal: Journal) -> bool:
        if not self.args.new_only or journal.get(file.path) is not None:
            return False
        seen = taken.get(file.path)
        if seen is None:
            return False
        size, mtime = file.size, file.mtime
        if size is None or mtime is None:
            found = self.peer.find(file.path)
            if found is None:
                return True  # taken, and gone since then
            size, mtime = found.size, found.mtime
        return seen.same_as(size, mtime)

    def _bring(self, item: _Item, journal: Journal, progress: Progress) -> dict[str, Any]:
        path = item.file.path
        facts, begun = journal.get(path), f"\0{path}"  # no path at a peer
        if facts is None or not self._is_here(item.local, facts) or self._is_replaced(path, facts):
            if not self.args.overwrite and facts is None and journal.get(begun) is None:
                if item.local.exists():
                    raise StepInputError(f"{shown(str(item.local))} exists", fix="overwrite: true replaces it")
                journal.put(begun, {})  # from now on what has the name is of this step
            facts = self._download(item, progress)
            self._brought.add(item.local)
            journal.put(path, facts, sync=self.args.after != "keep")
        return facts

    def _is_replaced(self, path: str, facts: dict[str, Any]) -> bool:
        """What an earlier attempt brought is to be deleted or moved at the peer, and another file has its name now."""
        found = self.peer.find(path) if self.args.after != "keep" else None
        return found is not None and (found.size, found.mtime) != (facts["size"], facts["mtime"])

    @staticmethod
    def _is_here(local: Path, facts: dict[str, Any]) -> bool:
        """Whether an earlier attempt of this run has downloaded the file completely."""
        try:
            return bool(local.stat().st_size == facts["size"] and sha256_of(local) == facts["sha256"])
        except OSError:
            return False

    def _download(self, item: _Item, progress: Progress) -> dict[str, Any]:
        with self.ctx.resume_file(item.local) as sink:
            moved = self.peer.download_to(
                sink,
                item.file.path,
                check=lambda sink, arrived: self._check(item.file, sink, arrived),
                on_bytes=progress.tick,
            )
        if self.args.preserve_mtime and moved.mtime is not None:
            os.utime(item.local, (moved.mtime, moved.mtime))
        return {"size": moved.size, "mtime": moved.mtime, "sha256": moved.sha256}

    def _check(self, file: RemoteFile, sink: ResumableWriter, arrived: TransferResult) -> None:
        """Raise for a file that fails its checks, before it gets its name."""
        peer = self.peer
        if changed(file, arrived.size, None):
            raise peer.error(
                "other",
                f"{file.path} is not the file that was listed: {arrived.size} bytes instead of {file.size}",
                "list again; stable_seconds of the list step waits for files that grow",
            )
        if self.args.verify == "sha256" and file.sha256 is None:
            raise StepInputError(
                f"verify: sha256, and nobody tells that of {shown(file.path)}",
                fix="control_files: [sha256] reads FILE.sha256",
            )
        if file.sha256 is not None and file.sha256.lower() != arrived.sha256:
            raise peer.error("other", f"{file.path} has the sha256 {arrived.sha256} instead of {file.sha256}")
        for control in self.args.control_files:
            check_control(control, peer, file.path, sink, self.args.header_rows)

    def _check_move(self, files: list[RemoteFile], clearing: Clearing) -> None:
        """RemoteError, before any download, if two files would get the same name in `move_to`."""
        unique([(file, clearing.target(file)) for file in files], self.peer, "take each folder by a step of its own")

    @staticmethod
    def _told(item: _Item, facts: dict[str, Any] | None) -> dict[str, Any]:
        if facts is None:
            return {"path": item.file.path, "file": None, "size": item.file.size, "sha256": None, "status": "known"}
        return {
            "path": item.file.path,
            "file": str(item.local),
            "size": facts["size"],
            "sha256": facts["sha256"],
            "status": "downloaded",
        }


class _Local:
    """Tells whether two local names are the same."""

    @staticmethod
    def identity(path: str) -> str:
        return path

    @staticmethod
    def error(kind: str, message: str, fix: str) -> StepInputError:
        del kind
        return StepInputError(shown(message), fix=fix.replace("keep_tree: true keeps", "rel_path in the records keeps"))
