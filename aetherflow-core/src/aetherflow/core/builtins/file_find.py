import datetime as dt
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from aetherflow.core.api import STEP_SKIPPED, Flag, ReadPath, RunContext, Step, StepError, StepOutputs, StepResult
from aetherflow.core.builtins.claimed_files import ClaimedFiles, NewFile, OnUnfinished
from aetherflow.core.builtins.file_lists import Texts, below, counted, locate, shown
from aetherflow.core.builtins.gate import GateInputs
from aetherflow.core.builtins.globbing import MatchedFile, find, look

POLL_SECONDS = 0.1


class Inputs(GateInputs):
    path: ReadPath = Field(".", description="Folder to search, relative to the job's artifacts, which is the default")
    pattern: Texts = Field(
        ["*"], min_length=1, description="Which files below it: `*`, `?`, `[a-z]`, `**` for any folders; one or a list"
    )
    exclude: Texts = Field(
        [], description="Files and folders to leave out; a pattern without slash is matched against each name"
    )
    min_age_seconds: float = Field(0, ge=0, description="Leave out files that changed within this time")
    min_size: int = Field(0, ge=0, description="Leave out files of fewer bytes")
    stable_seconds: float = Field(
        0, ge=0, description="Watch for this time, and leave out files that change in size or time of change"
    )
    new_only: Flag = Field(
        False, description="Only what no earlier run of this flow has found so, or what has changed since then"
    )
    on_unfinished: OnUnfinished = Field(
        "take_over",
        description="With new_only: what a run that did not end well has found is new again with `take_over`; `leave` "
        "leaves it to a person (`aetherflow runs resolve`, or a resume of that run)",
    )
    sort: Literal["name", "mtime", "size"] = Field("name", description="Order of the result; name: by path")
    descending: Flag = Field(False, description="Reverse the order: last, newest or largest first")
    limit: int | None = Field(None, ge=1, description="Most files to return, the first ones in the order")


class Outputs(StepOutputs):
    has_data: bool = Field(description="True if at least min_count files match")
    count: int = Field(description="Number of files returned")
    matched: int = Field(description="Number of files that match, before `limit`")
    files: list[dict[str, Any]] = Field(
        description="Each file: path, rel_path, name, size in bytes, mtime; with new_only also claim, which names the "
        "file in every run (a `load_id`), and taken_over_from"
    )
    paths: list[str] = Field(description="The absolute paths alone")
    first: str | None = Field(description="Absolute path of the first file; null if there is none")
    total_bytes: int = Field(description="Sum of the sizes")


class FileFind(Step[Inputs]):
    """List files: by pattern, age, size, newness; SKIPPED under `min_count`.

    Links are neither followed nor listed. Names that begin with a dot match only patterns that begin with a dot. A
    folder that does not exist is an error.

    Example:
        - id: find
          type: file_find
          inputs:
            pattern: "**/*.csv"
            exclude: ["*.tmp"]
            sort: mtime
            on_empty: ok
    """

    Outputs = Outputs

    def run(self) -> StepResult:
        args = self.args
        found = self._search()
        if args.stable_seconds and found:
            found = stable(self.ctx, found, args.stable_seconds)
        if args.new_only:
            return self._take_new(found)
        files = self._sorted(found)
        return self._judge(len(found), [record(each) for each in files])

    def _judge(self, matched: int, files: list[dict[str, Any]]) -> StepResult:
        output = {
            "count": len(files),
            "matched": matched,
            "files": files,
            "paths": [each["path"] for each in files],
            "first": files[0]["path"] if files else None,
            "total_bytes": sum(each["size"] for each in files),
        }
        return self.args.judge(matched, output, "check path, pattern, min_age_seconds and min_size")

    def _take_new(self, found: list[MatchedFile]) -> StepResult:
        args = self.args
        picked = ClaimedFiles(self.ctx, self._folder())
        new, left = picked.new(found, args.pattern, args.exclude, args.on_unfinished)
        by_file = {each.found: each for each in new}
        wanted = [by_file[each] for each in self._sorted(list(by_file))]
        result = self._judge(len(new), [record(each.found) for each in wanted])
        if result.status == STEP_SKIPPED and left and not new:
            runs = ", ".join(sorted({claim.run_id for claim in left}))
            told = f"{len(left)} left to a person: taken by {runs}, not finished"
            return StepResult(STEP_SKIPPED, result.output, told, "unfinished")
        if result.status == STEP_SKIPPED:
            return result
        return self._judge(len(new), [self._taken(picked, each) for each in wanted])

    @staticmethod
    def _taken(picked: ClaimedFiles, each: NewFile) -> dict[str, Any]:
        path, claim = picked.take(each)
        told = {"path": str(path), "claim": claim.identity, "taken_over_from": claim.taken_from}
        return record(each.found) | told

    def plan(self) -> list[str]:
        found, args = self._search(), self.args
        if args.new_only:
            picked = ClaimedFiles(self.ctx, self._folder())
            found = [each.found for each in picked.new(found, args.pattern, args.exclude, args.on_unfinished)[0]]
        files = self._sorted(found)
        names = shown(below(self.ctx, self.job_id, [each.path for each in files]))
        return [
            f"{counted(len(files))} match{'' if len(files) > 1 else 'es'} now: {names}"
            if files
            else "no file matches now"
        ]

    def _folder(self) -> Path:
        path = self.args.path
        folder = locate(self.ctx, self.job_id, path, "read")
        if not folder.is_dir():
            what = "not a folder" if folder.exists() else "no such folder"
            pattern = any(sign in path for sign in "*?[")
            fix = "name the folder by `path`, and the files in it by `pattern`" if pattern else "check `path`"
            raise StepError(f"{what}: {path}", fix=fix)
        return folder

    def _search(self) -> list[MatchedFile]:
        args, folder = self.args, self._folder()
        latest = time.time_ns() - int(args.min_age_seconds * 1e9)
        files = []
        for number, each in enumerate(find(folder, args.pattern, args.exclude)):
            if number % 1000 == 0:
                self.ctx.check_cancelled()
                self.ctx.progress(number, unit="files")
            if each.size >= args.min_size and (not args.min_age_seconds or each.mtime_ns <= latest):
                files.append(each)
        return files

    def _sorted(self, found: Sequence[MatchedFile]) -> list[MatchedFile]:
        keys: dict[str, Callable[[MatchedFile], Any]] = {
            "name": lambda each: each.rel,
            "mtime": lambda each: (each.mtime_ns, each.rel),
            "size": lambda each: (each.size, each.rel),
        }
        return sorted(found, key=keys[self.args.sort], reverse=self.args.descending)[: self.args.limit]


def record(found: MatchedFile) -> dict[str, Any]:
    """The record of a file in outputs; `mtime` is an ISO 8601 UTC time to the second."""
    at = dt.datetime.fromtimestamp(found.mtime_ns / 1e9, dt.UTC).isoformat(timespec="seconds")
    return {
        "path": str(found.path),
        "rel_path": found.rel,
        "name": Path(found.rel).name,
        "size": found.size,
        "mtime": at,
    }


def stable(ctx: RunContext, found: Sequence[MatchedFile], seconds: float) -> list[MatchedFile]:
    """The files whose size, time of change and inode stay the same for `seconds`."""
    deadline = time.monotonic() + seconds
    same = list(found)
    while True:
        pause(ctx, min(POLL_SECONDS * 5, max(0.0, deadline - time.monotonic())))
        same = [each for each in same if look(each.path, each.rel) == each]
        if not same or time.monotonic() >= deadline:
            return same


def pause(ctx: RunContext, seconds: float) -> None:
    """Wait for `seconds`; StepCancelledError at once if the step is to end."""
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        ctx.check_cancelled()
        time.sleep(min(left, POLL_SECONDS))
    ctx.check_cancelled()
