from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BeforeValidator, Field, SecretStr

from aetherflow.core.api import (
    STEP_SKIPPED,
    ArchiveFormat,
    Flag,
    Lack,
    Packing,
    ReadPath,
    Step,
    StepError,
    StepInputs,
    StepOutputs,
    StepResult,
    WritePath,
)
from aetherflow_builtins_transfer.archives.collect import Collection, collect
from aetherflow_builtins_transfer.archives.engines import Optimize
from aetherflow_builtins_transfer.archives.formats import format_by_name
from aetherflow_builtins_transfer.archives.minimal import lacks_of
from aetherflow_builtins_transfer.archives.pack import Compression
from aetherflow_builtins_transfer.archives.tools import StepTools, Work
from aetherflow_builtins_transfer.records import OnEmpty
from aetherflow_builtins_transfer.steps.archive_inputs import ArchiveResource, TextList, as_list, connector_for


class ZipItem(StepInputs):
    """One item in the form of a map."""

    path: str | None = Field(None, min_length=1, description="A file or a folder.")
    glob: str | None = Field(
        None, min_length=1, description="A pattern: `*`, `?`, `[…]`, `**` for folders at any depth."
    )


def _items(value: Any) -> Any:
    """Replace maps `{path}` and `{glob}` by plain text."""
    found = as_list(value)
    if not isinstance(found, list):
        return found
    return [_text_of(item) if isinstance(item, dict) else item for item in found]


def _text_of(item: dict[str, Any]) -> str:
    read = ZipItem.model_validate(item)
    if (read.path is None) == (read.glob is None):
        raise ValueError("an item is a text, {path: …} or {glob: …}")
    return read.path or read.glob or ""


Items = Annotated[list[ReadPath], BeforeValidator(_items, json_schema_input_type=list[str | ZipItem] | str)]


class Inputs(StepInputs):
    dest_path: WritePath = Field(
        min_length=1,
        validation_alias=AliasChoices("dest_path", "dst"),
        description="The archive to write, relative to the job's artifacts. Also spelt `dst`.",
    )
    items: Items = Field(
        validation_alias=AliasChoices("items", "src"),
        description="Content: a path, a pattern with `*` or `**`, `{path: …}` or `{glob: …}`, or a list of them; "
        "folders with their content. Relative to the job's artifacts. Also spelt `src`.",
    )
    src_dir: ReadPath | None = Field(
        None, min_length=1, description="Names in the archive are relative to this; default: the job's artifacts."
    )
    recursive: Flag = Field(True, description="Include the subfolders of folders.")
    exclude: TextList = Field([], description="Patterns of names to leave out: `*.tmp`, `logs/*`.")
    missing: Literal["error", "ignore"] = Field("error", description="If an item matches nothing while others do.")
    overwrite: Flag = Field(True, description="Replace an existing archive; false: it is an error.")
    format: ArchiveFormat | None = Field(
        None, description="`zip`, `tar`, `tar.gz` or `tar.zst`; default: by the suffix of `dest_path`, else zip."
    )
    password: SecretStr | None = Field(None, description="Encrypt the content (zip only; AES by default).")
    compression: Compression = Field("deflated", description="`deflated` or `stored`.")
    optimize: Optimize = Field("speed", description="`speed`, or `size`: slower, about a tenth smaller.")
    timestamps: Literal["fixed", "keep"] = Field(
        "fixed", description="`fixed`: 1980-01-01, so that equal files give equal archives; `keep`: those of the files."
    )
    resource: ArchiveResource | None = Field(
        None,
        validation_alias=AliasChoices("resource", "connector"),
        description="A resource of kind `archive`; default: `archive_default` if the flow has it, else a built-in "
        "driver. Also spelt `connector`.",
    )
    on_empty: OnEmpty = Field("skip", description="No file at all: `skip`, `fail`, or `ok` for an archive of nothing.")


class Outputs(StepOutputs):
    output: str = Field(description="Absolute path of the archive.")
    count: int = Field(description="Number of members.")
    bytes: int | None = Field(None, description="Total size of the packed files.")
    size: int | None = Field(None, description="Size of the archive.")
    format: str | None = Field(None, description="Its format; null if the external program decides.")
    password: bool | None = Field(None, description="Whether it is encrypted.")
    driver: str | None = Field(None, description="The driver that made it.")
    src_dir: str | None = Field(None, description="Absolute path of the folder to which names are relative.")


class Zip(Step[Inputs]):
    """Packs files into an archive: zip, tar, tar.gz or tar.zst.

    The archive appears under its name only when it is complete. Equal files give an equal archive: members are sorted,
    times are fixed. Links are refused, because they may lead anywhere.

    Example:
        - id: pack
          type: zip
          inputs:
            items: ["exports/**/*.csv", readme.txt]
            dest_path: exports.zip
            on_empty: fail
    """

    Outputs = Outputs

    @classmethod
    def lacks(cls, inputs: Mapping[str, Any], connector: type, of: str) -> "Iterable[Lack]":
        """What a connector class lacks for packing."""
        del of
        return lacks_of(connector, "create_zip", inputs)

    def run(self) -> StepResult:
        args = self.args
        target = self.ctx.write_path(args.dest_path)
        found = self._found(target)
        if not found.sources and args.on_empty == "skip":
            return StepResult(STEP_SKIPPED, {"output": str(target), "count": 0}, "no_files")
        how = self._how()
        connector = connector_for(
            self.ctx, args.resource, encrypts=how.password is not None, method="create_zip", inputs=self.inputs
        )
        with self.ctx.write_file(target) as sink:
            connector.create(
                sink, found.sources, how, Work(lambda done: self._tick(done, found.total), StepTools(self.ctx))
            )
        return StepResult(
            output={
                "output": str(target),
                "count": len(found.sources),
                "bytes": found.total,
                "size": target.stat().st_size,
                "format": how.form if connector.FORMATS else None,
                "password": how.password is not None,
                "driver": connector.driver,
                "src_dir": str(self._src_dir()),
            }
        )

    def plan(self) -> list[str]:
        target = self.ctx.write_path(self.args.dest_path)
        found = self._found(target)
        if not found.sources and self.args.on_empty == "skip":
            return ["skip: there is no file to pack"]
        replaced = ", replacing the archive that is there" if target.exists() else ""
        names = _some([source.name for source in found.sources])
        return [
            f"pack {len(found.sources)} members ({found.total:,} bytes) into {self.args.dest_path}{replaced}: {names}"
        ]

    def _found(self, target: Path) -> Collection:
        args = self.args
        if target.exists() and not args.overwrite:
            raise StepError(f"{target} exists and overwrite is false", fix="delete it, or set overwrite: true")
        found = collect(
            self.ctx,
            args.items,
            args.src_dir,
            recursive=args.recursive,
            exclude=args.exclude,
            leave_out=target,
        )
        if found.sources and found.missing and args.missing == "error":
            raise StepError(
                f"nothing matches {', '.join(found.missing)}", fix="correct the item, or set missing: ignore"
            )
        if not found.sources and args.on_empty == "fail":
            raise StepError(f"nothing matches {', '.join(args.items)}", fix="on_empty: skip accepts that")
        return found

    def _how(self) -> Packing:
        args = self.args
        return Packing(
            form=args.format or format_by_name(args.dest_path),
            compression=args.compression,
            optimize=args.optimize,
            keep_times=args.timestamps == "keep",
            password=args.password.get_secret_value() if args.password else None,
        )

    def _src_dir(self) -> Path:
        return self.ctx.read_path(self.args.src_dir) if self.args.src_dir else self.ctx.artifacts_dir(self.job_id)

    def _tick(self, done: int, total: int) -> None:
        self.ctx.progress(done, total, "bytes")
        self.ctx.check_cancelled()


def _some(names: Sequence[str], most: int = 5) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
