"""Which of the files that a download is given it brings, and from where: what it was given, measured by the claims."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from aetherflow.core.api import ClaimBusyError, ResumableWriter, RunContext, StepError, open_file
from aetherflow_builtins_transfer.failures import shown
from aetherflow_builtins_transfer.journal import Journal
from aetherflow_builtins_transfer.moving.files import Files
from aetherflow_builtins_transfer.parallel import Progress
from aetherflow_builtins_transfer.pickups import OnUnfinished, PickUps, TakenReport, TakenVersion, told_apart
from aetherflow_builtins_transfer.records import RemoteFile

Verdict = Literal["bring", "known", "claimed", "unfinished"]
"""What is not brought was taken for good, is with a run that lives, or is left to a person."""
CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Requested:
    """A file that was given, and what is to become of it."""

    file: RemoteFile
    key: str
    """In the journal of the step."""
    verdict: Verdict
    claims: bool
    """Whether the run has it for itself."""
    taken: TakenVersion | None = None
    """The claim that this or an earlier run has on it."""
    kept: Path | None = None
    """The peer does not have this version any more: where the run that had taken it has it."""


class Taking:
    """The files of one download. `once`: all are taken once; `clears`: they go at the peer."""

    def __init__(
        self,
        ctx: RunContext,
        peer: Files,
        picks: PickUps,
        journal: Journal,
        *,
        once: bool,
        clears: bool,
        on_unfinished: OnUnfinished,
    ) -> None:
        self._ctx, self._peer, self._picks, self._journal = ctx, peer, picks, journal
        self._once, self._clears, self._leaves = once, clears, on_unfinished == "leave"

    def plan(self, files: Sequence[RemoteFile]) -> list[Requested]:
        """What is to become of each; a path alone may stand for several versions of its file."""
        every = [version for file in files for version in self._versions(file)]
        paths = Counter(file.path for file in every)
        self._told = TakenReport(self._ctx)
        found = [self._wanted(file, file.path if paths[file.path] == 1 else _key(file)) for file in every]
        self._told.say()
        return found

    def _versions(self, file: RemoteFile) -> list[RemoteFile]:
        """The file, if it is there, and versions of it that are not, and that an earlier run has not finished with."""
        if not self._claims(file) or _is_exact(file):
            return [file]
        earlier = self._picks.unfinished(file.path)
        if not earlier:
            return [file]
        found = self._peer.look(file.path)
        gone = [each for each in earlier if found is None or not each.seen.same_as(found.size, found.mtime)]
        if any(each.is_ours for each in gone):
            found = None  # this attempt repeats one that had moved it: what has its name now is for the next run
        records = [
            file.model_dump()
            | {"rel_path": file.relative, "size": each.seen.size, "mtime": each.seen.mtime, "sha256": each.seen.sha256}
            for each in gone
        ]
        if found is not None:
            now = {"rel_path": file.relative, "size": found.size, "mtime": found.mtime}
            records.append(file.model_dump() | now)
        return [RemoteFile.model_validate(each) for each in told_apart(records)]

    def _claims(self, file: RemoteFile) -> bool:
        return self._once or file.new or self._clears

    def _wanted(self, file: RemoteFile, key: str) -> Requested:
        claims, path = self._claims(file), file.path
        if not claims:
            return Requested(file, key, "bring", claims)
        exact = file
        if not _is_exact(file):
            found = self._peer.look(path)
            if found is None and self._picks.is_known(path) and self._journal.get(key) is None:
                return Requested(file, key, "known" if self._is_once(file) else "bring", claims)
            if found is not None:
                exact = file.model_copy(update={"size": found.size, "mtime": found.mtime})
        standing, taken = self._picks.standing(path, exact.size, exact.mtime)
        if standing == "known" and self._is_once(file):
            return Requested(file, key, "known", claims)
        if standing == "claimed":
            return Requested(file, key, self._busy(file, taken), claims)
        if taken is None or (taken.is_ours and self._journal.get(key) is not None):
            return Requested(file, key, "bring", claims, taken)
        if standing == "unfinished" and self._leaves:
            return Requested(file, key, "unfinished", claims, taken)
        there = self._peer.look(path)
        is_there = there is not None and taken.seen.same_as(there.size, there.mtime)
        if not taken.is_ours:
            self._told.add(f"taken over from run {taken.run_id}, which did not finish", path)
        return Requested(file, key, "bring", claims, taken, None if is_there else self._picks.whole(taken))

    def _is_once(self, file: RemoteFile) -> bool:
        return self._once or file.new

    def _busy(self, file: RemoteFile, taken: TakenVersion | None) -> Verdict:
        run_id = taken.run_id if taken else ""
        if self._is_once(file):
            self._told.add(f"left out, run {run_id} is at it", file.path)
            return "claimed"
        raise ClaimBusyError(f"run {run_id} is taking {shown(file.path)}", run_id=run_id, fix="wait for that run")


def copy_of(kept: Path, sha256: str | None, sink: ResumableWriter, progress: Progress) -> None:
    """Copy what an earlier run has brought; StepError if it has changed since it was looked at."""
    sink.restart()
    with open_file(kept) as file:
        while data := file.read(CHUNK):
            sink.write(data)
            progress.tick(len(data))
    if sink.sha256 != sha256:
        sink.discard()
        raise StepError(f"{kept} changed while it was copied", fix="try again")


def _is_exact(file: RemoteFile) -> bool:
    return file.size is not None and file.mtime is not None


def _key(file: RemoteFile) -> str:
    return f"{file.path}\0{file.size} {file.mtime}"
