import hashlib
import json
from typing import Any, Literal

from pydantic import Field, model_validator

from aetherflow.core.api import Flag, PlainValue, Step, StepError, StepInputError, StepInputs, StepOutputs, WritePath


class Inputs(StepInputs):
    path: WritePath = Field(description="The file, relative to the job's artifacts; its folder is created if missing")
    content: PlainValue = Field(description="Text, or a value to be written as JSON; templates are rendered")
    format: Literal["auto", "text", "json"] = Field(
        "auto", description="auto: text as it is, any other value as JSON; json: text also becomes a JSON string"
    )
    overwrite: Flag = Field(True, description="Replace an existing file; false: a file with other content is an error")

    @model_validator(mode="after")
    def _text_is_text(self) -> "Inputs":
        if self.format == "text" and not isinstance(self.content, str):
            raise ValueError("format text needs text as content; quote it, or use format json")
        return self


class Outputs(StepOutputs):
    path: str = Field(description="Absolute path of the file")
    size: int = Field(description="Size in bytes")
    sha256: str = Field(description="Checksum of the content")


class FileWrite(Step[Inputs]):
    """Write a small file atomically: text as it is, or a value as JSON, in UTF-8.

    Example:
        - id: note
          type: file_write
          inputs:
            path: summary.json
            content: {flow: "{{flow_id}}", date: "{{run.date.iso}}"}
    """

    Outputs = Outputs

    def run(self) -> dict[str, Any]:
        data, path = self._data(), self.ctx.write_path(self.args.path)
        if path.is_dir():
            raise StepError(f"a folder stands in the way: {path}", fix="give another path")
        # a file with the same content may be that of an earlier attempt
        if not self.args.overwrite and path.exists() and path.read_bytes() != data:
            raise StepError(f"exists already: {path}", fix="set overwrite: true, or give another path")
        with self.ctx.write_file(path) as file:
            file.write(data)
        return {"path": str(path), "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}

    def plan(self) -> list[str]:
        verb = "replace" if self.ctx.write_path(self.args.path).exists() else "write"
        return [f"{verb} {self.args.path}, {len(self._data()):,} bytes"]

    def _data(self) -> bytes:
        content = self.args.content
        if isinstance(content, str) and self.args.format != "json":
            text = content
        else:
            text = json.dumps(content, ensure_ascii=False, indent=2, allow_nan=False, default=str) + "\n"
        try:
            return text.encode()
        except UnicodeEncodeError:
            raise StepInputError(
                "content is not valid Unicode (a lone surrogate)", fix="correct the step or file that it comes from"
            ) from None
