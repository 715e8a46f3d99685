"""The suite for the contract of a connector of kind `rest`."""

import json
import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import pytest

from aetherflow.core.api import ConnectorError, HttpConnector, UndecidedStepError, list_steps
from aetherflow.core.testing.connector import ConnectorSuite
from aetherflow.core.testing.project import FlowProject

LARGE = bytes(range(256)) * 4000


def abroad(url: str) -> str:
    """The same URL on what counts as another host."""
    return url.replace("//127.0.0.1:", "//localhost:")


class _Handler(BaseHTTPRequestHandler):
    """`/echo` tells what it got, `/query` that without headers, `/status/N` and `/orders/N` answer N.

    `/pages` has two pages, `/large` is a megabyte. The bodies that came to `/orders` and `/cut` are kept; `/cut`
    answers nothing, `/abroad` leads to another host.
    """

    protocol_version = "HTTP/1.1"
    orders: ClassVar[list[bytes]]

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = urlsplit(self.path)
        query = parse_qs(parts.query)
        status, kind = 200, "application/json"
        if parts.path.startswith("/orders"):
            self.orders.append(body)
        if parts.path == "/cut":  # the request has arrived, and nobody will know what came of it
            self.orders.append(body)
            self.close_connection = True
            return
        if parts.path == "/abroad":
            self.send_response(307)
            self.send_header("Location", abroad(f"http://{self.headers['Host']}/orders"))
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if parts.path.startswith(("/status/", "/orders/")):
            status = int(parts.path.rpartition("/")[2])
        if parts.path == "/large":
            kind, data = "application/octet-stream", LARGE
        elif parts.path == "/pages":
            page = int(query.get("page", ["1"])[0])
            data = json.dumps({"items": [page], "next": page + 1 if page < 2 else None}).encode()
        else:
            headers = {name.lower(): value for name, value in self.headers.items()}
            told = {"method": self.command, "path": parts.path, "query": query, "body": body.decode("latin-1")}
            if parts.path == "/echo":
                told["headers"] = headers  # with the credentials, which no output of a step may hold
            data = json.dumps(told).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _answer  # noqa: N815 names of the standard library

    def log_message(self, *_arguments: Any) -> None:
        pass


class HttpSuite(ConnectorSuite):
    """Tests the contract of HttpConnector, and runs steps over the connector, against a server of its own.

    `config` gets the server's address as `self.url`.
    """

    url: ClassVar[str]

    @pytest.fixture(autouse=True)
    def _serve(self) -> Iterator[None]:
        self.orders: list[bytes] = []
        handler = type("Handler", (_Handler,), {"orders": self.orders})
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        server.daemon_threads = True
        type(self).url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield
        server.shutdown()
        server.server_close()
        thread.join()

    def test_it_implements_the_contract(self) -> None:
        """The class is an HttpConnector and has written `request`."""
        assert issubclass(self.connector, HttpConnector)
        assert sorted(self.connector.__abstractmethods__) == []

    @pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
    def test_a_request_arrives_as_it_is(self, peer: Any, method: str) -> None:
        """The peer gets the method, the path, all parameters and headers."""
        got = peer.request(method, "/echo", params={"a": "x y", "b": ["1", "2"]}, headers={"X-Origin": "flow"}).json()
        assert (got["method"], got["path"]) == (method, "/echo")
        assert got["query"] == {"a": ["x y"], "b": ["1", "2"]}
        assert got["headers"]["x-origin"] == "flow"

    def test_bodies(self, peer: Any) -> None:
        """The body is JSON, a form, or bytes as they are."""
        assert json.loads(peer.request("POST", "/echo", json={"a": [1, None]}).json()["body"]) == {"a": [1, None]}
        assert peer.request("POST", "/echo", data={"a": "x y"}).json()["body"] == "a=x+y"
        assert peer.request("PUT", "/echo", content=b"\x00\xff").json()["body"] == "\x00\xff"

    def test_absolute_urls(self, peer: Any) -> None:
        """A URL may be absolute."""
        assert peer.request("GET", f"{self.url}/echo").json()["path"] == "/echo"

    def test_another_host_gets_nothing_unasked(self, peer: Any) -> None:
        """A redirect to it is not followed, and a URL of it is asked for without credentials."""
        with suppress(ConnectorError):
            peer.request("POST", "/abroad", json={})
        with suppress(ConnectorError):
            peer.request("GET", "/abroad")
        assert self.orders == [] or peer.follows_abroad
        headers = peer.request("GET", abroad(f"{self.url}/echo")).json()["headers"]
        assert {"authorization", "cookie", "x-api-key"} & set(headers) == set()

    def test_a_post_is_sent_once(self, peer: Any) -> None:
        """Where no response comes, nobody knows whether it was done: UndecidedStepError, without another attempt."""
        with pytest.raises(UndecidedStepError) as caught:
            peer.request("POST", "/cut", json={"id": 1})
        assert len(self.orders) == 1
        assert "\n" not in str(caught.value)
        with suppress(ConnectorError, UndecidedStepError):
            peer.request("POST", "/orders/500", json={"id": 2})
        assert len(self.orders) == 2, "a POST that was answered is sent again"

    def test_a_response_has_been_read(self, peer: Any) -> None:
        """The body is there, byte for byte."""
        response = peer.request("GET", "/large")
        assert (response.status_code, response.content) == (200, LARGE)

    @pytest.mark.parametrize("status", [404, 500])
    def test_an_error_status_is_a_response_or_our_error(self, peer: Any, status: int) -> None:
        """It is never a success."""
        with suppress(ConnectorError):
            assert peer.request("GET", f"/status/{status}").status_code == status

    def test_an_unreachable_peer_is_an_error(self, place: Path) -> None:
        """A ConnectorError of one line."""
        with self.build(place, self.unreachable(place)) as found, pytest.raises(ConnectorError) as caught:
            found.request("GET", "/echo")
        assert "\n" not in str(caught.value)

    def test_the_built_in_steps(self, place: Path, tmp_path: Path) -> None:
        """`http_request`, `http_download` and `http_paginate`; an error status fails a step."""
        if {"http_request", "http_download", "http_paginate"} - set(list_steps()):
            pytest.skip("the built-in steps of HTTP are not installed: aetherflow-core[rest]")
        project = FlowProject(tmp_path / "flows")
        resource = {"kind": self.kind, "driver": self.driver, "config": self.config(place),
                    "options": self.options(place)}  # fmt: skip

        def run(**steps: dict[str, Any]) -> Any:
            listed = [
                {"id": name, "type": inputs.pop("type"), "inputs": {"resource": "peer", **inputs}}
                for name, inputs in steps.items()
            ]
            project.flow(*listed, resources={"peer": resource})
            return project.run()

        ran = run(
            send={"type": "http_request", "path": "/query", "method": "PUT", "json": {"a": 1}, "params": {"q": "ü"}},
            fetch={"type": "http_download", "path": "/large", "output": "large.bin"},
            pages={"type": "http_paginate", "path": "/pages", "items": "items", "output": "items.jsonl",
                   "pages": {"type": "cursor", "next": "next", "param": "page"}},
        )  # fmt: skip
        assert ran.status == "SUCCESS", ran.error
        assert ran["send"].outputs["body"]["query"] == {"q": ["ü"]}
        assert Path(ran["fetch"].outputs["output"]).read_bytes() == LARGE
        assert [json.loads(line) for line in Path(ran["pages"].outputs["output"]).read_text().splitlines()] == [1, 2]
        failed = run(send={"type": "http_request", "path": "/status/404"})
        assert failed.status == "FAILED"

    def test_the_built_in_steps_survive_a_kill(self, place: Path, tmp_path: Path) -> None:
        """Killed around the calls of the connector and run again, one order was posted, or none and the run asks."""
        resource = {"kind": self.kind, "driver": self.driver, "config": self.config(place),
                    "options": self.options(place)}  # fmt: skip
        posted_before: dict[Path, int] = {}

        def arrange(project: FlowProject) -> None:
            posted_before[project.folder] = len(self.orders)
            post = {"resource": "peer", "path": "/orders", "method": "POST", "json": {"id": 1}}
            fetch = {"resource": "peer", "path": "/large", "output": "large.bin"}
            project.flow(
                {"id": "fetch", "type": "http_download", "inputs": fetch},
                {"id": "post", "type": "http_request", "inputs": post},
                resources={"peer": resource},
            )

        def effects(project: FlowProject) -> Any:
            return self.orders[posted_before[project.folder] :]

        self.kill_and_run_again(tmp_path / "kills", arrange, effects, methods=("request", "send"))
