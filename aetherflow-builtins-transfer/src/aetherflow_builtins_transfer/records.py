"""Files as steps hand them to each other: records, from lists, from JSON text, from plain paths."""

import json
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from aetherflow.core.api import Flag, StepInputError, StepInputs, StepResult
from aetherflow_builtins_transfer.failures import shown

OnEmpty = Literal["ok", "skip", "fail"]
After = Literal["keep", "move", "delete"]
ControlFile = Literal["sha256", "rows"]


def listed(value: Any) -> Any:
    """A list; its JSON text; or one thing alone, which is a list of one. Text is never taken letter by letter."""
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
    """A file at the peer, as a list step tells it; `path` alone is enough."""

    path: str = Field(min_length=1, description="Its path at the peer.")
    rel_path: str | None = Field(None, description="Its path below the folder that was listed; default: its name.")
    name: str | None = Field(None, description="Its name.")
    is_dir: Flag = Field(False, description="True for a folder, which is refused.")
    size: int | None = Field(None, description="Bytes.")
    mtime: float | None = Field(None, description="Time of the last change, in unix seconds.")
    sha256: str | None = Field(None, description="Its sha256 in hex, if somebody has told it.")
    new: Flag = Field(
        False, description="True from a list with `new_only`: a download takes it once, as with `new_only`."
    )

    @property
    def relative(self) -> str:
        """`rel_path`, or the last part of the path."""
        return self.rel_path or self.path.replace("\\", "/").rstrip("/").rpartition("/")[2]


class LocalFile(StepInputs):
    """A local file, and the name that it is to have at the peer."""

    file: str = Field(min_length=1, description="Its path, relative to the job's artifacts.")
    id: str | None = Field(None, description="How the manifest names it; default: its name.")
    remote_name: str | None = Field(None, description="Its name at the peer; default: its own.")


def _remote(value: Any) -> Any:
    found = listed(value)
    return [{"path": each} if isinstance(each, str) else each for each in found] if isinstance(found, list) else found


def _local(value: Any) -> Any:
    found = listed(value)
    return [{"file": each} if isinstance(each, str) else each for each in found] if isinstance(found, list) else found


Texts = Annotated[list[str], BeforeValidator(listed, json_schema_input_type=list[str] | str)]
RemoteFiles = Annotated[list[RemoteFile], BeforeValidator(_remote, json_schema_input_type=list[RemoteFile | str] | str)]
LocalFiles = Annotated[list[LocalFile], BeforeValidator(_local, json_schema_input_type=list[LocalFile | str] | str)]


def empty_result(on_empty: OnEmpty, output: dict[str, Any], what: str) -> StepResult:
    """The result of a step that was given no files."""
    if on_empty == "fail":
        raise StepInputError(f"{what} is empty", fix="on_empty: skip or ok accepts that")
    if on_empty == "skip":
        return StepResult("SKIPPED", output, f"{what} is empty")
    return StepResult(output=output)


def refuse_folders(files: list[RemoteFile]) -> None:
    """StepInputError for records of folders."""
    for each in files:
        if each.is_dir:
            raise StepInputError(
                f"a folder, not a file: {shown(each.path)}", fix="list with recursive: true for what is in it"
            )
