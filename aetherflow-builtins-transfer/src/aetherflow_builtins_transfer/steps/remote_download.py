"""The common code of the download steps, for SFTP and SMB."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import Field, model_validator

from aetherflow.core.api import (
    STEP_SKIPPED,
    Claim,
    Flag,
    PlainText,
    ResumableWriter,
    StepInputError,
    StepInputs,
    StepOutputs,
    StepResult,
    WritePath,
)
from aetherflow_builtins_transfer.clearing import Clearing
from aetherflow_builtins_transfer.control import check_control, sha256_of
from aetherflow_builtins_transfer.failures import shown
from aetherflow_builtins_transfer.journal import Journal
from aetherflow_builtins_transfer.ledger import Seen
from aetherflow_builtins_transfer.moving.serving import Needs
from aetherflow_builtins_transfer.moving.upload import TransferResult
from aetherflow_builtins_transfer.parallel import Parallelism, Progress, raise_failures, run_all
from aetherflow_builtins_transfer.paths import private_folder, safe_relative
from aetherflow_builtins_transfer.pickups import ON_UNFINISHED, UNFINISHED, OnUnfinished, PickUps, left_to_a_person
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
from aetherflow_builtins_transfer.taking import Requested, Taking, copy_of


class DownloadInputs(StepInputs):
    """The remote files, their local folder, and what happens to them on the server."""

    files: RemoteFiles = Field(description="The files: records of a list step, or paths.")
    dest_dir: WritePath = Field(
        min_length=1, description="Local folder, relative to the job's artifacts; rel_path is kept below it."
    )
    overwrite: Flag = Field(True, description="Replace existing local files; false: they are a failure.")
    new_only: Flag = Field(
        False, description="Download only files that no earlier run of this flow has downloaded, or that have changed."
    )
    on_unfinished: OnUnfinished = ON_UNFINISHED
    after: After = Field(
        "keep", description="What happens to the remote files when all are downloaded: `keep`, `move`, `delete`."
    )
    move_to: PlainText | None = Field(None, min_length=1, description="With `after: move`: the remote folder.")
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
        description="Of each file: path, name, file, size, sha256, claim, taken_over_from, and status: `downloaded`; "
        "or, with new_only, `known`, `claimed` (by a run that lives), `unfinished` (`on_unfinished: leave`)."
    )
    taken: list[dict[str, Any]] = Field(
        description="Those that were brought, for `for_each`. `claim` names the file, in every run: a `load_id`."
    )


@dataclass(frozen=True, slots=True)
class _Item:
    wanted: Requested
    local: Path

    @property
    def file(self) -> RemoteFile:
        return self.wanted.file


DownloadT = TypeVar("DownloadT", bound=DownloadInputs)


class DownloadFiles(RemoteStep[DownloadT]):
    """The base of the download steps."""

    Outputs = DownloadOutputs

    @classmethod
    def needs(cls, inputs: Mapping[str, Any]) -> Needs:
        clears = {"move": [("rename",)], "delete": [("delete",)]}.get(str(inputs.get("after")), [])
        return [("list",), ("download", "read_bytes"), *clears]

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
            output = {"local_files": [], "dest_dir": str(folder), "count": 0, "files": [], "taken": []}
            return empty_result(args.on_empty, output, "files")
        self._picks = PickUps(self.ctx, self.resource, [file.path for file in args.files])
        self._journal = Journal(self.ctx)
        items = self._items(folder)
        self._brought: set[Path] = set()
        wanted = [item for item in items if item.wanted.verdict == "bring"]
        for place in sorted({item.local.parent for item in wanted}):
            private_folder(place)
        clearing = Clearing(self.ctx, self.peer, args.move_to, args.parallelism)
        if args.move_to is not None:
            self._check_move([item.file for item in wanted if item.wanted.kept is None], clearing)
            self.peer.make_folders(args.move_to)
        for item in wanted:
            if item.wanted.kept is not None:  # first: what is downloaded may get the place of the copy
                self.ctx.check_cancelled()
                self._bring(item, Progress())
        sizes = [item.file.size for item in wanted]
        total = sum(size for size in sizes if size is not None) if None not in sizes else None
        outcome = run_all(self.ctx, wanted, self._bring, args.parallelism, total)
        for item, facts in outcome.done:
            if item.local not in self._brought:  # by an earlier attempt
                self.ctx.artifact(item.local, sha256=facts["sha256"])
        raise_failures(outcome, lambda item: item.file.path, "downloaded")
        if args.after == "keep":
            self._take(outcome.done)
        else:
            held = {item.file.path for item in wanted if item.wanted.taken and item.wanted.taken.is_ours}
            at_peer = [(item.file, facts) for item, facts in outcome.done if not facts.get("copied")]
            clearing.run(at_peer, lambda: self._take(outcome.done), held)
        return self._result(items, {item.local: facts for item, facts in outcome.done}, folder)

    def _take(self, done: list[tuple[_Item, dict[str, Any]]]) -> None:
        """Claim what was brought, before anything of it is changed at the peer."""
        self._claims: dict[Path, Claim] = {}
        for item, facts in done:
            seen = Seen(facts["size"], facts["mtime"], facts["sha256"])
            if item.wanted.claims:
                self._claims[item.local] = self._picks.claim(item.file.path, seen, item.local)
            else:
                self._picks.note(item.file.path, seen)
        if self._claims:
            self._picks.commit()

    def _result(self, items: list[_Item], facts: dict[Path, dict[str, Any]], folder: Path) -> StepResult:
        told = [self._told(item, facts.get(item.local)) for item in items]
        taken = [each for each in told if each["status"] == "downloaded"]
        output = {
            "local_files": [each["file"] for each in taken],
            "dest_dir": str(folder),
            "count": len(taken),
            "files": told,
            "taken": taken,
        }
        left = [each for item in items if item.wanted.verdict == "unfinished" and (each := item.wanted.taken)]
        if left and not taken:
            return StepResult(STEP_SKIPPED, output, left_to_a_person(left), UNFINISHED)
        return StepResult(output=output)

    def _items(self, folder: Path) -> list[_Item]:
        args = self.args
        taking = Taking(
            self.ctx,
            self.peer,
            self._picks,
            self._journal,
            once=args.new_only,
            clears=args.after != "keep",
            on_unfinished=args.on_unfinished,
        )
        planned = [(each, safe_relative(each.file.relative)) for each in taking.plan(args.files)]
        unique([(each.file, str(rel)) for each, rel in planned], _Local())  # type: ignore[arg-type]  # the part it needs
        return [_Item(each, self.ctx.write_path(str(folder.joinpath(rel)))) for each, rel in planned]

    def _bring(self, item: _Item, progress: Progress) -> dict[str, Any]:
        journal, key = self._journal, item.wanted.key
        facts, begun = journal.get(key), f"\0{key}"  # no path at a peer
        if facts is None or not self._is_here(item.local, facts) or self._is_replaced(item, facts):
            if not self.args.overwrite and facts is None and journal.get(begun) is None:
                if item.local.exists():
                    raise StepInputError(f"{shown(str(item.local))} exists", fix="overwrite: true replaces it")
                journal.put(begun, {})  # from now on what has the name is of this step
            taken, kept = item.wanted.taken, item.wanted.kept
            facts = self._copy(item, taken.seen, kept, progress) if taken and kept else self._download(item, progress)
            self._brought.add(item.local)
            journal.put(key, facts, sync=self.args.after != "keep")
        return facts

    def _is_replaced(self, item: _Item, facts: dict[str, Any]) -> bool:
        """What an earlier attempt brought is to be deleted or moved at the peer, and another file has its name now."""
        if self.args.after == "keep" or item.wanted.taken is not None:  # once it was claimed, the other one can wait
            return False
        found = self.peer.look(item.file.path)
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

    def _copy(self, item: _Item, seen: Seen, kept: Path, progress: Progress) -> dict[str, Any]:
        """What is gone at the peer is taken from the run that had it."""
        with self.ctx.resume_file(item.local) as sink:
            copy_of(kept, seen.sha256, sink, progress)
        if self.args.preserve_mtime and seen.mtime is not None:
            os.utime(item.local, (seen.mtime, seen.mtime))
        return {"size": seen.size, "mtime": seen.mtime, "sha256": seen.sha256, "copied": True}

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

    def _told(self, item: _Item, facts: dict[str, Any] | None) -> dict[str, Any]:
        file = item.file
        told = {"path": file.path, "name": file.relative.rpartition("/")[2], "file": None, "sha256": None}
        if facts is None:
            return told | {"size": file.size, "claim": None, "taken_over_from": None, "status": item.wanted.verdict}
        claim = self._claims.get(item.local)
        return told | {
            "file": str(item.local),
            "size": facts["size"],
            "sha256": facts["sha256"],
            "claim": claim.identity if claim else None,
            "taken_over_from": claim.taken_from if claim else None,
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
