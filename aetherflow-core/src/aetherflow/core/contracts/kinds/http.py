"""The contract of a connector of kind `rest`: an HTTP API, in the shapes of httpx."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from aetherflow.core.contracts.connector import ConfigT, ConnectorBase, OptionsT

if TYPE_CHECKING:
    import httpx

IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"})
"""Methods that may be repeated (RFC 9110, 9.2.2)."""


def _go_on() -> None:
    return None


@dataclass(slots=True)
class HttpCall:
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
    """Limit of the response in bytes; None: the resource's own; negative: no limit."""
    limit_name: str = ""
    """What the limit is called in errors, and what to do about it; empty: the resource's own words."""
    limit_fix: str = ""
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


class HttpConnector(ConnectorBase[ConfigT, OptionsT], ABC):
    """An HTTP API. The steps `http_…` and `webhook_notify` and the bundle source `rest` need nothing else.

    Requests may come from several threads. `interrupt` ends those that run.
    """

    @property
    def base_url(self) -> str:
        """The URL below which paths are; empty if every URL is absolute."""
        return str(self.config.get("base_url") or "").rstrip("/")

    @abstractmethod
    def request(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        json: Any = None,
        data: Mapping[str, Any] | None = None,
        files: Any = None,
        content: Any = None,
        timeout: float | None = None,
    ) -> "httpx.Response":
        """Send one request, as `httpx.Client.request`; return the response, whose body has been read.

        `url` is a path under `base_url`, or absolute; another host gets no credentials. Redirects to another host are
        not followed. Error statuses are responses, or ConnectorErrors. A ConnectorError otherwise means that the
        request had no effect; UndecidedStepError that nobody knows.
        """

    def secrets(self) -> Iterable[str]:
        """All secrets known so far that are in no setting, such as tokens received meanwhile; they are masked."""
        return ()

    def without_key(self, url: "httpx.URL") -> "httpx.URL":
        """The URL of a next page without what the connector itself adds to every query."""
        return url

    @property
    def follows_abroad(self) -> bool:
        """Whether the resource allows redirects, and next pages, on another host."""
        return False


@runtime_checkable
class SendsCalls(Protocol):
    """A connector with rules of its own for retries, limits, redirects and streamed bodies."""

    def send(self, call: HttpCall) -> "httpx.Response":
        """Send a call by its rules and the resource's; `call.consume` reads the body, in every attempt.

        Raises ConnectorError if no response arrives or it is an error; UndecidedStepError if the effect is unknown.
        """
        ...
