from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

from pydantic import AliasChoices, Field, model_validator

from aetherflow.core.api import (
    STEP_SKIPPED,
    Flag,
    HttpCall,
    PlainText,
    PlainValue,
    ReadPath,
    RunContext,
    StepError,
    StepInputs,
    StepOutputs,
    StepResult,
    WritePath,
)
from aetherflow_builtins_rest.jmes import Expression, pick
from aetherflow_builtins_rest.steps.common import (
    UNTOLD_BYTES,
    AnyMethod,
    Effect,
    Extract,
    HttpStep,
    OnEmpty,
    PathInputs,
    Peer,
    Scalar,
    Statuses,
    after_effect,
    body_of,
    effect_of,
    extracted,
    is_expected,
    json_of,
    refuse_shortage,
    shortage,
    shown_headers,
    verdict,
)
from aetherflow_builtins_rest.uploads import FileBody, multipart_body

if TYPE_CHECKING:
    import httpx

_FIXED = ("status", "headers", "body", "count", "output", "size", "sha256")


class FilePart(StepInputs):
    """One file of a multipart form."""

    file: ReadPath = Field(description="The file, relative to the job's artifacts.")
    filename: PlainText | None = Field(None, description="Its name in the form; default: that of the file.")
    content_type: PlainText | None = Field(None, description="Its media type; default: by its name.")


class Multipart(StepInputs):
    fields: dict[str, Scalar] = Field({}, description="Plain fields.")
    files: dict[str, FilePart | ReadPath] = Field({}, description="Files by field name: a path, or `{file, filename}`.")


class Inputs(PathInputs):
    method: AnyMethod = Field("GET", description="The method.")
    json_body: PlainValue = Field(
        None, validation_alias=AliasChoices("json", "json_body"), description="Body: this as JSON."
    )
    form: dict[str, Scalar | list[Scalar]] | None = Field(None, description="Body: a URL-encoded form.")
    multipart: Multipart | None = Field(None, description="Body: a form with files.")
    file: ReadPath | None = Field(None, description="Body: a file, relative to the job's artifacts; streamed.")
    text: PlainText | None = Field(None, description="Body: this text, UTF-8.")
    content_type: PlainText | None = Field(None, description="Media type of the body, for `file` and `text`.")
    expected_status: Statuses = Field(
        [],
        description="Statuses that are no errors: `201`, `[200, 404]`, `2xx`. Default: by the resource, below 400.",
    )
    extract: Extract = Field({}, description="Further outputs: name and JMESPath expression on the JSON response.")
    secret: list[PlainText] = Field(
        [],
        description="Names under `extract` whose values are secrets: masked everywhere, never stored. Names that end "
        "in token, password, secret, api_key or access_key always are.",
    )
    keep_body: Flag | None = Field(
        None, description="Whether the response becomes the output `body`. Default: yes, unless there is `extract`."
    )
    output: WritePath | None = Field(
        None, description="File for a response of any size, instead of `body`; relative to the job's artifacts."
    )
    items: Expression | None = Field(None, description="JMESPath of the list that `min_items` counts; default: `@`.")
    min_items: int = Field(0, ge=0, description="Minimum number of items.")
    on_empty: OnEmpty | None = Field(
        None,
        description="If there are too few items: `skip` ends the step as SKIPPED, `fail` fails it, `ok` goes on. "
        "Default: `ok`, or `fail` if `min_items` is given.",
    )
    keyed: Flag = Field(
        False,
        description="The API honours the header Idempotency-Key: a POST or PATCH may then be repeated like a PUT.",
    )
    timeout_seconds: float | None = Field(
        None, gt=0, description="Seconds per phase, instead of the resource's limits."
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        bodies = [n for n in ("json_body", "form", "multipart", "file", "text") if n in self.model_fields_set]
        if len(bodies) > 1:
            names = " and ".join(name.removesuffix("_body") for name in bodies)
            raise ValueError(f"{names} are both given; a request has one body")
        if bodies and self.method in ("GET", "HEAD", "OPTIONS"):
            raise ValueError(f"a {self.method} request has no body")
        if clash := sorted(set(self.extract) & set(_FIXED)):
            raise ValueError(f"extract.{clash[0]}: the step has an output of that name itself")
        if unknown := sorted(set(self.secret) - set(self.extract)):
            raise ValueError(f"secret: {unknown[0]} is no name under extract")
        if self.output is not None and (self.extract or self.counts or self.keep_body):
            raise ValueError(
                "output takes the response to a file; extract, items, min_items and keep_body need it here"
            )
        return self

    @property
    def counts(self) -> bool:
        return self.items is not None or self.min_items > 0 or self.on_empty is not None


class Outputs(StepOutputs):
    status: int = Field(description="Status of the response.")
    headers: dict[str, str] = Field(description="Its headers, names in lower case, none that hold credentials.")
    body: Any = Field(None, description="The response: JSON as its value, text as text, null for anything else.")
    count: int | None = Field(None, description="Number of items, if they were counted.")
    output: str | None = Field(None, description="Path of the file, if there is one.")
    size: int | None = Field(None, description="Its size in bytes.")
    sha256: str | None = Field(None, description="SHA-256 of the file, hexadecimal.")


class HttpRequest(HttpStep[Inputs]):
    """Sends one request and extracts values from the response.

    GET, HEAD, PUT and DELETE are repeated after a crash, and by the resource's `retry`. POST and PATCH are not: they
    have `effect: once`, unless `keyed: true` says that the API ignores repeats with the same Idempotency-Key. Every
    POST and PATCH has that header, with the same value in every attempt.

        - id: order
          type: http_request
          inputs:
            resource: api
            method: POST
            path: /orders
            json: {sku: A-100, quantity: 2}
            expected_status: 201
            extract: {order_id: id}
            keyed: true
    """

    Outputs = Outputs

    @classmethod
    def effect_of(cls, inputs: Mapping[str, Any]) -> Effect:
        """`once` for POST and PATCH unless keyed, otherwise `repeatable`."""
        return effect_of(inputs.get("method", "GET"), inputs.get("keyed"))

    @classmethod
    def output_names(cls, inputs: Mapping[str, Any]) -> set[str]:
        """The fixed outputs and the names under `extract`."""
        extract = inputs.get("extract")
        return {*_FIXED, *(map(str, extract) if isinstance(extract, Mapping) else ())}

    def plan(self) -> list[str]:
        args = self.args
        what = f"{args.method} {Peer(self.ctx, args.resource).address(args)}{_body_text(args)}"
        return [f"send {what}" + (f" and write the response to {args.output}" if args.output else "")]

    def run(self) -> StepResult:
        args, peer = self.args, Peer(self.ctx, self.args.resource)
        call = peer.call(args.method, args, keyed=args.keyed, expect=is_expected(args.expected_status))
        call.timeout = args.timeout_seconds
        _add_body(call, args, self.ctx)
        if args.output is not None:
            return self._to_file(peer, call, args.output)
        response = peer.send(call)
        try:
            return self._result(response)
        except StepError as error:
            if self.effect_of(self.inputs) == "once":
                raise after_effect(error) from error
            raise

    def _result(self, response: "httpx.Response") -> StepResult:
        args = self.args
        output: dict[str, Any] = {"status": response.status_code, "headers": shown_headers(response)}
        if args.keep_body or (args.keep_body is None and not args.extract):
            output["body"] = body_of(response)
        if args.extract:
            output |= extracted(args.extract, args.secret, json_of(response, "extract"), self.ctx)
        if not args.counts:
            return StepResult(output=output)
        items = pick(args.items or "@", json_of(response, "items"), "items")
        if not isinstance(items, list | None):
            raise StepError(f"items: {args.items or '@'!r} is no list in the response", fix="name the list by `items`")
        count = output["count"] = len(items or [])
        refuse_shortage(count, args.min_items, args.on_empty)
        if verdict(count, args.min_items, args.on_empty) == "skip":
            return StepResult(STEP_SKIPPED, output, shortage(count, args.min_items))
        return StepResult(output=output)

    def _to_file(self, peer: Peer, call: HttpCall, name: str) -> StepResult:
        from aetherflow_builtins_rest.bodies import limited

        target = self.ctx.write_path(name)
        written: dict[str, Any] = {}

        def consume(response: "httpx.Response") -> None:
            with self.ctx.write_file(target) as file:
                told = "content-length" in response.headers
                chunks = limited(
                    response.iter_raw(), None if told else UNTOLD_BYTES, "the limit", "use http_download with max_bytes"
                )
                for chunk in chunks:
                    file.write(chunk)
                    self.ctx.check_cancelled()
                    self.ctx.progress(file.tell(), None, "bytes")
                written.update(size=file.tell(), sha256=getattr(file, "sha256", None))

        call.consume, call.limit = consume, -1
        response = peer.send(call)
        head = {"status": response.status_code, "headers": shown_headers(response)}
        return StepResult(output={**head, "output": str(target), **written})


def _add_body(call: HttpCall, args: Inputs, ctx: RunContext) -> None:
    given = args.model_fields_set
    if "json_body" in given:
        call.json = args.json_body
        if args.json_body is None:
            call.content, call.headers = b"null", {"Content-Type": "application/json", **args.headers}
    elif args.form is not None:
        call.data = {name: value for name, value in args.form.items() if value is not None}
    elif args.multipart is not None:
        parts = {
            name: FilePart(file=part) if isinstance(part, str) else part for name, part in args.multipart.files.items()
        }
        files = {name: (ctx.read_path(part.file), part.filename, part.content_type) for name, part in parts.items()}
        content, kind = multipart_body(args.multipart.fields, files)
        call.content, call.headers = (
            content,
            {"Content-Type": kind, "Content-Length": str(content.size), **args.headers},
        )
    elif args.file is not None:
        body = FileBody(ctx.read_path(args.file), lambda done: ctx.progress(done, None, "bytes"))
        kind = args.content_type or "application/octet-stream"
        call.content, call.headers = body, {"Content-Type": kind, "Content-Length": str(body.size), **args.headers}
    elif args.text is not None:
        kind = args.content_type or "text/plain; charset=utf-8"
        call.content, call.headers = args.text.encode(), {"Content-Type": kind, **args.headers}


def _body_text(args: Inputs) -> str:
    for name, text in (("json_body", "JSON"), ("form", "a form"), ("multipart", "a form with files"), ("text", "text")):
        if name in args.model_fields_set:
            return f" with {text}"
    return f" with the file {args.file}" if args.file else ""
