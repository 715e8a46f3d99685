"""HTTP against its floor: a large download, many small requests, a list of pages, each in turn with bare httpx.

The server is a process of its own on loopback, without TLS. The download of AetherFlow is the step `http_download` as a
run has it: hashed, synced, renamed, recorded; its limit is against bare httpx to a file that is then synced. On a disk
in memory (BENCH_ROOT=/dev/shm) a sync is free, and both ratios are those of the program alone.

    make bench-http
    .venv/bin/python tests/benchmarks/http_bench.py --megabytes 100 --requests 200 --pages 50
"""

import argparse
import contextlib
import functools
import json
import os
import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from bench_tools import disk_folder

DOWNLOAD_LIMIT = REQUEST_LIMIT = 1.15
ROUNDS = 5
PIECES = 20
"""The requests are made in so many pieces, in turn with those of the other, so that a busy machine hits both alike."""
PAGE_ITEMS = 100
FLOW = """\
version: 1
flow: {{id: bench, workspace: {{root: "{root}/work", cleanup_policy: never}}, state: {{path: "{root}/bench.sqlite"}}}}
resources: {{api: {{kind: rest, driver: httpx, config: {{base_url: "{url}"}}}}}}
jobs:
  - id: main
    steps: [{{id: get, type: {step}, inputs: {{resource: api, {inputs}}}}}]
"""


class Handler(BaseHTTPRequestHandler):
    """Sends a file by the kernel, or a few bytes."""

    protocol_version = "HTTP/1.1"
    file: Path

    def do_GET(self) -> None:
        content = page(self.path) if self.path.startswith("/list") else b'{"ok": "123456"}'
        size = self.file.stat().st_size if self.path == "/file" else len(content)
        self.send_response(200)
        self.send_header("Content-Length", str(size))
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        if self.path != "/file":
            self.wfile.write(content)
            return
        self.wfile.flush()
        with self.file.open("rb") as file:
            self.connection.sendfile(file)

    def log_message(self, *_: object) -> None: ...


def page(path: str) -> bytes:
    """A page of a list: `/list?of=50&page=3`; an empty one behind the last."""
    of, number = (int(each.partition("=")[2]) for each in path.partition("?")[2].split("&"))
    first = number * PAGE_ITEMS
    items = [{"id": each, "name": f"customer {each}", "amount": each / 4} for each in range(first, first + PAGE_ITEMS)]
    return json.dumps(items if number <= of else []).encode()


def serve(file: Path) -> None:
    """Serve until stdin ends."""
    Handler.file = file
    Handler.wbufsize = -1  # one write per response
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_port, flush=True)
    sys.stdin.read()


@contextlib.contextmanager
def server(file: Path) -> Iterator[str]:
    """A server in a process of its own."""
    child = subprocess.Popen(
        [sys.executable, __file__, "--serve", str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout
    try:
        yield f"http://127.0.0.1:{child.stdout.readline().strip()}"
    finally:
        child.terminate()
        child.wait()


# The download; each writes to `folder`


def bare_download(url: str, folder: Path) -> float:
    """Seconds of bare httpx to a file."""
    import httpx

    started = time.perf_counter()
    with (
        (folder / "bare.bin").open("wb") as file,
        httpx.Client(timeout=60) as client,
        client.stream("GET", f"{url}/file") as response,
    ):
        for chunk in response.iter_bytes():
            file.write(chunk)
    return time.perf_counter() - started


def synced_download(url: str, folder: Path) -> float:
    """The same, and the time until the file is on the disk."""
    seconds, started = bare_download(url, folder), time.perf_counter()
    with (folder / "bare.bin").open("rb") as file:
        os.fsync(file.fileno())
    return seconds + time.perf_counter() - started


def curl_download(url: str, folder: Path) -> float:
    """Seconds of curl, its start included."""
    started = time.perf_counter()
    subprocess.run(["curl", "-sS", "-o", str(folder / "curl.bin"), f"{url}/file"], check=True)
    return time.perf_counter() - started


def step_seconds(url: str, folder: Path, step: str, inputs: str) -> float:
    """Seconds of a step, as the run's summary has them."""
    from aetherflow.core.runner import run_flow

    (folder / "flow.yaml").write_text(FLOW.format(root=folder, url=url, step=step, inputs=inputs))
    summary = run_flow(folder / "flow.yaml", env={**os.environ, "AETHERFLOW_STATE_ROOT": str(folder / "state")})
    return summary.jobs[0].steps[0].duration_ms / 1000


def step_download(url: str, folder: Path) -> float:
    return step_seconds(url, folder, "http_download", "path: /file, output: file.bin")


# The list


def bare_list(pages: int, url: str, folder: Path) -> float:
    """Seconds of bare httpx that writes the items of all pages as JSON lines."""
    import httpx

    started = time.perf_counter()
    with (folder / "bare.jsonl").open("w") as file, httpx.Client(base_url=url) as client:
        number = 1
        while items := client.get("/list", params={"of": pages, "page": number}).raise_for_status().json():
            file.writelines(f"{json.dumps(item)}\n" for item in items)
            number += 1
    return time.perf_counter() - started


def step_list(pages: int, url: str, folder: Path) -> float:
    """Seconds of the step `http_paginate`, which stores its place after each page."""
    inputs = f"path: /list, params: {{of: {pages}}}, pages: {{type: page}}, output: items.jsonl"
    return step_seconds(url, folder, "http_paginate", inputs)


# The requests


def bare_requests(url: str, count: int) -> float:
    """Seconds of so many requests by bare httpx."""
    import httpx

    with httpx.Client(base_url=url) as client:
        client.get("/small")
        started = time.perf_counter()
        for _ in range(count):
            client.get("/small").raise_for_status()
        return time.perf_counter() - started


def our_requests(url: str, count: int) -> float:
    """Seconds of the same by the connector."""
    from aetherflow.core.api import ConnectorInit
    from aetherflow_builtins_rest.connectors.httpx import HttpxConnector

    with HttpxConnector(ConnectorInit("api", "rest", "httpx", {"base_url": url}, {})) as connector:
        connector.get("/small")
        started = time.perf_counter()
        for _ in range(count):
            connector.get("/small")
        return time.perf_counter() - started


def in_turn(rounds: int, *measured: Callable[[], float]) -> list[float]:
    """The median of each, measured in turn with the others."""
    found: list[list[float]] = [[] for _ in measured]
    for _ in range(rounds):
        for times, measure in zip(found, measured, strict=True):
            times.append(measure())
    return [statistics.median(times) for times in found]


def main() -> int:
    """Measure; 1 if a limit is broken."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--pages", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--serve", type=Path)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve)
        return 0
    with disk_folder() as folder:
        return measure(folder, options.megabytes, options.requests, options.pages, options.rounds)


def measure(folder: Path, megabytes: int, requests: int, pages: int, rounds: int) -> int:
    """Measure all and print the table."""
    source = folder / "source.bin"
    with source.open("wb") as file:
        block = os.urandom(1_000_000)
        for _ in range(megabytes):
            file.write(block)

    def fresh(download: Callable[[str, Path], float]) -> Callable[[], float]:
        def run() -> float:
            target = folder / "round"
            target.mkdir()
            try:
                os.sync()  # what the one before it left to be written is not this one's cost
                return download(url, target)
            finally:
                shutil.rmtree(target)

        return run

    with server(source) as url:
        downloads = map(fresh, (synced_download, step_download, bare_download, curl_download))
        synced, step, bare, curl = in_turn(rounds, *downloads)
        piece = max(requests // PIECES, 1)
        lists = (fresh(functools.partial(each, pages)) for each in (bare_list, step_list))
        bare_pages, our_pages = in_turn(rounds, *lists)
        plain, ours = in_turn(PIECES, lambda: bare_requests(url, piece), lambda: our_requests(url, piece))
    print(f"download of {megabytes} MB: http_download {step:.2f} s, bare httpx {bare:.2f} s, synced {synced:.2f} s")
    print(f"  ratio to bare httpx to a synced file {step / synced:.2f} (limit {DOWNLOAD_LIMIT})")
    print(f"  ratio to files that are not synced: bare httpx {step / bare:.2f}, curl {step / curl:.2f}")
    print(
        f"list of {pages} pages of {PAGE_ITEMS} items: http_paginate {our_pages:.2f} s, bare httpx {bare_pages:.2f} s"
    )
    print(f"  ratio to bare httpx {our_pages / bare_pages:.2f}")
    print(
        f"{requests} small requests in {PIECES} pieces, {piece} take: connector {ours:.3f} s, bare httpx {plain:.3f} s"
    )
    print(f"  ratio to bare httpx {ours / plain:.2f} (limit {REQUEST_LIMIT})")
    return int(step / synced > DOWNLOAD_LIMIT or ours / plain > REQUEST_LIMIT)


if __name__ == "__main__":
    raise SystemExit(main())
