"""A1 on the HTTP half of F11: killed at every failpoint and around every request; N: network cuts of HTTP and HTTPS."""

import functools
import json
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aetherflow.core.api import ConnectorError, ConnectorInit
from aetherflow.core.base.durable.failpoint import hit
from aetherflow.core.testing import FlowProject
from aetherflow_builtins_rest.client import Wire
from aetherflow_builtins_rest.connectors.httpx import HttpxConnector
from http_server import Authority, Running, content, running, sha256_of
from proxy import How, Proxy
from torture_bench import Bench, warm_up
from torture_invariants import check_command, facts, work_files
from torture_tier import sample, sized, suite

pytestmark = pytest.mark.slow

KILLED = -signal.SIGKILL
FLOW = """\
version: 1
flow: {{id: f, workspace: {{cleanup_policy: never}}}}
resources:
  api: {{kind: rest, driver: httpx, config: {{base_url: "{url}"}}}}
jobs:
  - id: a
    steps:
      - {{id: one, type: torture_effect, inputs: {{size: 40000}}}}
      - id: ask
        type: http_request
        inputs: {{resource: api, path: /list/cursor, extract: {{total: total}}}}
      - id: list
        type: http_paginate
        inputs: {{resource: api, path: /list/cursor, params: {{total: "{{{{steps.ask.total}}}}"}}, items: items,
                 pages: {{type: cursor, next: next}}, output: items.jsonl}}
      - id: table
        type: http_paginate
        inputs: {{resource: api, path: /list/link, pages: {{type: link_header}}, output: it.parquet, format: parquet}}
      - {{id: down, type: http_download, inputs: {{resource: api, path: /file/300000, output: file.bin}}}}
      - {{id: up, type: http_upload, inputs: {{resource: api, path: /echo/up, file: "{{{{steps.one.path}}}}"}}}}
      - id: order
        type: http_request
        inputs: {{resource: api, path: /echo/order, method: POST, json: {{n: 1}}, keyed: true,
                 extract: {{bytes: size}}}}
      - {{id: tell, type: webhook_notify, inputs: {{resource: api, path: /hook, text: done}}}}
      - {{id: last, type: torture_effect}}
"""


@pytest.fixture(scope="module")
def plain() -> Iterator[Running]:
    """The API without TLS."""
    with running() as found:
        yield found


@pytest.fixture(scope="module")
def secured(http_authority: Authority) -> Iterator[Running]:
    """The API with TLS."""
    with running(http_authority.certificate("localhost", "127.0.0.1")) as found:
        yield found


def points_at_the_peer() -> None:
    """Make every request pass a failpoint before and after."""
    original = Wire._follow

    @functools.wraps(original)
    def wrapped(self: Wire, call: Any) -> Any:
        hit(f"before {call.method} {call.url}")
        result = original(self, call)
        hit(f"after {call.method} {call.url}")
        return result

    Wire._follow = wrapped  # type: ignore[method-assign]


def without_time(value: Any) -> str:
    return re.sub(r'("date\\*": ?\\*")[^"\\]*', r"\1D", json.dumps(value, default=str))


def end_state(bench: Bench) -> dict[str, Any]:
    """What must be equal however often the run was killed."""
    return {**{name: without_time(rows) for name, rows in facts(bench).items()}, "files": work_files(bench)}


def test_kill_at_every_point(bench: Bench, plain: Running) -> None:
    api = plain.api
    bench.write(FLOW.format(url=plain.url))
    warm_up(bench)
    api.reset()
    log = bench.folder / "points"
    assert bench.attempt(f"log:{log}", before=points_at_the_peer) == 0, bench.error_text()
    oracle, once = end_state(bench), api.count()
    names = log.read_text().splitlines()
    bench.forget()
    sentinels = bench.sentinels()
    numbers = sample(list(range(1, len(names) + 1)), sized(15, len(names)), "A1-F11")
    with suite("A1 F11-HTTP", 1, 2, 3, 7, 8, 10) as counted:
        for point in numbers:
            with counted.case(f"kill at {point}, {names[point - 1]}"):
                api.reset()
                assert bench.attempt(f"{point}", before=points_at_the_peer) == KILLED
                code = bench.attempt()
                if code == 1:  # the message may have been sent: nobody repeats it unasked
                    assert "a.tell" in bench.error_text()
                    assert api.count("/hook") <= 1
                    answer = "done" if api.count("/hook") else "again"
                    code = bench.run("resume", "r", "--decide", f"a.tell={answer}")
                assert code == 0, bench.error_text()
                assert api.count("/hook") == 1, "a message is sent once"
                assert len({h.headers["idempotency-key"] for h in api.hits if h.path == "/echo/order"}) == 1
                # a step that was killed between its end and its record runs again: the longest makes three requests
                assert api.count() <= once + 3, f"{api.count()} requests; finished steps and pages are not asked again"
                found = end_state(bench)
                for what in ("run", "artifacts", "files", "ledger"):
                    assert found[what] == oracle[what], (
                        f"{what}: {str(found[what])[:600]} not {str(oracle[what])[:600]}"
                    )
                check_command(bench)
                assert bench.sentinels() == sentinels, "I10: something outside of the run changed"
            bench.forget()


# N: network cuts

SIZE = 100_000
LIMIT_SECONDS = 1.0
ATTEMPTS = 2


def cuts(total: int) -> list[int]:
    """Every 64 bytes in the first 4 KB, then 40 points on a logarithmic scale."""
    return list(range(64, 4097, 64)) + [int(4096 * (max(total, 8192) / 4096) ** (step / 40)) for step in range(1, 41)]


OPERATIONS = ("get", "put", "post", "keyed post")
USEFUL = {("get", "down"), ("put", "up"), ("post", "up"), ("keyed post", "up")}


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_network_cuts(plain: Running, secured: Running, http_authority: Authority, tls: bool) -> None:
    served = secured if tls else plain
    hows: tuple[How, ...] = ("rst", "fin", "stall")
    cases = [
        (operation, direction, at, hows[index % 3], faults)
        for operation in OPERATIONS
        for direction in ("up", "down")
        for index, at in enumerate(cuts(SIZE + 4000 if (operation, direction) in USEFUL else 8192))
        for faults in (1, None)
    ]
    name = "HTTPS" if tls else "HTTP"
    with suite(f"N {name}", 7, 8, 11) as counted:
        for operation, direction, at, how, faults in sample(cases, sized(20, 250), f"N-{name}"):
            with counted.case(f"{operation} cut after {at} bytes {direction} ({how}), {faults or 'every'} time"):
                served.api.reset()
                with Proxy(served.port, **{direction: at}, how=how, faults=faults) as proxy:
                    base = f"{'https' if tls else 'http'}://127.0.0.1:{proxy.port}"
                    error, seconds = attempt(base, http_authority, operation)
                    cut, connections = proxy.cuts, proxy.connections
                assert seconds < ATTEMPTS * (2 * LIMIT_SECONDS + 0.5) + 2, f"{seconds:.1f} s"
                assert connections <= ATTEMPTS, f"{connections} connections for {ATTEMPTS} attempts"
                effects = served.api.count("/echo")
                assert effects <= (1 if operation == "post" else ATTEMPTS)
                if operation == "keyed post":
                    assert len({hit.headers["idempotency-key"] for hit in served.api.hits}) <= 1
                if faults == 1 and operation != "post":
                    assert error is None, f"one cut, {ATTEMPTS} attempts: {error}"
                if error is not None:
                    told = f"{error} {error.fix}"
                    for word in ("resource api", f"127.0.0.1:{proxy.port}", "attempt ", operation.split()[-1].upper()):
                        assert word in told, told
                    assert "s3cret-of-the-test" not in told
                elif not cut:
                    assert effects == 1 or operation == "get"


def attempt(base: str, http_authority: Authority, operation: str) -> tuple[ConnectorError | None, float]:
    """One request; the error, if there was one, and how long it took."""
    from aetherflow.core.api import HttpCall

    config = {
        "base_url": base,
        "ca_file": str(http_authority.file),
        "auth": {"type": "bearer", "token": "s3cret-of-the-test"},
    }
    options = {"timeout": LIMIT_SECONDS, "retry": {"max_attempts": ATTEMPTS, "backoff_seconds": 0.01}}
    started = time.monotonic()
    with HttpxConnector(ConnectorInit("api", "rest", "httpx", config, options)) as connector:
        try:
            if operation == "get":
                assert connector.get(f"/file/{SIZE}").content == content(0, SIZE)
            else:
                body, keyed = content(0, SIZE), operation == "keyed post"
                method = "PUT" if operation == "put" else "POST"
                call = HttpCall(method, "/echo", content=body, keyed=keyed, idempotency_key="the-key")
                assert connector.send(call).json()["size"] == SIZE
        except ConnectorError as error:
            return error, time.monotonic() - started
    return None, time.monotonic() - started


def test_cut_downloads_are_whole_or_not_there(plain: Running, tmp_path: Path) -> None:
    """By steps: the same run again and again through a proxy that cuts; the file appears whole, once."""
    offsets = [at for at in cuts(SIZE + 500) if at > 500]
    with suite("N download", 1, 7) as counted:
        for number, at in enumerate(sample(offsets, sized(6, 60), "N-download")):
            project = FlowProject(tmp_path / str(number))
            how: How = ("rst", "fin")[number % 2]
            with counted.case(f"cut after {at} bytes ({how})"), Proxy(plain.port, down=at, how=how, faults=2) as proxy:
                plain.api.reset()
                resource = {"kind": "rest", "driver": "httpx", "config": {"base_url": f"http://127.0.0.1:{proxy.port}"}}
                inputs = {"resource": "api", "path": f"/file/{SIZE}", "output": "file.bin"}
                step = {"id": "s", "type": "http_download", "inputs": inputs, "retry": {"max_attempts": 3}}
                project.flow(step, resources={"api": resource})
                ran = project.run()
                assert ran.error is None, ran.error
                assert ran["s"].outputs["sha256"] == sha256_of(SIZE)
                assert plain.api.count() <= 3, "what came before a cut is not asked for again"
                left = [path.name for path in project.work.rglob("*") if path.parent.name == "artifacts"]
                assert left == ["file.bin"]
