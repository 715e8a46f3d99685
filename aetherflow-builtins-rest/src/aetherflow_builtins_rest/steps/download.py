import hashlib
import json
import re
from typing import TYPE_CHECKING, Any

from pydantic import Field

from aetherflow.core.api import Flag, PlainText, ResumableWriter, StepError, StepOutputs, WritePath
from aetherflow_builtins_rest.steps.common import UNTOLD_BYTES, HttpStep, PathInputs, Peer, Statuses, is_expected

if TYPE_CHECKING:
    import httpx

CHECKPOINT_BYTES = 16 * 2**20
"""Bytes between two checkpoints; at most so many are downloaded again after the process was killed."""
_RANGE = re.compile(r"^bytes (\d+)-(\d+)/(\d+|\*)$")


class Inputs(PathInputs):
    """A file of the API, and its target."""

    output: WritePath = Field(min_length=1, description="The file, relative to the job's artifacts.")
    sha256: PlainText | None = Field(
        None, pattern=r"^([0-9A-Fa-f]{64}|.*\{\{.*)$", description="Required SHA-256 of the file, hexadecimal."
    )
    max_bytes: int | None = Field(
        None, ge=0, description="A larger file is refused. Default: any size that the peer tells before, else 10 GiB."
    )
    resume: Flag = Field(True, description="Continue where an earlier attempt stopped, if the file is unchanged.")
    expected_status: Statuses = Field([], description="Statuses of a response with the file. Default: 200 and 206.")


class Outputs(StepOutputs):
    output: str = Field(description="Its absolute path.")
    size: int = Field(description="Its size in bytes.")
    sha256: str = Field(description="Its sha256, hexadecimal.")
    etag: str | None = Field(description="The response header ETag.")
    last_modified: str | None = Field(description="The response header Last-Modified.")
    content_type: str | None = Field(description="The response header Content-Type.")
    resumed_from: int = Field(description="Bytes that an earlier attempt had already downloaded.")


class HttpDownload(HttpStep[Inputs]):
    """Downloads a file of any size; it appears under its name only when it is complete.

    An interrupted download is continued: within the step by the resource's `retry`, after a crash or a failure by the
    next attempt. It is continued only if the server still has the same file (ETag or Last-Modified) and supports range
    requests; otherwise it starts again.

        - id: export
          type: http_download
          inputs:
            resource: api
            path: /exports/latest.csv
            output: latest.csv
    """

    Outputs = Outputs

    def plan(self) -> list[str]:
        return [f"download {Peer(self.ctx, self.args.resource).address(self.args)} to {self.args.output}"]

    def run(self) -> dict[str, Any]:
        args = self.args
        peer = Peer(self.ctx, args.resource)
        target = self.ctx.write_path(args.output)
        with self.ctx.resume_file(target) as file:
            transfer = Transfer(self, peer, file)
            head = transfer.run()
            wanted = (args.sha256 or file.sha256).lower()
            if file.sha256 != wanted:
                found = file.sha256
                file.discard()
                raise StepError(
                    f"{args.output}: the sha256 of what came is {found}, not {wanted}; it was thrown away",
                    fix="check input sha256, or ask those who run the peer",
                )
        return {"output": str(target), "size": file.size, "sha256": file.sha256, **head}


class Transfer:
    """One download, which may take several requests."""

    def __init__(self, step: HttpDownload, peer: Peer, file: ResumableWriter) -> None:
        self._args = step.args
        self._ctx = step.ctx
        self._peer = peer
        self._file = file
        asked = json.dumps([self._args.path, self._args.query()], sort_keys=True)
        self._place = hashlib.sha256(asked.encode()).hexdigest()  # parameters may hold a secret
        if not self._args.resume or file.note.get("place") != self._place:
            file.restart()
        self._resumed_from = file.size

    def run(self) -> dict[str, Any]:
        """Download the file; return the outputs that come from response headers."""
        args = self._args
        call = self._peer.call("GET", args, prepare=self._headers, consume=self._consume, limit=-1)
        expected = is_expected(args.expected_status) or is_expected([200, 206, 416])
        call.expect = lambda status: status == 416 or (expected is not None and expected(status))
        self._peer.send(call)
        note = self._file.note
        return {
            "etag": note.get("etag"),
            "last_modified": note.get("last_modified"),
            "content_type": note.get("content_type"),
            "resumed_from": self._resumed_from,
        }

    def _headers(self) -> dict[str, str]:
        # Range offsets refer to the encoded bytes, so no Content-Encoding is accepted.
        headers = {"Accept-Encoding": "identity"}
        size, same = self._file.size, self._file.note.get("validator")
        if size and same:
            headers |= {"Range": f"bytes={size}-", "If-Range": same}
        elif size:
            self._begin_anew()
        return headers

    def _begin_anew(self) -> None:
        self._file.restart()
        self._resumed_from = 0

    def _consume(self, response: "httpx.Response") -> None:
        if response.status_code == 416 and not self._is_whole(response):
            self._begin_anew()
            raise _part_error("the peer refuses to go on where the download was cut; the next attempt starts again")
        if response.status_code == 416:
            return
        total = self._begin(response)
        since = self._file.size
        most = UNTOLD_BYTES if total is None and self._args.max_bytes is None else self._args.max_bytes
        try:
            for chunk in response.iter_raw():
                size = self._file.size + len(chunk)
                if total is not None and size > total:  # a part without a length of its own
                    raise _part_error(f"{size:,} bytes or more came instead of {total:,}")
                if most is not None and size > most:
                    raise self._too_large(size, most)
                self._file.write(chunk)
                if self._file.size - since >= CHECKPOINT_BYTES:
                    since = self._file.size
                    self._file.checkpoint(self._file.note)
                self._ctx.check_cancelled()
                self._ctx.progress(self._file.size, total, "bytes")
        finally:
            self._file.checkpoint(self._file.note)
        if total is not None and self._file.size != total:
            raise _part_error(f"{self._file.size:,} bytes came instead of {total:,}")

    def _begin(self, response: "httpx.Response") -> int | None:
        """Prepare the file for the response; return the expected total size, None if unknown."""
        headers, note = response.headers, self._file.note
        length = headers.get("content-length", "")
        part = _RANGE.match(headers.get("content-range", "")) if response.status_code == 206 else None
        if part is not None and int(part[1]) == self._file.size and note:
            total = None if part[3] == "*" else int(part[3])
        elif response.status_code == 206:
            self._begin_anew()
            raise _part_error("the peer sends another part than the one asked for; the next attempt starts again")
        else:
            if self._file.size:
                self._begin_anew()
            total = int(length) if length.isdecimal() and not response.extensions["packed"] else None
            etag, modified = headers.get("etag"), headers.get("last-modified")
            strong = etag if etag and not etag.startswith("W/") else None
            same = None if response.extensions["packed"] else strong or modified
            described = {"etag": etag, "last_modified": modified, "content_type": headers.get("content-type")}
            self._file.checkpoint({"place": self._place, "validator": same, **described})
        if total is not None and self._args.max_bytes is not None and total > self._args.max_bytes:
            raise self._too_large(total, self._args.max_bytes)
        return total

    def _is_whole(self, response: "httpx.Response") -> bool:
        return bool(response.headers.get("content-range") == f"bytes */{self._file.size}")

    def _too_large(self, size: int, limit: int) -> StepError:
        self._file.restart()
        text = f"{self._args.output}: the file is {size:,} bytes or more, max_bytes is {limit:,}"
        return StepError(text, fix="raise max_bytes if the size is right")


def _part_error(text: str) -> Exception:
    from aetherflow_builtins_rest.failures import PartError

    return PartError(text)
