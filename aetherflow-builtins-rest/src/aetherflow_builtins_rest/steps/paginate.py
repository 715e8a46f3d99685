import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, Self

from pydantic import AliasChoices, BeforeValidator, Field, model_validator

from aetherflow.core.api import (
    STEP_SKIPPED,
    ConnectorError,
    Flag,
    PlainValue,
    ResumableWriter,
    StepError,
    StepOutputs,
    StepResult,
    WritePath,
    install_command,
)
from aetherflow_builtins_rest.exact_json import ExactJson
from aetherflow_builtins_rest.items import require_pyarrow, write_parquet
from aetherflow_builtins_rest.jmes import Expression, pick
from aetherflow_builtins_rest.pages import Pages, Place, RepeatedPageError, merged
from aetherflow_builtins_rest.steps.common import (
    HttpStep,
    OnEmpty,
    PathInputs,
    Peer,
    json_of,
    refuse_shortage,
    shortage,
    verdict,
)

if TYPE_CHECKING:
    import httpx

    from aetherflow.core.api import HttpCall

MOST_PAGES = 100_000
"""Pages without `max_pages`: a list that never ends would fill the disk."""
ReadMethod = Annotated[
    Literal["GET", "POST"], BeforeValidator(lambda value: value.upper() if isinstance(value, str) else value)
]


class Inputs(PathInputs):
    """A list of the API, and the file for its items."""

    pages: Pages = Field(description="How the next page is found: `{type: link_header|next_url|cursor|page|offset}`.")
    items: Expression = Field("@", description="JMESPath of the list of items in a response.")
    output: WritePath = Field(min_length=1, description="The file, relative to the job's artifacts.")
    format: Literal["jsonl", "parquet"] = Field("jsonl", description="JSON lines, or Parquet, which needs pyarrow.")
    compression: Literal["zstd", "snappy", "gzip", "none"] = Field("zstd", description="Compression of Parquet.")
    method: ReadMethod = Field("GET", description="POST for APIs that search by POST; the request must only read.")
    json_body: dict[str, PlainValue] | None = Field(
        None,
        validation_alias=AliasChoices("json", "json_body"),
        description="Body of a POST; the parameters of a page are added to it, not to the query.",
    )
    max_pages: int | None = Field(
        None, ge=1, description="Pages that are read; the rest is not. Without it more than 100,000 are an error."
    )
    resume: Flag = Field(
        True,
        description="Continue after a crash or a failure at the page where the last attempt stopped; false reads the "
        "whole list again. With pages that are counted, the last page is read again first: if it has changed, all is.",
    )
    min_items: int = Field(0, ge=0, description="Minimum number of items.")
    on_empty: OnEmpty | None = Field(
        None,
        description="If there are too few items: `skip` ends the step as SKIPPED, `fail` fails it, `ok` goes on. "
        "Default: `ok`, or `fail` if `min_items` is given.",
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.json_body is not None and self.method != "POST":
            raise ValueError("json is the body of a POST; set method: POST")
        return self


class Outputs(StepOutputs):
    output: str | None = Field(description="Its absolute path; null if there were too few items.")
    artifact_path: str | None = Field(description="The same.")
    format: str = Field(description="Its format.")
    count: int = Field(description="Number of items.")
    rows: int = Field(description="The same.")
    pages: int = Field(description="Number of pages, those of earlier attempts included.")
    sha256: str | None = Field(description="SHA-256 of the file, hexadecimal.")
    resumed_at_page: int = Field(description="Number of the page at which this attempt began, from 1.")


class HttpPaginate(HttpStep[Inputs]):
    """Reads a list page by page into a file, with one page in memory at a time.

    After a crash or a failure, the next attempt continues at the page where the last one stopped.

        - id: customers
          type: http_paginate
          inputs:
            resource: api
            path: /customers
            params: {per_page: 100}
            pages: {type: link_header}
            output: customers.jsonl
    """

    Outputs = Outputs

    @classmethod
    def libraries(cls, inputs: Mapping[str, Any]) -> dict[str, str]:
        return {"pyarrow": install_command("parquet")} if inputs.get("format") == "parquet" else {}

    def plan(self) -> list[str]:
        args = self.args
        address = Peer(self.ctx, args.resource).address(args)
        return [f"read {args.method} {address} page by page ({args.pages.type}) into {args.output}"]

    def run(self) -> StepResult:
        args = self.args
        if args.format == "parquet":
            require_pyarrow()  # fail before many requests, not after them
        target = self.ctx.write_path(args.output)
        with self._lines() as file:
            reading = Reading(self, Peer(self.ctx, args.resource), file)
            reading.run()
            output = {**dict.fromkeys(("output", "artifact_path", "sha256")), "format": args.format, **reading.numbers}
            count = reading.count
            if verdict(count, args.min_items, args.on_empty) != "ok":
                file.discard()
                refuse_shortage(count, args.min_items, args.on_empty)
                return StepResult(STEP_SKIPPED, output, shortage(count, args.min_items))
            sha256 = file.sha256
            if args.format == "parquet":
                with self.ctx.write_file(target) as parquet:
                    write_parquet(file.reader, parquet, args.compression, self._on_rows)
                sha256 = getattr(parquet, "sha256", "")
                file.discard()
        return StepResult(output={**output, "output": str(target), "artifact_path": str(target), "sha256": sha256})

    @contextmanager
    def _lines(self) -> Iterator[ResumableWriter]:
        """The file for JSON lines: the output itself, or for Parquet a file in the scratch folder."""
        scratch = self.ctx.scratch_dir(self.job_id) / f"{self.id}.jsonl"
        with self.ctx.resume_file(self.args.output if self.args.format == "jsonl" else scratch) as file:
            yield file

    def _on_rows(self, rows: int) -> None:
        self.ctx.progress(rows, None, "rows")
        self.ctx.check_cancelled()


class Reading:
    """Reads the pages of one list, from the place where an earlier attempt stopped."""

    def __init__(self, step: HttpPaginate, peer: Peer, file: ResumableWriter) -> None:
        self._args = step.args
        self._ctx = step.ctx
        self._peer = peer
        self._file = file
        self._json = ExactJson()
        asked = step.args.model_dump(mode="json", include={"path", "params", "pages", "items", "method", "json_body"})
        self._asked = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
        self._begin(file.note if step.args.resume and file.note.get("asked") == self._asked else {})
        if self._pages and step.args.pages.counts and not self._is_as_before():
            self._ctx.log.warning("the list has changed since the last attempt: it is read from its first page again")
            self._begin({})
        self._began = self._pages + 1

    def _begin(self, note: Mapping[str, Any]) -> None:
        """Continue where the note says, without one at the first page."""
        if not note:
            self._file.restart()
        self._place: Place | None = note["place"] if note else self._args.pages.first()
        self._pages: int = note.get("pages", 0)
        self.count: int = note.get("count", 0)
        self._read: dict[str, Any] = note.get("read", {})
        """The page that was read last: its `place`, and a hash of its items."""
        self._mark: Place | None = note.get("mark")
        """A place to recognize if it comes again: that of a page whose number is a power of two."""

    def _is_as_before(self) -> bool:
        """Whether the page that was read last has the same items: otherwise counted pages have shifted."""
        try:
            return "place" in self._read and self._page(self._read["place"]).sha256 == self._read["items"]
        except ConnectorError as error:
            if getattr(error, "status", 0) in _BEHIND_THE_END:
                return False
            raise

    @property
    def numbers(self) -> dict[str, int]:
        """The counts for the step's outputs."""
        return {"count": self.count, "rows": self.count, "pages": self._pages, "resumed_at_page": self._began}

    def run(self) -> None:
        """Read all remaining pages; a checkpoint is written after each."""
        args = self._args
        while self._place is not None and (args.max_pages is None or self._pages < args.max_pages):
            if self._pages >= MOST_PAGES and args.max_pages is None:
                message = f"there is no end after {MOST_PAGES:,} pages and {self.count:,} items"
                raise StepError(message, fix="check pages; if it is as long, set max_pages")
            page = self._page(self._place)
            if page.has_identity and page.sha256 == self._read.get("items"):
                raise RepeatedPageError(
                    f"pages {self._pages:,} and {self._pages + 1:,} have the same items",
                    fix="check params and pages: the API may ignore a parameter, or have one page only; if the items "
                    "differ, let `items` keep their ids",
                )
            following = self._absolute(
                args.pages.following(self._place, page.response, page.data, page.items), page.response
            )
            if following is not None and following in (self._place, self._mark):
                raise RepeatedPageError(
                    f"page {self._pages + 1:,} names a page that was read already as the next one",
                    fix="check pages.next; if it is right, the API repeats itself: ask those who run it",
                )
            self._file.write(page.lines)
            self._pages += 1
            self.count += page.items
            if self._pages & (self._pages - 1) == 0:
                self._mark = self._place
            self._read = {"place": self._place, "items": page.sha256}
            self._place = following
            note = {"asked": self._asked, "place": self._place, "pages": self._pages, "count": self.count}
            self._file.checkpoint({**note, "read": self._read, "mark": self._mark})
            self._ctx.progress(self.count, None, "items")
            self._ctx.check_cancelled()

    def _page(self, place: Place) -> "_Page":
        """Request a page; StepError if it isn't one."""
        args, number = self._args, self._pages + 1
        try:
            response = self._peer.send(self._call(place), quiet=True)
        except ConnectorError as error:
            if args.pages.counts and place != args.pages.first() and getattr(error, "status", 0) in _BEHIND_THE_END:
                error.fix = "if the API has no page after its last one, name the end: pages.last, total or total_pages"
            raise
        data = json_of(response, f"page {number:,}", self._json.parse)
        items = pick(args.items, data, "items")
        if not isinstance(items, list | None):
            raise StepError(f"items: {args.items!r} is no list on page {number:,}", fix="name the list by `items`")
        try:
            lines = [self._json.line(item) for item in items or ()]
        except (ValueError, RecursionError) as error:
            raise StepError(
                f"page {number:,}: an item cannot be written as JSON: {error}", fix="change `items`"
            ) from error
        has_identity = isinstance(items, list) and (
            len(set(lines)) > 1 or any(isinstance(each, dict) for each in items)
        )
        return _Page(response, data, b"".join(lines), len(lines), has_identity)

    def _call(self, place: Place) -> "HttpCall":
        args = self._args
        # POST requests of this step only read, so they may be repeated like a GET
        call = self._peer.call(args.method, args, keyed=True, limit_name="options.max_body_bytes", limit_fix=_FIX)
        if "url" in place:
            call.url = place["url"]
        if args.method == "POST":
            call.json = {**(args.json_body or {}), **args.pages.params(place)}
            call.params = None if "url" in place else args.query()
        else:
            call.params = merged(args.query(), args.pages, place)
        return call

    def _absolute(self, place: Place | None, response: "httpx.Response") -> Place | None:
        """The place with an absolute URL; StepError for another origin, unless `options.redirects` is `any`."""
        if place is None or "url" not in place:
            return place
        import httpx

        from aetherflow_builtins_rest.call import shown_url
        from aetherflow_builtins_rest.transport import origin_of

        try:
            target = response.request.url.join(place["url"])
        except httpx.InvalidURL as error:
            raise StepError(f"page {self._pages:,}: the address of the next page is none", fix="check pages") from error
        if origin_of(target) != origin_of(response.request.url) and not self._peer.connector.follows_abroad:
            raise StepError(
                f"page {self._pages:,}: the next page is on another host, {shown_url(target)}",
                fix="options.redirects: any of the resource allows that; no credentials are sent there",
            )
        return {"url": str(self._peer.connector.without_key(target))}


class _Page(NamedTuple):
    response: "httpx.Response"
    data: Any
    lines: bytes
    """The items as JSON lines."""
    items: int
    has_identity: bool
    """Whether another page cannot well have the same items."""

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.lines).hexdigest()


_BEHIND_THE_END = frozenset({400, 404, 416, 422})
"""Statuses by which APIs say that a page is behind the end."""
_FIX = "ask for smaller pages, or raise the limit"
