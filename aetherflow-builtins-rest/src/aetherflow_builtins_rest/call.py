"""One request of a step, with its rules for repetition and limits, and its name in messages."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aetherflow_builtins_rest.retry_settings import IDEMPOTENT

if TYPE_CHECKING:
    import httpx


def _go_on() -> None:
    return None


@dataclass(slots=True)
class Call:
    """A request, and the rules for its repetition. The fields at the end hold the state of the current attempt."""

    method: str
    url: str
    """A path under `base_url`, or an absolute URL."""
    params: Mapping[str, Any] | None = None
    headers: Mapping[str, str] | None = None
    json: Any = None
    data: Mapping[str, Any] | None = None
    files: Any = None
    content: Any = None
    timeout: float | None = None
    """Seconds per phase; None: the resource's limits."""
    keyed: bool = False
    """Whether the server ignores repeats of a request with the same Idempotency-Key."""
    idempotency_key: str | None = None
    limit: int | None = None
    """Limit of the response in bytes; None: the resource's `max_body_bytes`; negative: no limit."""
    limit_name: str = "options.max_body_bytes"
    limit_fix: str = "send the response to a file (`output` of http_request, or http_download), or raise the limit"
    expect: Callable[[int], bool] | None = None
    """Returns whether a status is no error; None: the resource decides."""
    prepare: Callable[[], Mapping[str, str]] | None = None
    """Called at the start of each attempt; returns further headers for it."""
    consume: "Callable[[httpx.Response], None] | None" = None
    """Reads the body as a stream; None: the body is read into memory."""
    secret_path: bool = False
    """Whether the path of the URL is a secret, as with webhooks."""
    check: Callable[[], None] = _go_on
    """Raises if the step must stop."""
    log: logging.Logger | None = None
    attempt: int = field(default=0, init=False)
    moved: int = field(default=0, init=False)
    """Bytes of the response received in this attempt, before decompression."""
    hops: int = field(default=0, init=False)
    """Number of redirects followed in this attempt."""

    @property
    def repeatable(self) -> bool:
        """Whether the request may be sent again although its outcome is unknown."""
        return self.keyed or self.method in IDEMPOTENT

    def shown(self, url: "httpx.URL | str | None" = None) -> str:
        """The request for messages: `GET https://host/path`, without the query, which may hold secrets."""
        return f"{self.method} {shown_url(self.url if url is None else url, hide_path=self.secret_path)}"


def shown_url(url: "httpx.URL | str", *, hide_path: bool = False) -> str:
    """A URL without user, password, query and fragment."""
    import httpx  # imported on use: flows are also read without sending requests

    parsed = httpx.URL(url) if isinstance(url, str) else url
    if hide_path:
        return f"{parsed.scheme}://{parsed.netloc.decode('ascii', 'replace')}/***"
    query = "?..." if parsed.query else ""
    place = f"{parsed.scheme}://{parsed.netloc.decode('ascii', 'replace')}" if parsed.host else ""
    return f"{place}{parsed.path}{query}"
