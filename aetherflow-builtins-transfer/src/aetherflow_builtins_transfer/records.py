"""Records of files that steps exchange; accepted as lists, JSON text, or plain paths."""

import json
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from aetherflow.core.api import Flag, PlainText, ReadPath, StepInputError, StepInputs, StepResult
from aetherflow_builtins_transfer.failures import shown

OnEmpty = Literal["ok", "skip", "fail"]
After = Literal["keep", "move", "delete"]
ControlFile = Literal["sha256", "rows"]


def listed(value: Any) -> Any:
    """A list from a list, its JSON text, or a single value."""
    if isinstance(value, str):
        text = value.strip()
        if not text.startswith("["):
            return [value] if text else []
        try:
            return json.loads(text)
        except ValueError:
            raise ValueError("starts like a JSON list and is none") from None
    return [value] if isinstance(value, dict) else value


class RemoteFile(StepInputs):
    """A remote file, as a list step returns it; only `path` is required."""

    path: PlainText = Field(min_length=1, description="Remote path.")
    rel_path: PlainText | None = Field(None, description="Path below the listed folder; default: its name.")
    name: PlainText | None = Field(None, description="Its name.")
    is_dir: Flag = Field(False, description="True for a folder, which is refused.")
    size: int | None = Field(None, description="Size in bytes.")
    mtime: float | None = Field(None, description="Time of the last change, in Unix seconds.")
    sha256: PlainText | None = Field(None, description="SHA-256 of the file, in hexadecimal, if known.")
    new: Flag = Field(
        False, description="True from a list with `new_only`: a download takes it once, as with `new_only`."
    )

    @property
    def relative(self) -> str:
        """`rel_path`, or the last part of the path."""
        return self.rel_path or self.path.replace("\\", "/").rstrip("/").rpartition("/")[2]


class LocalFile(StepInputs):
    """A local file, and its remote name."""

    file: ReadPath = Field(min_length=1, description="Path of the file, relative to the job's artifacts.")
    id: PlainText | None = Field(None, description="Id in the manifest; default: its name.")
    remote_name: PlainText | None = Field(None, description="Remote name; default: its own name.")


def _remote(value: Any) -> Any:
    found = listed(value)
    return [{"path": each} if isinstance(each, str) else each for each in found] if isinstance(found, list) else found


def _local(value: Any) -> Any:
    found = listed(value)
    return [{"file": each} if isinstance(each, str) else each for each in found] if isinstance(found, list) else found


Texts = Annotated[list[PlainText], BeforeValidator(listed, json_schema_input_type=list[str] | str)]
RemoteFiles = Annotated[list[RemoteFile], BeforeValidator(_remote, json_schema_input_type=list[RemoteFile | str] | str)]
LocalFiles = Annotated[list[LocalFile], BeforeValidator(_local, json_schema_input_type=list[LocalFile | str] | str)]


def empty_result(on_empty: OnEmpty, output: dict[str, Any], what: str) -> StepResult:
    """The result of a step without files; StepInputError if `on_empty` is `fail`."""
    if on_empty == "fail":
        raise StepInputError(f"{what} is empty", fix="on_empty: skip or ok accepts that")
    if on_empty == "skip":
        return StepResult("SKIPPED", output, f"{what} is empty")
    return StepResult(output=output)


def refuse_folders(files: list[RemoteFile]) -> None:
    """Raise StepInputError for a record of a folder."""
    for each in files:
        if each.is_dir:
            raise StepInputError(
                f"a folder, not a file: {shown(each.path)}", fix="list with recursive: true for what is in it"
            )
