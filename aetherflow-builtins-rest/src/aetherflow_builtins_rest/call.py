"""One request as a step asks for it, and how it is named in messages."""

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
    """What to send, and what may be done when that does not work at once."""

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
    """Seconds per phase, if not as the resource says."""
    keyed: bool = False
    """The peer drops repeats of a request that has the same Idempotency-Key."""
    idempotency_key: str | None = None
    limit: int | None = None
    """Bytes of the response that may be taken; None: as many as the resource takes into memory."""
    limit_name: str = "options.max_body_bytes"
    limit_fix: str = "send the response to a file (`output` of http_request, or http_download), or raise the limit"
    expect: Callable[[int], bool] | None = None
    """Which statuses are no errors; None: as the resource says."""
    prepare: Callable[[], Mapping[str, str]] | None = None
    """Headers of each attempt, asked for when it begins."""
    consume: "Callable[[httpx.Response], None] | None" = None
    """Reads the body as it comes; else it is read into memory."""
    secret_path: bool = False
    """The path of the URL is a secret itself, as with webhooks."""
    check: Callable[[], None] = _go_on
    """Raises if the step is to end."""
    log: logging.Logger | None = None
    attempt: int = field(default=0, init=False)
    moved: int = field(default=0, init=False)
    """Bytes of the response that came in this attempt, as packed."""
    hops: int = field(default=0, init=False)
    """Redirects followed in this attempt."""

    @property
    def repeatable(self) -> bool:
        """Whether it may be sent again when nobody knows what became of it."""
        return self.keyed or self.method in IDEMPOTENT

    def shown(self, url: "httpx.URL | str | None" = None) -> str:
        """`GET https://host/path`: what a message may say of it; the query may hold anything and is left out."""
        return f"{self.method} {shown_url(self.url if url is None else url, hide_path=self.secret_path)}"


def shown_url(url: "httpx.URL | str", *, hide_path: bool = False) -> str:
    """A URL without user, password, query and fragment."""
    import httpx  # not where flows are only read

    parsed = httpx.URL(url) if isinstance(url, str) else url
    if hide_path:
        return f"{parsed.scheme}://{parsed.netloc.decode('ascii', 'replace')}/***"
    query = "?..." if parsed.query else ""
    place = f"{parsed.scheme}://{parsed.netloc.decode('ascii', 'replace')}" if parsed.host else ""
    return f"{place}{parsed.path}{query}"
