"""The common code of the upload steps, for SFTP and SMB."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import Field, field_validator, model_validator

from aetherflow.core.api import (
    Flag,
    Lack,
    PlainText,
    SetsMode,
    StepInputError,
    StepInputs,
    StepOutputs,
    StepResult,
    WritePath,
)
from aetherflow_builtins_transfer.delivery import Delivery, Plan, UploadItem
from aetherflow_builtins_transfer.moving.serving import Needs
from aetherflow_builtins_transfer.parallel import Parallelism
from aetherflow_builtins_transfer.paths import safe_relative, safe_remote_name
from aetherflow_builtins_transfer.records import After, ControlFile, LocalFiles, OnEmpty, empty_result
from aetherflow_builtins_transfer.steps.remote_change import counted, some
from aetherflow_builtins_transfer.steps.remote_step import RemoteStep


class UploadInputs(StepInputs):
    """The local files, their remote folder, and what happens to them afterwards."""

    items: LocalFiles | None = Field(None, description="The files: paths, or `{file, id?, remote_name?}`.")
    local_files: LocalFiles | None = Field(None, description="The same.")
    remote_dir: PlainText = Field(min_length=1, description="The remote folder; created if missing.")
    preserve_tree: Flag = Field(
        False, description="Keep the files' folders below the job's artifacts; false: only their names."
    )
    overwrite: Flag = Field(True, description="Replace an existing remote file; false: it is a failure.")
    skip_delivered: Flag = Field(
        True,
        description="Leave out files that an earlier run has delivered to that name with the same content; false: send "
        "them again.",
    )
    verify: PlainText = Field(
        "size", description="`size`, or `sha256`: read the remote file back and compare before it gets its name."
    )
    control_files: list[ControlFile] = Field(
        [], description="Control files to send after each file: `sha256` (FILE.sha256), `rows` (FILE.rows)."
    )
    header_rows: int = Field(1, ge=0, description="Lines of a file that its FILE.rows does not count.")
    preserve_mtime: Flag = Field(True, description="Set the remote file's time to the local file's.")
    mode: PlainText | None = Field(
        None, pattern=r"^0?[0-7]{3}$", description='Remote permission bits, as text: `"640"` (SFTP only).'
    )
    after: After = Field("keep", description="What happens to a delivered local file: `keep`, `move`, `delete`.")
    move_to: WritePath | None = Field(
        None, min_length=1, description="With `after: move`: local folder, relative to the job's artifacts."
    )
    parallelism: Parallelism = Field(Parallelism(), description="How many at the same time.")
    on_empty: OnEmpty = Field("ok", description="No files given: `ok`, `skip` the step, or `fail` it.")

    @field_validator("verify")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in ("size", "sha256"):
            raise ValueError("must be size or sha256")
        return value

    @model_validator(mode="after")
    def _one_list(self) -> "UploadInputs":
        if self.items is None and self.local_files is None:
            raise ValueError("items is missing")
        if None not in (self.items, self.local_files) and self.items != self.local_files:
            raise ValueError("items and local_files are both given and differ")
        if (self.after == "move") != (self.move_to is not None):
            raise ValueError("after: move and move_to go together")
        return self


MOST_RECEIPTS = 100
"""Files of an upload that stand in its receipt one by one; all are in `files`."""


class UploadOutputs(StepOutputs):
    count: int = Field(description="Number of files, including those that were left out.")
    uploaded: list[str] = Field(description="Absolute local paths of the files, in their order.")
    remote_dir: str = Field(description="The remote folder.")
    manifest: str = Field(description="File with a list of `{id, file, remote_path}`, or `{id, skipped: true}`.")
    files: list[dict[str, Any]] = Field(
        description="Of each file: id, file, remote_path, size, sha256, and status: `uploaded` or `unchanged`."
    )
    receipt: dict[str, list[dict[str, Any]]] = Field(
        default_factory=dict, description="What was `read` and `made`, as `runs show --receipts` shows it."
    )


UploadT = TypeVar("UploadT", bound=UploadInputs)


class UploadFiles(RemoteStep[UploadT]):
    """The base of the upload steps."""

    Outputs = UploadOutputs

    @classmethod
    def needs(cls, inputs: Mapping[str, Any]) -> Needs:
        del inputs
        return [("list",), ("upload", "write_bytes")]

    @classmethod
    def lacks(cls, inputs: Mapping[str, Any], connector: type, of: str) -> Iterator[Lack]:
        """Also `chmod`, if the step is to set a mode."""
        yield from super().lacks(inputs, connector, of)
        if inputs.get("mode") is not None and not issubclass(connector, SetsMode):
            yield Lack("lacks chmod(): its files have no permission bits, and `mode` sets them")

    def plan(self) -> list[str]:
        """The sentences of a dry run: uploads, and changes of local files."""
        items = self._items()
        if not items:
            return []
        names = [each.local.name for each in items]
        told = [
            f"upload {counted(names)} to {self.args.remote_dir} at resource {self.inputs['resource']}: {some(names)}"
        ]
        if self.args.after != "keep":
            told.append(f"then {self.args.after} the local files")
        return told

    def run(self) -> StepResult:
        args, items = self.args, self._items()
        delivery = Delivery(
            self.ctx,
            self.peer,
            self.resource,
            Plan(
                overwrite=args.overwrite,
                skip_delivered=args.skip_delivered,
                verify_sha256=args.verify == "sha256",
                preserve_mtime=args.preserve_mtime,
                mode=None if args.mode is None else int(args.mode, 8),
                control_files=tuple(args.control_files),
                header_rows=args.header_rows,
                after=args.after,
                move_to=None if args.move_to is None else self.ctx.write_path(args.move_to),
                parallelism=args.parallelism,
            ),
        )
        results = delivery.run(items)
        output = {
            "count": len(items),
            "uploaded": [str(each.local) for each in items],
            "remote_dir": args.remote_dir,
            "manifest": str(delivery.write_manifest(items, results)),
            "files": results,
            "receipt": self._receipt(results),
        }
        return StepResult(output=output) if items else empty_result(args.on_empty, output, "items")

    def _receipt(self, results: Sequence[Mapping[str, Any]]) -> dict[str, list[dict[str, Any]]]:
        """The files, and their deliveries; of many only that they are."""
        sent = [each for each in results if each.get("remote_path")]
        if len(sent) > MOST_RECEIPTS:
            return {"made": [{"kind": "delivery", "name": f"{len(sent):,} files in {self.args.remote_dir}"}]}
        read = [{"kind": "file", "name": each["file"], "sha256": each.get("sha256")} for each in sent]
        made = [
            {"kind": "delivery", "name": each["remote_path"], "bytes": each.get("size"), "sha256": each.get("sha256")}
            for each in sent
        ]
        return {"read": read, "made": made}

    def _items(self) -> list[UploadItem]:
        """The files with their targets; StepInputError if two have the same target."""
        args, found = self.args, []
        artifacts = self.ctx.artifacts_dir(self.job_id)
        for each in args.items if args.items is not None else args.local_files or []:
            local = self._path(each.file)
            name = safe_remote_name(each.remote_name or local.name)
            if args.preserve_tree:
                if not local.is_relative_to(artifacts):
                    raise StepInputError(f"preserve_tree: {local} is not below the job's artifacts, {artifacts}")
                folder = local.relative_to(artifacts).parent
                name = str(safe_relative(str(folder / name)))
            found.append(UploadItem(each.id or local.name, local, self.peer.join(args.remote_dir, name)))
        self._check_names(found)
        return found

    def _check_names(self, items: list[UploadItem]) -> None:
        """StepInputError, before any upload, if two files would get the same remote name or name in `move_to`."""
        taken: dict[str, Path] = {}
        for item in items:
            for target in (item.target, *(f"{item.target}.{each}" for each in self.args.control_files)):
                place = self.peer.identity(target)
                if place in taken:
                    raise StepInputError(
                        f"{taken[place]} and {item.local} would both become {target}",
                        fix="preserve_tree: true keeps their folders apart, remote_name gives another name",
                    )
                taken[place] = item.local
        moved: dict[str, Path] = {}
        for item in items if self.args.after == "move" else ():
            if (other := moved.setdefault(item.local.name, item.local)) != item.local:
                raise StepInputError(
                    f"{other} and {item.local} would both become {item.local.name} in move_to",
                    fix="deliver each folder by a step of its own",
                )

    def _path(self, given: str) -> Path:
        return self.ctx.read_path(given) if self.args.after == "keep" else self.ctx.write_path(given)
