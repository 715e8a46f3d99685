"""The common code of the list steps, for SFTP and SMB."""

import time
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any, TypeVar

from pydantic import Field

from aetherflow.core.api import Flag, PlainText, RemoteEntry, StepInputError, StepInputs, StepOutputs, StepResult
from aetherflow_builtins_transfer.failures import shown
from aetherflow_builtins_transfer.moving.files import Files
from aetherflow_builtins_transfer.moving.serving import Needs
from aetherflow_builtins_transfer.pickups import (
    ON_UNFINISHED,
    UNFINISHED,
    OnUnfinished,
    PickUps,
    TakenReport,
    TakenVersion,
    left_to_a_person,
    told_apart,
)
from aetherflow_builtins_transfer.records import OnEmpty, RemoteFile, Texts
from aetherflow_builtins_transfer.steps.remote_step import RemoteStep

MAX_DEPTH = 64
"""Greatest depth of nested folders; more is treated as a loop on the server."""


class ListInputs(StepInputs):
    remote_dir: PlainText = Field(description="The remote folder.")
    pattern: PlainText = Field("*", description="Pattern for file names: `*.csv`. Case-sensitive.")
    exclude: Texts = Field([], description="Patterns of names to leave out: `[*.tmp, *.sha256]`.")
    recursive: Flag = Field(False, description="Also list the files in subfolders.")
    follow_links: Flag = Field(False, description="Include links to files; false: links are left out.")
    min_age_seconds: float = Field(
        0,
        ge=0,
        description="Leave out files that were changed less than this many seconds ago, by this machine's clock.",
    )
    min_size: int = Field(0, ge=0, description="Leave out files with fewer bytes.")
    stable_seconds: float = Field(
        0, ge=0, le=3600, description="List twice, with this many seconds in between, and keep unchanged files."
    )
    new_only: Flag = Field(
        False, description="Only files that no earlier run of this flow has downloaded, or that have changed since."
    )
    on_unfinished: OnUnfinished = ON_UNFINISHED
    min_count: int = Field(1, ge=0, description="With fewer files than this, `on_empty` decides.")
    on_empty: OnEmpty = Field("skip", description="Too few files: `skip` the step, `fail` it, or `ok`.")


class ListOutputs(StepOutputs):
    """The files that match, with their records."""

    has_data: bool = Field(description="True if there are at least min_count files.")
    count: int = Field(description="Number of files.")
    files: list[RemoteFile] = Field(description="The files, sorted by rel_path.")


ListT = TypeVar("ListT", bound=ListInputs)
Found = dict[str, tuple[str, RemoteEntry]]
"""By rel_path: the path at the peer and what is there."""
Record = dict[str, Any]


class ListFiles(RemoteStep[ListT]):
    """The base of the list steps."""

    Outputs = ListOutputs

    @classmethod
    def needs(cls, inputs: Mapping[str, Any]) -> Needs:
        del inputs
        return [("list",)]

    def run(self) -> StepResult:
        args = self.args
        peer = self.peer
        found = self._find(peer)
        if args.stable_seconds:
            self._wait(args.stable_seconds)
            again = self._find(peer)
            found = {rel: each for rel, each in again.items() if rel in found and _same(found[rel][1], each[1])}
        files = [_record(rel_path, path, entry) for rel_path, (path, entry) in sorted(found.items())]
        left: list[TakenVersion] = []
        if args.new_only:
            files, left = self._new(peer, files)
        enough = len(files) >= args.min_count
        output = {"has_data": enough and bool(files), "count": len(files), "files": files if enough else []}
        if enough or args.on_empty == "ok":
            return StepResult(output=output | {"files": files})
        reason, code = f"count({len(files)}) < min_count({args.min_count})", None
        if left and not files:
            reason, code = left_to_a_person(left), UNFINISHED
        if args.on_empty == "fail":
            raise StepInputError(
                f"too few files in {args.remote_dir}: {reason}", fix="lower min_count, or wait for them"
            )
        return StepResult("SKIPPED", output, reason, code)

    def _new(self, peer: Files, files: list[Record]) -> tuple[list[Record], list[TakenVersion]]:
        """What is to be taken, by this run or again, and what is left to a person."""
        known, told = PickUps(self.ctx, self.resource), TakenReport(self.ctx)
        new: list[Record] = []
        there: dict[str, Record] = {}
        for each in files:
            standing, taken = known.standing(each["path"], each["size"], each["mtime"])
            if taken is None and standing == "new":
                new.append(each)
            elif taken is not None and standing == "claimed":
                told.add(f"left out, run {taken.run_id} is at it", taken.path)
            elif taken is not None:
                there[taken.claim.key] = each
        left = []
        for taken in known.unfinished():
            record = there.get(taken.claim.key) or self._record_of(peer, taken)
            if record is None:
                continue
            if taken.is_ours:
                new.append(record)
            elif self.args.on_unfinished == "leave":
                left.append(taken)
                told.add(f"left to a person, run {taken.run_id} has not finished", taken.path)
            else:
                new.append(record)
                told.add(f"offered again, run {taken.run_id} has not finished", taken.path)
        told.say()
        return told_apart([each | {"new": True} for each in new]), left

    def _record_of(self, peer: Files, taken: TakenVersion) -> Record | None:
        """A file that is not there any more, as it was listed; None if this list would not find it."""
        folder = peer.join(self.args.remote_dir, "")
        rel_path = taken.path.removeprefix(folder)
        name = rel_path.rpartition("/")[2]
        inside = taken.path.startswith(folder) and (self.args.recursive or name == rel_path)
        if not inside or not self._by_name(name):
            return None
        entry = RemoteEntry(name, "file", taken.seen.size, taken.seen.mtime)
        return _record(rel_path, taken.path, entry) | {"sha256": taken.seen.sha256}

    def _find(self, peer: Files) -> Found:
        newest = time.time() - self.args.min_age_seconds
        return {
            rel_path: (path, entry)
            for rel_path, path, entry in self._walk(peer, self.args.remote_dir, "", 0)
            if self._wanted(entry, newest)
        }

    def _walk(self, peer: Files, folder: str, prefix: str, depth: int) -> Iterator[tuple[str, str, RemoteEntry]]:
        self.ctx.check_cancelled()
        if depth > MAX_DEPTH:
            raise StepInputError(f"folders are nested deeper than {MAX_DEPTH}: {shown(folder)}", fix="list less deep")
        for entry in peer.entries(folder):
            path, rel_path = peer.join(folder, entry.name), prefix + entry.name
            try:
                entry.name.encode()
            except UnicodeEncodeError:
                self.ctx.log.warning("left out, its name is not UTF-8: %s", shown(path))
                continue
            if not peer.can_name(entry.name):
                self.ctx.log.warning("left out, no path of kind %s has such a name: %s", peer.kind, shown(path))
                continue
            if entry.kind == "folder" and self.args.recursive:
                yield from self._walk(peer, path, f"{rel_path}/", depth + 1)
            elif entry.kind == "file":
                yield rel_path, path, entry
            elif entry.kind == "link" and self.args.follow_links and self._by_name(entry.name):
                target = self._behind(peer, path)
                if target is not None:
                    yield rel_path, path, RemoteEntry(entry.name, "file", target.size, target.mtime)

    @staticmethod
    def _behind(peer: Files, path: str) -> RemoteEntry | None:
        """The file to which a link leads; None if it leads to anything else or is broken."""
        found = peer.look(path)
        return found if found is not None and found.kind == "file" else None

    def _by_name(self, name: str) -> bool:
        return fnmatchcase(name, self.args.pattern) and not any(fnmatchcase(name, each) for each in self.args.exclude)

    def _wanted(self, entry: RemoteEntry, newest: float) -> bool:
        if not self._by_name(entry.name) or (entry.size or 0) < self.args.min_size:
            return False
        return not self.args.min_age_seconds or entry.mtime is None or entry.mtime <= newest

    def _wait(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self.ctx.check_cancelled()
            time.sleep(min(left, 0.1))


def _same(one: RemoteEntry, other: RemoteEntry) -> bool:
    return (one.size, one.mtime) == (other.size, other.mtime)


def _record(rel_path: str, path: str, entry: RemoteEntry) -> Record:
    return {
        "path": path,
        "rel_path": rel_path,
        "name": entry.name,
        "is_dir": False,
        "size": entry.size,
        "mtime": entry.mtime,
        "sha256": None,
    }
