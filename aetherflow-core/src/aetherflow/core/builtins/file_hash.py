import hashlib
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from aetherflow.core.api import Flag, Step, StepError, StepInputError, StepOutputs, StepResult, WritePath, open_file
from aetherflow.core.builtins.checksums import as_line, read_lines
from aetherflow.core.builtins.file_lists import (
    Files,
    FoundFile,
    Texts,
    below,
    counted,
    list_files,
    only_files,
    require_all,
    shown,
)
from aetherflow.core.builtins.gate import GateInputs

CHUNK = 1 << 20
SIDE = ".sha256"


class Inputs(GateInputs):
    path: Files = Field(
        description="The files to hash; with `verify: true` the files with the checksums, as for `sha256sum -c`. "
        "A path, a pattern, or a list; relative to the job's artifacts"
    )
    exclude: Texts = Field([], description="Files and folders that a pattern leaves out")
    side_files: Flag = Field(False, description="Write the checksum of each file to a file beside it, with .sha256")
    dest: WritePath | None = Field(None, description="Write all checksums to this file, names relative to its folder")
    verify: Flag = Field(False, description="Read checksums and compare; the failure names all files that differ")

    @model_validator(mode="after")
    def _one_direction(self) -> "Inputs":
        if self.verify and (self.side_files or self.dest):
            raise ValueError("verify reads checksums; it writes neither side_files nor dest")
        return self


class Outputs(StepOutputs):
    has_data: bool = Field(description="True if there were at least min_count files")
    count: int = Field(description="Number of files hashed")
    files: list[dict[str, Any]] = Field(description="Each file: path, sha256, size in bytes")
    sha256: str | None = Field(description="The checksum, if it is one file; else null")
    written: list[str] = Field(description="Absolute paths of the checksum files that were written")


class FileHash(Step[Inputs]):
    """Make or verify sha256 checksums, in the format of `sha256sum`.

    Example:
        - id: sums
          type: file_hash
          inputs:
            path: out/*.csv
            dest: out/SHA256SUMS
            on_empty: ok
    """

    Outputs = Outputs

    def run(self) -> StepResult:
        args = self.args
        given = self._listed()
        if args.verify:
            files, written = self._verify(given), []
        else:
            files = [self._hash(each.path) for each in given]
            written = self._write([(str(each["sha256"]), Path(each["path"])) for each in files])
        output = {
            "count": len(files),
            "files": files,
            "sha256": files[0]["sha256"] if len(files) == 1 else None,
            "written": written,
        }
        return args.judge(len(files), output, "check path, or set on_empty: ok")

    def plan(self) -> list[str]:
        files, args = self._listed(), self.args
        names = below(self.ctx, self.job_id, [each.path for each in files])
        if not files:
            return ["no file to hash"]
        if args.verify:
            return [f"verify the checksums in {shown(names)}"]
        said = [f"hash {counted(len(files))}: {shown(names)}"]
        return said + ([f"write {args.dest}"] if args.dest else []) + (["write side files"] if args.side_files else [])

    def _listed(self) -> list[FoundFile]:
        args = self.args
        files, missing = list_files(self.ctx, self.job_id, args.path, role="read", exclude=args.exclude)
        require_all(missing)
        only_files(files, "write a pattern for what is in it, as in `out/**`")
        if args.verify:
            return files
        ours = {self.ctx.write_path(args.dest)} if args.dest else set()
        if args.side_files:  # side files of an earlier attempt, which a pattern like `out/*` also matches
            paths = {each.path for each in files}
            ours |= {path for path in paths if path.suffix == SIDE and path.with_suffix("") in paths}
        return [each for each in files if each.path not in ours]

    def _hash(self, path: Path) -> dict[str, Any]:
        digest, size = hashlib.sha256(), 0
        with open_file(path) as file:
            while data := file.read(CHUNK):
                self.ctx.check_cancelled()
                digest.update(data)
                size += len(data)
                self.ctx.progress(size, unit="bytes")
        return {"path": str(path), "sha256": digest.hexdigest(), "size": size}

    # Writing

    def _write(self, sums: list[tuple[str, Path]]) -> list[str]:
        texts: dict[Path, str] = {}
        if self.args.side_files:
            texts = {path.with_name(path.name + SIDE): as_line(digest, path.name) for digest, path in sums}
        if self.args.dest and sums:
            dest = self.ctx.write_path(self.args.dest)
            texts[dest] = "".join(as_line(digest, self._below(path, dest.parent)) for digest, path in sums)
        for path, text in texts.items():
            with self.ctx.write_file(path) as file:
                file.write(text.encode())
        return [str(path) for path in texts]

    def _below(self, path: Path, folder: Path) -> str:
        if not path.is_relative_to(folder):
            message = f"{path} is not below the folder of dest, {folder}"
            raise StepInputError(message, fix="put dest into a folder above all files, so that they move together")
        return str(path.relative_to(folder))

    # Reading

    def _verify(self, given: list[FoundFile]) -> list[dict[str, Any]]:
        good: dict[str, dict[str, Any]] = {}
        bad: list[tuple[str, Literal["missing", "differs"]]] = []
        for each in given:
            for digest, name in read_lines(each.path):
                path = self.ctx.read_path(str(each.path.parent / name))
                if not path.is_file():
                    bad.append((str(path), "missing"))
                elif (found := self._hash(path))["sha256"] != digest:
                    bad.append((str(path), "differs"))
                else:
                    good[str(path)] = found
        if bad:
            total = len(bad) + len(good)
            told = shown([f"{path} ({what})" for path, what in bad])
            fix = "get them again from where they came, or make new checksums if they were changed on purpose"
            raise StepError(f"{len(bad)} of {total} files are not what their checksums say: {told}", fix=fix)
        return list(good.values())
