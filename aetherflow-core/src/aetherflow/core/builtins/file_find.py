import datetime as dt
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from aetherflow.core.api import Flag, RunContext, Step, StepError, StepOutputs, StepResult
from aetherflow.core.builtins.file_lists import Texts, below, counted, locate, shown
from aetherflow.core.builtins.gate import GateInputs
from aetherflow.core.builtins.globbing import Found, find, look

POLL_SECONDS = 0.1


class Inputs(GateInputs):
    path: str = Field(".", description="Folder to search, relative to the job's artifacts, which is the default")
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
    sort: Literal["name", "mtime", "size"] = Field("name", description="Order of the result; name: by path")
    descending: Flag = Field(False, description="Reverse the order: last, newest or largest first")
    limit: int | None = Field(None, ge=1, description="Most files to return, the first ones in the order")


class Outputs(StepOutputs):
    has_data: bool = Field(description="True if at least min_count files match")
    count: int = Field(description="Number of files returned")
    matched: int = Field(description="Number of files that match, before `limit`")
    files: list[dict[str, Any]] = Field(description="Each file: path, rel_path, name, size in bytes, mtime")
    paths: list[str] = Field(description="The absolute paths alone")
    first: str | None = Field(description="Absolute path of the first file; null if there is none")
    total_bytes: int = Field(description="Sum of the sizes")


class FileFind(Step[Inputs]):
    """List files by pattern, age and size; SKIPPED if fewer than `min_count` match.

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
        files = self._sorted(found)
        output = {
            "count": len(files),
            "matched": len(found),
            "files": [record(each) for each in files],
            "paths": [str(each.path) for each in files],
            "first": str(files[0].path) if files else None,
            "total_bytes": sum(each.size for each in files),
        }
        return args.judge(len(found), output, "check path, pattern, min_age_seconds and min_size")

    def plan(self) -> list[str]:
        files = self._sorted(self._search())
        names = shown(below(self.ctx, self.job_id, [each.path for each in files]))
        return [
            f"{counted(len(files))} match{'' if len(files) > 1 else 'es'} now: {names}"
            if files
            else "no file matches now"
        ]

    def _search(self) -> list[Found]:
        args = self.args
        folder = locate(self.ctx, self.job_id, args.path, "read")
        if not folder.is_dir():
            what = "not a folder" if folder.exists() else "no such folder"
            raise StepError(f"{what}: {args.path}", fix="check `path`")
        latest = time.time_ns() - int(args.min_age_seconds * 1e9)
        files = []
        for number, each in enumerate(find(folder, args.pattern, args.exclude)):
            if number % 1000 == 0:
                self.ctx.check_cancelled()
                self.ctx.progress(number, unit="files")
            if each.size >= args.min_size and (not args.min_age_seconds or each.mtime_ns <= latest):
                files.append(each)
        return files

    def _sorted(self, found: Sequence[Found]) -> list[Found]:
        keys: dict[str, Callable[[Found], Any]] = {
            "name": lambda each: each.rel,
            "mtime": lambda each: (each.mtime_ns, each.rel),
            "size": lambda each: (each.size, each.rel),
        }
        return sorted(found, key=keys[self.args.sort], reverse=self.args.descending)[: self.args.limit]


def record(found: Found) -> dict[str, Any]:
    """The record of a file in outputs; `mtime` is an ISO 8601 UTC time to the second."""
    at = dt.datetime.fromtimestamp(found.mtime_ns / 1e9, dt.UTC).isoformat(timespec="seconds")
    return {
        "path": str(found.path),
        "rel_path": found.rel,
        "name": Path(found.rel).name,
        "size": found.size,
        "mtime": at,
    }


def stable(ctx: RunContext, found: Sequence[Found], seconds: float) -> list[Found]:
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
