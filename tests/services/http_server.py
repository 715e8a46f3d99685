"""An HTTP API on loopback with TLS and typical faults of servers; it records the requests.

`running()` serves from a thread; `python http_server.py FOLDER` serves from a process of its own, for benchmarks.
"""

import asyncio
import base64
import contextlib
import gzip
import hashlib
import json
import random
import re
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trustme
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

PATTERN = random.Random(1).randbytes((1 << 20) + 7)
"""The repeated content of files; its length is odd, so that no two pieces of 64 KiB are equal."""
PIECE = 1 << 16
TOKEN, USER, PASSWORD, KEY = "tok-of-the-test", "alice", "pass-of-the-test", "key-of-the-test"


def content(start: int, stop: int) -> bytes:
    """Bytes from `start` to `stop` of an endless file; files of all sizes are prefixes of it."""
    found = b""
    while start < stop:
        at = start % len(PATTERN)
        piece = PATTERN[at : at + stop - start]
        found, start = found + piece, start + len(piece)
    return found


def sha256_of(size: int) -> str:
    digest = hashlib.sha256()
    for start in range(0, size, 1 << 20):
        digest.update(content(start, min(start + (1 << 20), size)))
    return digest.hexdigest()


@dataclass(frozen=True)
class Hit:
    """A received request."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes


@dataclass
class Api:
    """The state of one server: its received requests, and the settings of its faults."""

    hits: list[Hit] = field(default_factory=list)
    seen: Counter[str] = field(default_factory=Counter)
    tokens: list[str] = field(default_factory=list)
    nonces: set[str] = field(default_factory=set)
    cuts: list[int] = field(default_factory=list)
    """Offsets at which the next responses of /file are cut."""
    bundles: dict[str, dict[str, tuple[bytes, float]]] = field(default_factory=dict)
    """Bundle name to its files: path to content and modification time."""
    fail_at: int = 0
    """Number of the list request, counted from 1, that is answered with `fail_with`; 0: none."""
    fail_with: int = 500
    repeats: bool = False
    """Whether lists ignore which page is asked for, and links lead to the first page again."""
    removed: int = 0
    """Number of items that are gone from the beginning of lists."""
    answer: bytes = b""
    """The answer to each request for a list, if there is one."""
    token_seconds: int | str = 3600
    """What a token says of its life: a number, or a JSON text."""

    def reset(self) -> None:
        self.hits.clear()
        self.seen.clear()
        self.tokens.clear()
        self.nonces.clear()
        self.cuts.clear()
        self.token_seconds = 3600
        self.fail_at, self.fail_with = 0, 500
        self.repeats, self.removed, self.answer = False, 0, b""

    def count(self, path: str = "") -> int:
        """Number of requests for a path, or of all requests."""
        return sum(not path or hit.path == path for hit in self.hits)

    def app(self) -> Starlette:
        every = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
        routes = {
            "/echo": self.echo, "/echo/{rest:path}": self.echo, "/status/{code:int}": self.status,
            "/flaky/{times:int}/{code:int}": self.flaky, "/file/{size:int}": self.file, "/list/{style}": self.listing,
            "/slow/{seconds:float}": self.slow, "/drip/{size:int}": self.drip, "/bomb/{megabytes:int}": self.bomb,
            "/cut/{size:int}": self.cut, "/redirect/{code:int}": self.redirect, "/token": self.token,
            "/auth/{kind}": self.auth, "/job/{times:int}": self.job, "/packed": self.packed, "/hook": self.hook,
            "/bundles/{what}": self.bundle,
        }  # fmt: skip
        return Starlette(
            routes=[Route(path, self._counted(handler), methods=every) for path, handler in routes.items()]
        )

    def _counted(self, handler: Any) -> Any:
        async def counted(request: Request) -> Response:
            body = await request.body()
            query = dict(request.query_params)
            self.hits.append(Hit(request.method, request.url.path, query, dict(request.headers), body))
            found: Response = await handler(request)
            return found

        return counted

    async def echo(self, request: Request) -> Response:
        hit = self.hits[-1]
        return JSONResponse(
            {
                "method": hit.method, "path": hit.path, "query": list(request.query_params.multi_items()),
                "headers": hit.headers, "size": len(hit.body), "sha256": hashlib.sha256(hit.body).hexdigest(),
                "text": hit.body.decode("latin-1") if len(hit.body) < 10_000 else "",
            },
            headers={"Set-Cookie": "session=cookie-of-the-test"} if "cookie" in hit.query else None,
        )  # fmt: skip

    async def status(self, request: Request) -> Response:
        after = request.query_params.get("retry_after")
        headers = {"Retry-After": after} if after else None
        return JSONResponse({"error": "as asked"}, request.path_params["code"], headers)

    async def flaky(self, request: Request) -> Response:
        key = f"{request.method} {request.url.path} {request.query_params.get('key', '')}"
        self.seen[key] += 1
        if self.seen[key] <= request.path_params["times"]:
            return await self.status(request)
        return JSONResponse({"ok": True, "tries": self.seen[key]})

    async def file(self, request: Request) -> Response:
        size, query = request.path_params["size"], request.query_params
        kind = query.get("etag", "strong")
        self.seen["file"] += 1
        tag = {"strong": f'"v{query.get("v", 1)}"', "weak": 'W/"v1"', "changing": f'"v{self.seen["file"]}"'}.get(kind)
        headers = {"Accept-Ranges": "bytes"} | ({"ETag": tag} if tag else {})
        if "modified" in query:
            headers["Last-Modified"] = "Sat, 01 Nov 2025 00:00:00 GMT"
        start, status = 0, 200
        wanted = re.fullmatch(r"bytes=(\d+)-", request.headers.get("range", ""))
        same = request.headers.get("if-range")
        if wanted and query.get("ranges") != "no" and same in (None, tag, headers.get("Last-Modified")):
            start, status = int(wanted[1]), 206
            if start >= size:
                return Response(status_code=416, headers={"Content-Range": f"bytes */{size}"})
            headers["Content-Range"] = f"bytes {start}-{size - 1}/{size}"
        headers["Content-Length"] = str(size - start)
        stop = min(self.cuts.pop(0), size) if self.cuts else size
        pause = float(query.get("pause", 0))
        pieces = self._pieces(start, size, stop, pause)
        return StreamingResponse(pieces, status, headers, "application/octet-stream")

    async def _pieces(self, start: int, size: int, stop: int, pause: float) -> AsyncIterator[bytes]:
        while start < size:
            if start >= stop:
                raise ConnectionAbortedError  # uvicorn closes the connection in the middle of the body
            end = min(start + PIECE, size, max(stop, start + 1))
            yield content(start, end)
            start = end
            if pause:
                await asyncio.sleep(pause)

    async def listing(self, request: Request) -> Response:
        query: Any = request.query_params
        self.seen["list"] += 1
        if self.seen["list"] == self.fail_at:
            return Response(status_code=self.fail_with)
        if self.answer:
            return Response(self.answer, media_type="application/json")
        if request.method == "POST":
            query = json.loads(self.hits[-1].body)
        total, size = int(query.get("total", 10)), int(query.get("limit", query.get("per_page", 4)))
        style = request.path_params["style"]
        size = min(size, int(query.get("cap", size)))
        asked = {"page": (int(query.get("page", 1)) - 1) * size, "offset": int(query.get("offset", 0))}
        first = 0 if self.repeats and style in asked else asked.get(style, int(query.get("cursor", 0)))
        first += self.removed
        items = [{"id": number, "name": f"item {number}"} for number in range(first, min(first + size, total))]
        following = first + size if first + size < total else None
        if self.repeats and following is None:
            following = 0
        url = request.url.include_query_params(cursor=following) if following is not None else None
        body: dict[str, Any] = {"items": items, "total": total, "pages": -(-total // size), "next": following}
        body["link"] = str(url) if url else None
        headers = {"Link": f'<{url}>; rel="next", <{request.url}>; rel="first"'} if url else None
        return JSONResponse(items if style == "link" else body, headers=headers)

    async def slow(self, request: Request) -> Response:
        await asyncio.sleep(request.path_params["seconds"])
        return JSONResponse({"ok": True})

    async def drip(self, request: Request) -> Response:
        async def drops() -> AsyncIterator[bytes]:
            for _ in range(request.path_params["size"]):
                yield b"x"
                await asyncio.sleep(0.1)

        return StreamingResponse(drops(), headers={"Content-Length": str(request.path_params["size"])})

    async def bomb(self, request: Request) -> Response:
        zeros = gzip.compress(bytes(1 << 20), 9)
        packed = zeros * request.path_params["megabytes"]  # members of one file
        return Response(packed, headers={"Content-Encoding": "gzip"}, media_type="application/json")

    async def packed(self, request: Request) -> Response:
        encoding = request.query_params.get("encoding", "gzip")
        data = json.dumps({"text": "y" * 10_000}).encode()
        body = gzip.compress(data)[: int(request.query_params.get("cut", 10**9))] if encoding == "gzip" else data
        return Response(body, headers={"Content-Encoding": encoding}, media_type="application/json")

    async def cut(self, request: Request) -> Response:
        self.seen["cut"] += 1
        times = int(request.query_params.get("times", 10**9))
        stop = 0 if self.seen["cut"] > times else request.path_params["size"] // 2
        size = request.path_params["size"]
        return StreamingResponse(self._pieces(0, size, stop or size, 0), headers={"Content-Length": str(size)})

    async def redirect(self, request: Request) -> Response:
        to = request.query_params["to"]
        cookie = {"Set-Cookie": "session=cookie-of-the-test; Path=/"} if "cookie" in request.query_params else {}
        return Response(status_code=request.path_params["code"], headers={"Location": to, **cookie})

    async def token(self, request: Request) -> Response:
        hit = self.hits[-1]
        self.seen["token"] += 1
        if self.seen["token"] <= int(request.query_params.get("fail", 0)):
            return Response(status_code=503)
        pair = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        known = hit.headers.get("authorization") == f"Basic {pair}" or f"client_secret={PASSWORD}".encode() in hit.body
        if not known or b"grant_type=client_credentials" not in hit.body:
            return JSONResponse({"error": "invalid_client"}, 401)
        self.tokens.append(f"oauth-token-{len(self.tokens) + 1}")
        found = f'{{"access_token": "{self.tokens[-1]}", "expires_in": {self.token_seconds}, "token_type": "Bearer"}}'
        return Response(found, media_type="application/json")

    async def auth(self, request: Request) -> Response:
        given, kind = request.headers.get("authorization", ""), request.path_params["kind"]
        if kind == "digest":
            return self._digest(request, given)
        right = {
            "bearer": given == f"Bearer {TOKEN}",
            "basic": given == "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode(),
            "oauth2": bool(self.tokens) and given == f"Bearer {self.tokens[-1]}",
            "header": request.headers.get("x-api-key") == KEY,
            "query": request.query_params.get("api_key") == KEY,
        }[kind]
        return JSONResponse({"ok": True}) if right else JSONResponse({"error": "who are you"}, 401)

    def _digest(self, request: Request, given: str) -> Response:
        found = dict(re.findall(r'(\w+)="?([^",]*)"?', given.removeprefix("Digest ")))
        if found.get("nonce") not in self.nonces:
            nonce = f"nonce{len(self.nonces)}"
            self.nonces.add(nonce)
            challenge = f'Digest realm="r", qop="auth", algorithm=SHA-256, nonce="{nonce}"'
            return JSONResponse({}, 401, {"WWW-Authenticate": challenge})

        def h(text: str) -> str:
            return hashlib.sha256(text.encode()).hexdigest()

        middle = ":".join(found[name] for name in ("nonce", "nc", "cnonce", "qop"))
        who, what = h(f"{USER}:r:{PASSWORD}"), h(f"{request.method}:{found['uri']}")
        right = h(f"{who}:{middle}:{what}")
        return JSONResponse({"ok": True}) if found["response"] == right else JSONResponse({}, 403)

    async def job(self, request: Request) -> Response:
        self.seen["job"] += 1
        times, query = request.path_params["times"], request.query_params
        if self.seen["job"] <= times:
            headers = {"Retry-After": query["retry_after"]} if "retry_after" in query else None
            return JSONResponse({"state": "running"}, int(query.get("pending", 200)), headers)
        return JSONResponse({"state": query.get("end", "done"), "result": {"path": "/file/10"}})

    async def bundle(self, request: Request) -> Response:
        files = self.bundles.get(request.query_params.get("bundle", ""), {})
        if request.path_params["what"] == "odd":
            return JSONResponse({"files": [{"name": 1}]})
        if request.path_params["what"] == "list":
            listed = [
                {"path": path, "size": len(data), "mtime": at, "sha256": hashlib.sha256(data).hexdigest()}
                for path, (data, at) in files.items()
            ]
            return JSONResponse({"files": listed})
        found = files.get(request.query_params["path"])
        if found is None:
            return Response(status_code=404)
        stop = self.cuts.pop(0) if self.cuts else len(found[0])

        async def pieces() -> AsyncIterator[bytes]:
            yield found[0][:stop]
            if stop < len(found[0]):
                raise ConnectionAbortedError

        return StreamingResponse(pieces(), headers={"Content-Length": str(len(found[0]))})

    async def hook(self, request: Request) -> Response:
        del request
        return PlainTextResponse("ok")


class _Server(uvicorn.Server):
    """Sleeps until it is asked or stopped: uvicorn's own loop looks ten times a second, as long as the tests take."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._stopped = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop

    def install_signal_handlers(self) -> None:  # in a thread there are none to install
        return None

    async def startup(self, sockets: Any = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)

    async def main_loop(self) -> None:
        await self.on_tick(0)  # writes the header `Date`
        await self._stopped.wait()

    def stop(self) -> None:
        """Stop serving; from any thread, once it has started."""
        self._loop.call_soon_threadsafe(self._stopped.set)

    async def shutdown(self, sockets: Any = None) -> None:
        open_still: list[Any] = list(self.server_state.connections)
        await super().shutdown(sockets)
        for connection in open_still:
            connection.transport.abort()
        await asyncio.sleep(0.05)  # TLS connections need a few turns of the loop to close


@dataclass(frozen=True)
class Running:
    """A running server."""

    api: Api
    port: int
    url: str
    """`https://localhost:PORT`, or `http://…` without a certificate."""


class Authority:
    """A certificate authority of the test session; writes the certificates that it signs to files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ca = trustme.CA()
        self.file = folder / "ca.pem"
        self._ca.cert_pem.write_to_path(str(self.file))

    def certificate(self, *names: str, expires_days: int = 0, authority: trustme.CA | None = None) -> Path:
        """Issue a certificate; returns a file with its key and chain."""
        import datetime as dt

        until = dt.datetime.now(dt.UTC) + dt.timedelta(days=expires_days) if expires_days else None
        signed = (authority or self._ca).issue_cert(*names, not_after=until, not_before=_before(until))
        path = self._folder / f"cert{len(list(self._folder.iterdir()))}.pem"
        signed.private_key_and_cert_chain_pem.write_to_path(str(path))
        return path

    @property
    def ca(self) -> trustme.CA:
        return self._ca


def _before(until: Any) -> Any:
    import datetime as dt

    return until - dt.timedelta(days=30) if until else None


@contextlib.contextmanager
def running(certificate: Path | None = None, **settings: Any) -> Iterator[Running]:
    """Serve on a free port of loopback until the block ends."""
    api = Api()
    # proto must be given: otherwise asyncio leaves Nagle's algorithm on and each response takes 40 ms
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", 0))
    sock.listen(128)
    port = int(sock.getsockname()[1])
    config = uvicorn.Config(
        api.app(), ssl_certfile=certificate, log_level="critical", lifespan="off", timeout_graceful_shutdown=1,
        ws="none", access_log=False, **settings,
    )  # fmt: skip
    server = _Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]}, daemon=True)
    thread.start()
    deadline = time.monotonic() + 20
    while not server.started:
        assert time.monotonic() < deadline, "the server does not start"
        time.sleep(0.005)
    try:
        yield Running(api, port, f"{'https' if certificate else 'http'}://localhost:{port}")
    finally:
        server.stop()
        thread.join(10)
        sock.close()


class Listener:
    """A peer that accepts connections and drops each in the chosen way; it counts them."""

    def __init__(self, behave: Callable[[socket.socket], None]) -> None:
        self._behave = behave
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.connections = 0
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                accepted, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            with contextlib.closing(accepted):
                self._behave(accepted)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@contextlib.contextmanager
def peer(behave: Callable[[socket.socket], None]) -> Iterator[Listener]:
    listener = Listener(behave)
    try:
        yield listener
    finally:
        listener.close()


def main() -> None:
    """Serve without TLS until the process is killed; prints the port."""
    with running() as served:
        print(served.port, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
