"""The names of requests in messages, and the addresses behind their paths."""

from typing import TYPE_CHECKING

from aetherflow.core.api import HttpCall

if TYPE_CHECKING:
    import httpx


def limit_words(call: HttpCall) -> tuple[str, str]:
    """What the limit of a response is called in errors, and what to do about it."""
    to_file = "send the response to a file (`output` of http_request, or http_download), or raise the limit"
    return call.limit_name or "options.max_body_bytes", call.limit_fix or to_file


def shown(call: HttpCall, url: "httpx.URL | str | None" = None) -> str:
    """A request for messages: `GET https://host/path`, without the query, which may hold secrets."""
    return f"{call.method} {shown_url(call.url if url is None else url, hide_path=call.secret_path)}"


def shown_url(url: "httpx.URL | str", *, hide_path: bool = False) -> str:
    """A URL without user, password, query and fragment."""
    import httpx  # imported on use: flows are also read without sending requests

    parsed = httpx.URL(url) if isinstance(url, str) else url
    if hide_path:
        return f"{parsed.scheme}://{parsed.netloc.decode('ascii', 'replace')}/***"
    query = "?..." if parsed.query else ""
    place = f"{parsed.scheme}://{parsed.netloc.decode('ascii', 'replace')}" if parsed.host else ""
    return f"{place}{parsed.path}{query}"


def absolute(base: "httpx.URL", path: str) -> "httpx.URL":
    """The URL of a path under `base`, or of an absolute one; httpx.InvalidURL if it is none."""
    import httpx

    url = httpx.URL(path)
    if not url.is_relative_url:
        return url
    if not path or path.startswith("?"):  # base_url itself, without a slash at the end
        return base.copy_with(query=url.query or base.query or None)
    start = base.raw_path.partition(b"?")[0].rstrip(b"/")
    return base.copy_with(raw_path=start + b"/" + url.raw_path.lstrip(b"/"))
