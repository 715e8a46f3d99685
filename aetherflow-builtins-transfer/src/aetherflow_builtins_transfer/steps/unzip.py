import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, Field, SecretStr

from aetherflow.core.api import (
    STEP_SKIPPED,
    ExtractRules,
    Flag,
    Holds,
    Lack,
    ReadPath,
    Step,
    StepError,
    StepOutputs,
    StepResult,
    Unpacked,
    WritePath,
    wrong_result,
)
from aetherflow_builtins_transfer.archives.limits import Limits
from aetherflow_builtins_transfer.archives.minimal import AnyArchive, lacks_of
from aetherflow_builtins_transfer.archives.tools import StepTools, Work
from aetherflow_builtins_transfer.archives.unpack import survey
from aetherflow_builtins_transfer.records import OnEmpty
from aetherflow_builtins_transfer.steps.archive_inputs import (
    ARCHIVE_SUFFIXES,
    ArchiveResource,
    TextList,
    archives_of,
    connector_for,
)


class Inputs(Limits):
    archives: Annotated[TextList, Holds.READS] = Field(
        validation_alias=AliasChoices("archives", "src"),
        description="An archive, a folder (all archives in it), a pattern, or a list of them; relative to the job's "
        "artifacts. Zip, tar, tar.gz and tar.zst are recognized by their content. Also spelt `src`.",
    )
    dest_dir: WritePath = Field(
        min_length=1,
        validation_alias=AliasChoices("dest_dir", "dst"),
        description="The folder to unpack to, relative to the job's artifacts. Also spelt `dst`.",
    )
    src_dir: ReadPath | None = Field(
        None,
        min_length=1,
        description="An archive `a/b.zip` below this folder is unpacked to `<dest_dir>/a`; an archive elsewhere to a "
        "folder with the archive's name. Default: the job's artifacts.",
    )
    private_zip_folder: Flag = Field(False, description="Unpack each archive to its own folder: `<dest_dir>/a/b`.")
    password: SecretStr | None = Field(None, description="Password of encrypted archives.")
    overwrite: Flag = Field(True, description="Replace existing files; false: keep them and list them in `skipped`.")
    members: TextList | None = Field(
        None, description="Names, folders or patterns of the members to unpack; each must match a member."
    )
    allow_case_collisions: Flag = Field(
        False, description="Accept members whose names differ by upper and lower case only."
    )
    missing: Literal["error", "skip"] = Field("error", description="If an archive is missing: `error` or `skip`.")
    resource: ArchiveResource | None = Field(
        None,
        validation_alias=AliasChoices("resource", "connector"),
        description="A resource of kind `archive`; default: `archive_default` if the flow has it, else a built-in "
        "driver. Also spelt `connector`.",
    )
    on_empty: OnEmpty = Field("skip", description="No archive at all: `skip`, `fail` or `ok`.")


class Outputs(StepOutputs):
    unzipped: list[dict[str, Any]] = Field(
        description="One map per archive: `archive`, `dest_dir`, `files` (absolute paths of written files), `skipped` "
        "(paths of kept files), `count`, `bytes`, `password`, `driver`."
    )
    dest_dir: str = Field(description="Absolute path of the folder.")
    count: int = Field(description="Files written, of all archives.")


@dataclass(frozen=True)
class _Staged:
    archive: Path
    folder: Path
    dest: Path
    found: list[Unpacked]
    driver: str


class Unzip(Step[Inputs]):
    """Unpacks archives after checks: no file leaves the destination, no decompression bomb fills the disk.

    Every archive is first unpacked to a temporary folder, so a refused or damaged archive changes nothing. Refused are
    absolute paths, `..`, links, devices, duplicate members, members that differ by case only, and exceeded limits.

    Example:
        - id: unpack
          type: unzip
          inputs: {archives: inbox, dest_dir: data, max_total_bytes: 500000000}
    """

    Outputs = Outputs

    @classmethod
    def lacks(cls, inputs: Mapping[str, Any], connector: type, of: str) -> "Iterable[Lack]":
        """What a connector class lacks for unpacking."""
        del of
        return lacks_of(connector, "extract_zip", inputs)

    def run(self) -> StepResult:
        dest = self.ctx.write_path(self.args.dest_dir)
        archives = self._archives()
        if not archives and self.args.on_empty == "skip":
            return StepResult(STEP_SKIPPED, {"unzipped": [], "dest_dir": str(dest), "count": 0}, "no_archives")
        encrypts = self.args.password is not None and _has_pyzipper()
        connector = connector_for(
            self.ctx, self.args.resource, encrypts=encrypts, method="extract_zip", inputs=self.inputs
        )
        aside = self.ctx.empty_dir(self.ctx.scratch_dir(self.job_id) / f"unzip-{self.id}")
        try:
            staged = [self._stage(connector, path, aside / str(number)) for number, path in enumerate(archives)]
            self._check_places(staged)
            results = [self._publish(each) for each in staged]
        finally:
            shutil.rmtree(aside, ignore_errors=True)
        if not dest.is_dir():
            self.ctx.empty_dir(dest)
        count = sum(len(result["files"]) for result in results)
        return StepResult(output={"unzipped": results, "dest_dir": str(dest), "count": count})

    def plan(self) -> list[str]:
        said = []
        for path in self._archives():
            found = [each for each in survey(path, self._rules()) if not each.is_dir]
            dest = self._dest_of(path)
            there = sum((dest / each.name).exists() for each in found)
            size = sum(each.size for each in found)
            shown = Path(self.args.dest_dir) / dest.relative_to(self.ctx.write_path(self.args.dest_dir))
            text = f"unpack {len(found)} files ({size:,} bytes) of {path.name} to {shown}"
            if there:
                text += f", {'replacing' if self.args.overwrite else 'leaving'} {there} that exist"
            said.append(text)
        return said

    def _archives(self) -> list[Path]:
        found = archives_of(self.ctx, self.args.archives, missing_ok=self.args.missing == "skip")
        if not found and self.args.on_empty == "fail":
            raise StepError("there is no archive to unpack", fix="on_empty: skip accepts that")
        return found

    def _rules(self) -> ExtractRules:
        args = self.args
        password = args.password.get_secret_value() if args.password else None
        return ExtractRules(args, password, args.members, args.allow_case_collisions)

    def _stage(self, connector: AnyArchive, archive: Path, folder: Path) -> _Staged:
        folder.mkdir(mode=0o700)
        found: object = connector.extract(archive, folder, self._rules(), Work(self._tick, StepTools(self.ctx)))
        if not isinstance(found, Sequence) or not all(isinstance(each, Unpacked) for each in found):
            raise wrong_result(connector, "extract", found, "a list of Unpacked")
        return _Staged(archive, folder, self._dest_of(archive), list(found), connector.driver)

    def _check_places(self, staged: list[_Staged]) -> None:
        """StepError, before any file is published, if two archives have the same member or something is in the way."""
        taken: dict[Path, Path] = {}
        for each in staged:
            for member in each.found:
                target = self.ctx.write_path(str(each.dest / member.name))  # refuses links on the way
                if member.is_dir != target.is_dir() and target.exists():
                    what = "file" if member.is_dir else "folder"
                    raise StepError(f"{target}: a {what} is in the way", fix="remove it, or use another dest_dir")
                other = taken.setdefault(target, each.archive)
                if other != each.archive and not member.is_dir:
                    raise StepError(
                        f"{other.name} and {each.archive.name} both hold {member.name}",
                        fix="private_zip_folder: true unpacks each to a folder of its own",
                    )

    def _publish(self, staged: _Staged) -> dict[str, Any]:
        files, skipped = [], []
        for member in staged.found:
            target = staged.dest / member.name
            if member.is_dir:
                if not target.exists():
                    self.ctx.empty_dir(target)
            elif target.exists() and not self.args.overwrite:
                skipped.append(str(target))
            else:
                self.ctx.check_cancelled()
                files.append(str(self.ctx.publish_file(staged.folder / member.name, target)))
        return {
            "archive": str(staged.archive),
            "dest_dir": str(staged.dest),
            "files": files,
            "skipped": skipped,
            "count": len(files),
            "bytes": sum(member.size for member in staged.found),
            "password": self.args.password is not None,
            "driver": staged.driver,
        }

    def _dest_of(self, archive: Path) -> Path:
        dest = self.ctx.write_path(self.args.dest_dir)
        base = self.ctx.read_path(self.args.src_dir) if self.args.src_dir else self.ctx.artifacts_dir(self.job_id)
        base = base.resolve()
        if not archive.is_relative_to(base):
            return dest / archive.name
        folder = dest / archive.relative_to(base).parent
        return folder / _stem(archive.name) if self.args.private_zip_folder else folder

    def _tick(self, done: int) -> None:
        self.ctx.progress(done, None, "bytes")
        self.ctx.check_cancelled()


def _stem(name: str) -> str:
    suffix = max((each for each in ARCHIVE_SUFFIXES if name.lower().endswith(each)), key=len, default="")
    return name[: len(name) - len(suffix)] or name


def _has_pyzipper() -> bool:
    from importlib.util import find_spec

    return find_spec("pyzipper") is not None
