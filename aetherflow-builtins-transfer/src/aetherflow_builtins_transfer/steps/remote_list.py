"""Listing files at a peer, for SFTP and SMB alike."""

import time
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any, TypeVar

from pydantic import Field

from aetherflow.core.api import Flag, StepInputError, StepInputs, StepOutputs, StepResult
from aetherflow_builtins_transfer.connectors.files.connector import FileConnector
from aetherflow_builtins_transfer.connectors.files.session import RemoteEntry
from aetherflow_builtins_transfer.failures import shown
from aetherflow_builtins_transfer.pickups import (
    ON_UNFINISHED,
    OnUnfinished,
    PickUps,
    Taken,
    left_to_a_person,
    told_apart,
)
from aetherflow_builtins_transfer.records import OnEmpty, RemoteFile, Texts
from aetherflow_builtins_transfer.steps.remote_step import RemoteStep

MAX_DEPTH = 64
"""Folders within folders; deeper is taken for a loop of the server's own making."""


class ListInputs(StepInputs):
    remote_dir: str = Field(description="The folder at the peer.")
    pattern: str = Field("*", description="Which files, by name: `*.csv`. Upper and lower case differ.")
    exclude: Texts = Field([], description="Patterns of names to leave out: `[*.tmp, *.sha256]`.")
    recursive: Flag = Field(False, description="What is in the folders below, too.")
    follow_links: Flag = Field(False, description="Take links to files; without it links are left out.")
    min_age_seconds: float = Field(
        0, ge=0, description="Leave out what was changed more recently, by the peer's time and this machine's clock."
    )
    min_size: int = Field(0, ge=0, description="Leave out files with fewer bytes.")
    stable_seconds: float = Field(
        0, ge=0, le=3600, description="List twice, so many seconds apart, and take what has not changed meanwhile."
    )
    new_only: Flag = Field(
        False, description="Only what no earlier run of this flow has downloaded, or what has changed since then."
    )
    on_unfinished: OnUnfinished = ON_UNFINISHED
    min_count: int = Field(1, ge=0, description="With fewer files than this, `on_empty` decides.")
    on_empty: OnEmpty = Field("skip", description="Too few files: `skip` the step, `fail` it, or `ok`.")


class ListOutputs(StepOutputs):
    """The files that were found."""

    has_data: bool = Field(description="True if there are at least min_count files.")
    count: int = Field(description="Number of files.")
    files: list[RemoteFile] = Field(description="The files, sorted by rel_path.")


ListT = TypeVar("ListT", bound=ListInputs)
Found = dict[str, tuple[str, RemoteEntry]]
"""By rel_path: the path at the peer and what is there."""
Record = dict[str, Any]


class ListFiles(RemoteStep[ListT]):
    """Finds files at a peer."""

    Outputs = ListOutputs

    def run(self) -> StepResult:
        args = self.args
        peer = self.peer
        found = self._find(peer)
        if args.stable_seconds:
            self._wait(args.stable_seconds)
            again = self._find(peer)
            found = {rel: each for rel, each in again.items() if rel in found and _same(found[rel][1], each[1])}
        files = [_record(rel_path, path, entry) for rel_path, (path, entry) in sorted(found.items())]
        left: list[Taken] = []
        if args.new_only:
            files, left = self._new(peer, files)
        enough = len(files) >= args.min_count
        output = {"has_data": enough and bool(files), "count": len(files), "files": files if enough else []}
        if enough or args.on_empty == "ok":
            return StepResult(output=output | {"files": files})
        if left and not files:
            return StepResult("SKIPPED", output, left_to_a_person(left))
        reason = f"count({len(files)}) < min_count({args.min_count})"
        if args.on_empty == "fail":
            raise StepInputError(
                f"too few files in {args.remote_dir}: {reason}", fix="lower min_count, or wait for them"
            )
        return StepResult("SKIPPED", output, reason)

    def _new(self, peer: FileConnector[Any, Any], files: list[Record]) -> tuple[list[Record], list[Taken]]:
        """What is to be taken, by this run or anew, and what is left to a person."""
        known, leaves = PickUps(self.ctx, self.resource), self.args.on_unfinished == "leave"
        new: list[Record] = []
        unfinished: list[Taken] = []
        standing_there: set[str] = set()
        for each in files:
            standing, taken = known.standing(each["path"], each["size"], each["mtime"])
            if standing == "new":
                new.append(each)
            elif taken is not None and standing == "unfinished":
                standing_there.add(taken.claim.key)
                unfinished.append(taken)
                if not leaves:
                    new.append(each)
            elif taken is not None and standing == "claimed":
                self.ctx.log.info("left out, run %s is at it: %s", taken.run_id, shown(each["path"]))
        for taken in known.unfinished():
            rel_path = self._listed_as(peer, taken.path)
            if rel_path is not None and taken.claim.key not in standing_there:
                unfinished.append(taken)
                if not leaves:
                    entry = RemoteEntry(rel_path.rpartition("/")[2], "file", taken.seen.size, taken.seen.mtime)
                    new.append(_record(rel_path, taken.path, entry) | {"sha256": taken.seen.sha256})
        for taken in unfinished:
            what = "left to a person" if leaves else "offered again"
            self.ctx.log.info("%s, run %s has not finished with it: %s", what, taken.run_id, shown(taken.path))
        return told_apart([each | {"new": True} for each in new]), unfinished if leaves else []

    def _listed_as(self, peer: FileConnector[Any, Any], path: str) -> str | None:
        """The rel_path of a file that an earlier list has found here; None if this list would not find it."""
        folder = peer.join(self.args.remote_dir, "")
        rel_path = path.removeprefix(folder)
        inside = path.startswith(folder) and (self.args.recursive or "/" not in rel_path)
        return rel_path if inside and self._by_name(rel_path.rpartition("/")[2]) else None

    def _find(self, peer: FileConnector[Any, Any]) -> Found:
        newest = time.time() - self.args.min_age_seconds
        return {
            rel_path: (path, entry)
            for rel_path, path, entry in self._walk(peer, self.args.remote_dir, "", 0)
            if self._wanted(entry, newest)
        }

    def _walk(
        self, peer: FileConnector[Any, Any], folder: str, prefix: str, depth: int
    ) -> Iterator[tuple[str, str, RemoteEntry]]:
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
    def _behind(peer: FileConnector[Any, Any], path: str) -> RemoteEntry | None:
        """The file that a link leads to; None if it leads nowhere or to something else."""
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
