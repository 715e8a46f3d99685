import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from aetherflow.core.api import Flag, PlainText, ReadPath, StepError, StepOutputs, open_file
from aetherflow_builtins_rest.steps.common import (
    Effect,
    Extract,
    HttpStep,
    PathInputs,
    Peer,
    Statuses,
    after_effect,
    effect_of,
    extracted,
    is_expected,
    json_of,
    shown_headers,
)
from aetherflow_builtins_rest.uploads import FileBody

_FIXED = ("status", "headers", "size", "sha256")
UploadMethod = Annotated[
    Literal["PUT", "POST", "PATCH"], BeforeValidator(lambda value: value.upper() if isinstance(value, str) else value)
]


class Inputs(PathInputs):
    """A file, and its target on the API."""

    file: ReadPath = Field(
        min_length=1, description="The file, relative to the job's artifacts; streamed, of any size."
    )
    method: UploadMethod = Field("PUT", description="PUT replaces what is there; POST adds a new resource.")
    content_type: PlainText = Field("application/octet-stream", description="Its media type.")
    sha256_header: PlainText | None = Field(None, description="Header for the file's SHA-256, hexadecimal.")
    expected_status: Statuses = Field([], description="Statuses that mean success. Default: by the resource.")
    extract: Extract = Field({}, description="Further outputs: name and JMESPath expression on the JSON response.")
    secret: list[PlainText] = Field([], description="Names under `extract` whose values are secrets.")
    keyed: Flag = Field(False, description="The API honours Idempotency-Key: a POST may be repeated like a PUT.")


class Outputs(StepOutputs):
    """The response, and the data of the file."""

    status: int = Field(description="Status of the response.")
    headers: dict[str, str] = Field(description="Its headers, names in lower case, none that hold credentials.")
    size: int = Field(description="Bytes of the file.")
    sha256: str = Field(description="SHA-256 of the file, hexadecimal.")


class HttpUpload(HttpStep[Inputs]):
    """Sends a file as the body of a request.

    The file is read again for every attempt and must not change meanwhile. For a form with files, use `multipart` of
    `http_request`.

        - id: report
          type: http_upload
          inputs:
            resource: api
            path: /reports/today.csv
            file: today.csv
            content_type: text/csv
    """

    Outputs = Outputs

    @classmethod
    def effect_of(cls, inputs: Mapping[str, Any]) -> Effect:
        """`once` for POST and PATCH unless keyed, otherwise `repeatable`."""
        return effect_of(inputs.get("method", "PUT"), inputs.get("keyed"))

    @classmethod
    def output_names(cls, inputs: Mapping[str, Any]) -> set[str]:
        """The fixed outputs and the names under `extract`."""
        extract = inputs.get("extract")
        return {*_FIXED, *(map(str, extract) if isinstance(extract, Mapping) else ())}

    def plan(self) -> list[str]:
        file = self.ctx.read_path(self.args.file)
        size = f"{file.stat().st_size:,} bytes" if file.is_file() else "not there yet"
        address = Peer(self.ctx, self.args.resource).address(self.args)
        return [f"send {self.args.file} ({size}) by {self.args.method} to {address}"]

    def run(self) -> dict[str, Any]:
        args, peer = self.args, Peer(self.ctx, self.args.resource)
        path = self.ctx.read_path(args.file)
        if not path.is_file():
            raise StepError(f"file {args.file} is not there", fix=f"looked for {path}")
        call = peer.call(args.method, args, keyed=args.keyed, expect=is_expected(args.expected_status))
        size = path.stat().st_size
        body = HashedBody(path, lambda done: self.ctx.progress(done, size, "bytes"))
        headers = {"Content-Type": args.content_type, "Content-Length": str(body.size), **args.headers}
        if args.sha256_header:
            with open_file(path) as file:
                headers[args.sha256_header] = hashlib.file_digest(file, "sha256").hexdigest()
        call.content, call.headers = body, headers
        response = peer.send(call)
        output: dict[str, Any] = {"status": response.status_code, "headers": shown_headers(response)}
        output |= {"size": body.size, "sha256": body.sha256}
        try:
            if args.extract:
                output |= extracted(args.extract, args.secret, json_of(response, "extract"), self.ctx)
        except StepError as error:
            if self.effect_of(self.inputs) == "once":
                raise after_effect(error) from error
            raise
        return output


class HashedBody(FileBody):
    """A file as a request body, hashed while it is sent."""

    def __init__(self, path: Path, on_bytes: Any) -> None:
        super().__init__(path, on_bytes)
        self._hash = hashlib.sha256()

    def __iter__(self) -> Iterator[bytes]:
        self._hash = hashlib.sha256()
        for chunk in super().__iter__():
            self._hash.update(chunk)
            yield chunk

    @property
    def sha256(self) -> str:
        """SHA-256 of the last sent content, hexadecimal."""
        return self._hash.hexdigest()
