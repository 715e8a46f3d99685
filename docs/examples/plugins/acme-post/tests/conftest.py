"""The API of Acme Post on this machine: what the tests send is kept in memory."""

import base64
import json
import threading
from collections.abc import Iterator
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import pytest

pytest_plugins = ["aetherflow.core.testing.fixtures"]
TOKEN = "acme-t0ken"


class PostServer:
    """The API: `mails` by idempotency key, in the order in which they came."""

    def __init__(self) -> None:
        self.mails: dict[str, dict[str, Any]] = {}
        self.requests: list[str] = []
        self.refused = "nobody@x.test"
        self.token = TOKEN
        self.lose_answers = 0
        """How many of the next answers to a mail are lost after it was accepted."""
        self.lose_requests = 0
        """How many of the next requests with a mail are cut before it is accepted."""
        self.silent = threading.Event()
        """Set when a request has come that is never answered."""
        self.hang = False
        self.end = threading.Event()
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"api": self}))
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def accept(self, key: str, form: dict[str, Any], size: int) -> tuple[int, dict[str, Any]]:
        with self._lock:
            if key in self.mails:
                return 200, self.mails[key]["receipt"]
            refused = {each: "550 no such mailbox" for each in form["recipients"] if each == self.refused}
            accepted = [each for each in form["recipients"] if each not in refused]
            if not accepted or (refused and form["all_or_none"]):
                return 422, {"error": f"refused: {', '.join(refused)}"}
            receipt = {
                "message_id": dict(form["headers"])["Message-ID"],
                "accepted": accepted,
                "refused": refused,
                "size": size,
                "deliveries": dict.fromkeys(accepted, "delivered"),
            }
            self.mails[key] = {"form": form, "receipt": receipt}
            return 201, receipt


class _Handler(BaseHTTPRequestHandler):
    api: PostServer
    timeout = 60

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        if not self._may():
            return
        if url.path == "/v1/account":
            self._answer(200, {"name": "acme"})
            return
        (wanted,) = parse_qs(url.query)["message_id"]
        receipts = [mail["receipt"] for mail in self.api.mails.values()]
        self._answer(200, {"messages": [each for each in receipts if each["message_id"] == wanted]})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if not self._may():
            return
        if self.api.hang:
            self.api.silent.set()
            self.api.end.wait()
            return
        if self.api.lose_requests:
            self.api.lose_requests -= 1
            return
        status, answer = self.api.accept(self.headers["Idempotency-Key"], json.loads(body), len(body))
        if self.api.lose_answers:
            self.api.lose_answers -= 1
            return
        self._answer(status, answer)

    def _may(self) -> bool:
        self.api.requests.append(f"{self.command} {urlsplit(self.path).path}")
        if self.headers["Authorization"] == f"Bearer {self.api.token}":
            return True
        self._answer(401, {"error": "the token is not known"})
        return False

    def _answer(self, status: int, answer: dict[str, Any]) -> None:
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Nothing is logged."""


def mail_of(form: dict[str, Any]) -> EmailMessage:
    """The mail that the API makes of its parts."""
    made = EmailMessage()
    for name, value in form["headers"]:
        made[name] = value
    if "text" in form:
        made.set_content(form["text"])
    if "html" in form:
        made.add_alternative(form["html"], subtype="html") if "text" in form else made.set_content(form["html"], "html")
    for file in form["attachments"]:
        main, _, sub = file["content_type"].partition("/")
        params = {"charset": file["charset"]} if file["charset"] else {}
        content = base64.b64decode(file["content"])
        made.add_attachment(content, main, sub, filename=file["filename"], cid=file["content_id"], params=params)
    return made


@pytest.fixture
def api() -> Iterator[PostServer]:
    with PostServer() as server:
        yield server


@pytest.fixture
def mails(api: PostServer) -> Any:
    """A function that gives the mails that the API has, each with those whom it was delivered to."""
    return lambda: [(tuple(each["receipt"]["accepted"]), mail_of(each["form"])) for each in api.mails.values()]
