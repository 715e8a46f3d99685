"""A small API to try the flow beside it on: `python3 api.py` prints the address to give to the flow.

Orders page by page, a report that takes a moment, a file, a channel for messages. Only Python's standard library.
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

ORDERS = [{"id": number, "sku": f"A-{100 + number}", "quantity": number % 3 + 1} for number in range(1, 26)]
PAGE = 10
REPORT = b"".join(f"{order['sku']},{order['quantity']}\n".encode() for order in ORDERS)
asked: dict[str, int] = {}


def say(text: str) -> None:
    """Write a line to the terminal."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


class Api(BaseHTTPRequestHandler):
    """Answers."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """A page of orders, the state of the report, the report."""
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if parts.path == "/orders":
            start = int(query.get("after", 0))
            items = ORDERS[start : start + PAGE]
            following = start + PAGE if start + PAGE < len(ORDERS) else None
            self.answer({"orders": items, "next": following})
        elif parts.path == "/reports/1":
            asked["report"] = asked.get("report", 0) + 1
            self.answer({"state": "done" if asked["report"] > 2 else "running", "file": "/reports/1.csv"})
        elif parts.path == "/reports/1.csv":
            self.answer(REPORT, kind="text/csv", headers={"ETag": '"1"'})
        else:
            self.answer({"error": "not here"}, 404)

    def do_POST(self) -> None:
        """Order a report, take a message."""
        length = int(self.headers.get("Content-Length", 0))
        message = json.loads(self.rfile.read(length) or b"null")
        if self.path == "/reports":
            self.answer({"id": 1, "state": "running"}, 202)
        elif self.path == "/hooks/1f0c9a7e5b3d":
            say(f"message: {message['text']}")
            self.answer({})
        else:
            self.answer({"error": "not here"}, 404)

    def answer(
        self, body: object, status: int = 200, kind: str = "application/json", headers: dict[str, str] | None = None
    ) -> None:
        """Send a response."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(data)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 8080), Api)
    say(f"http://127.0.0.1:{server.server_port}")
    server.serve_forever()
