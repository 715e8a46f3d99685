import time
from typing import Any, Literal

from pydantic import Field

from aetherflow.core.api import STEP_SKIPPED, Step, StepError, StepInputs, StepOutputs, StepResult
from aetherflow.core.builtins.file_find import pause, record
from aetherflow.core.builtins.file_lists import Files, Texts, locate, shown
from aetherflow.core.builtins.globbing import MatchedFile, find, has_wildcard, look, split_pattern


class Inputs(StepInputs):
    path: Files = Field(
        min_length=1,
        description="What to wait for: a path, a pattern, or a list; relative to the job's artifacts. Every path must "
        "exist, and every pattern must match at least `min_count` files",
    )
    exclude: Texts = Field([], description="Files and folders that a pattern leaves out")
    min_count: int = Field(1, ge=1, description="Fewest files that each pattern must match")
    min_size: int = Field(0, ge=0, description="A file of fewer bytes does not count")
    stable_seconds: float = Field(
        0, ge=0, description="A file counts once its size and time of change have stayed the same for this time"
    )
    max_wait_seconds: float = Field(3600, gt=0, description="Longest wait")
    poll_seconds: float = Field(1, gt=0, le=3600, description="Time between two checks")
    on_timeout: Literal["fail", "skip"] = Field("fail", description="After the longest wait: fail, or end SKIPPED")


class Outputs(StepOutputs):
    has_data: bool = Field(description="True if all files exist and are complete")
    count: int = Field(description="Number of files that exist and are complete")
    files: list[dict[str, Any]] = Field(description="Each file: path, rel_path, name, size in bytes, mtime")
    paths: list[str] = Field(description="The absolute paths alone")
    first: str | None = Field(description="Absolute path of the first file; null if there is none")


class FileWait(Step[Inputs]):
    """Wait until files exist and are complete; FAILED or SKIPPED after the longest wait.

    A stop of the run ends the wait at once. A resumed run starts a new wait.

    Example:
        - id: export
          type: file_wait
          inputs:
            path: ["in/*.csv", "in/done.flag"]
            stable_seconds: 5
            max_wait_seconds: 1800
    """

    Outputs = Outputs

    def run(self) -> StepResult:
        args = self.args
        deadline = time.monotonic() + args.max_wait_seconds
        since: dict[MatchedFile, float] = {}
        while True:
            now = time.monotonic()
            there, lacking = self._look(since, now)
            since = {each: since.get(each, now) for each in there}
            files = [each for each in there if now - since[each] >= args.stable_seconds]
            output = {
                "has_data": not lacking,
                "count": len(files),
                "files": [record(each) for each in files],
                "paths": [str(each.path) for each in files],
                "first": str(files[0].path) if files else None,
            }
            if not lacking:
                return StepResult(output=output)
            if now >= deadline:
                return self._over(output, lacking)
            self.ctx.progress(args.max_wait_seconds - (deadline - now), args.max_wait_seconds, "s")
            pause(self.ctx, min(args.poll_seconds, deadline - now))

    def plan(self) -> list[str]:
        _, lacking = self._look({}, 0)
        names = shown([each.path for each in self.args.path])
        return [
            f"wait at most {self.args.max_wait_seconds:g} s for {names}" + (", all there now" if not lacking else "")
        ]

    def _over(self, output: dict[str, Any], lacking: list[str]) -> StepResult:
        reason = f"not there after {self.args.max_wait_seconds:g} s: {shown(lacking)}"
        if self.args.on_timeout == "skip":
            return StepResult(STEP_SKIPPED, output, reason)
        raise StepError(reason, fix="find out why they are late, or raise max_wait_seconds")

    def _look(self, since: dict[MatchedFile, float], now: float) -> tuple[list[MatchedFile], list[str]]:
        """The existing files, stable or not, and the paths and patterns that are not satisfied, with the reason."""
        args = self.args
        there: dict[MatchedFile, None] = {}
        lacking = []
        for given in args.path:
            found = [each for each in self._find(given.path) if each.size >= args.min_size]
            there.update(dict.fromkeys(found))
            steady = sum(now - since.get(each, now) >= args.stable_seconds for each in found)
            pattern = has_wildcard(given.path)
            if steady < (args.min_count if pattern else 1):
                what = f"{steady} of {args.min_count}" if pattern else ""
                what = "still changing" if len(found) > steady and not what else what
                lacking.append(given.path + (f" ({what})" if what else ""))
        return list(there), lacking

    def _find(self, path: str) -> list[MatchedFile]:
        if not has_wildcard(path):
            found = look(locate(self.ctx, self.job_id, path, "read"), path.rpartition("/")[2])
            return [found] if found is not None else []
        base, pattern = split_pattern(path)
        folder = locate(self.ctx, self.job_id, base, "read")
        return sorted(find(folder, [pattern], self.args.exclude)) if folder.is_dir() else []
