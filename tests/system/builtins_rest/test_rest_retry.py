"""For each method and failure: how many requests the peer sees, and what becomes of the step."""

import socket
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from aetherflow.core.api import ConnectorError
from aetherflow.core.testing import FlowProject
from aetherflow_builtins_rest.failures import StatusError, UndecidedRequestError
from http_server import Running, peer

IDEMPOTENT, UNSAFE = ("GET", "HEAD", "PUT", "DELETE", "OPTIONS"), ("POST", "PATCH")
METHODS = (*IDEMPOTENT, *UNSAFE)
RETRY = {"retry": {"max_attempts": 3, "backoff_seconds": 0.01}}
RETRIED, FINAL = (429, 502, 503, 504), (400, 401, 404, 408, 500, 501)


@pytest.mark.parametrize("status", [*RETRIED, *FINAL])
@pytest.mark.parametrize("method", METHODS)
def test_statuses(http_connect: Callable[..., Any], http_api: Running, method: str, status: int) -> None:
    expected = 3 if status in RETRIED and method in IDEMPOTENT else 1
    undecided = method in UNSAFE and status in (502, 504)
    with pytest.raises(UndecidedRequestError if undecided else StatusError) as caught:
        http_connect(options=RETRY).request(method, f"/status/{status}")
    assert http_api.api.count() == expected
    assert f"(attempt {expected} of {3 if method in IDEMPOTENT else 1})" in str(caught.value)
    assert caught.value.fix


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("how", ["timeout", "cut"])
def test_failures_after_the_request_was_sent(
    http_connect: Callable[..., Any], http_api: Running, method: str, how: str
) -> None:
    options = {**RETRY, "timeouts": {"read": 0.2}}
    path = "/slow/1.0" if how == "timeout" else "/cut/100000"
    if how == "cut" and method == "HEAD":
        return  # its response has no body that could be cut
    with pytest.raises(ConnectorError if method in IDEMPOTENT else UndecidedRequestError):
        http_connect(options=options).request(method, path)
    assert http_api.api.count() == (3 if method in IDEMPOTENT else 1)


@pytest.mark.parametrize("method", METHODS)
def test_a_keyed_or_allowed_request_is_repeated_whatever_its_method(
    http_connect: Callable[..., Any], http_api: Running, method: str
) -> None:
    options = {"retry": {**RETRY["retry"], "unsafe_methods": "true"}}
    assert http_connect(options=options).request(method, "/flaky/2/503").status_code == 200
    assert http_api.api.count() == 3


def reads_and_closes(accepted: socket.socket) -> None:
    accepted.recv(65536)


def resets(accepted: socket.socket) -> None:
    accepted.recv(65536)
    accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


def speaks_nonsense(accepted: socket.socket) -> None:
    accepted.recv(65536)
    accepted.sendall(b"SMTP ready\r\n\r\n")


@pytest.mark.parametrize("behave", [reads_and_closes, resets, speaks_nonsense])
@pytest.mark.parametrize("method", METHODS)
def test_a_peer_that_drops_the_connection(
    http_connect: Callable[..., Any], method: str, behave: Callable[[socket.socket], None]
) -> None:
    with peer(behave) as listener:
        connector = http_connect(base_url=f"http://127.0.0.1:{listener.port}", options=RETRY)
        with pytest.raises(ConnectorError if method in IDEMPOTENT else UndecidedRequestError):
            connector.request(method, "/")
        assert listener.connections == (3 if method in IDEMPOTENT else 1)


@pytest.mark.parametrize("method", METHODS)
def test_nobody_listens_is_tried_again_for_every_method(http_connect: Callable[..., Any], method: str) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
    options = {"retry": {"max_attempts": 3, "backoff_seconds": 0.1, "backoff_multiplier": 1}}
    started = time.monotonic()
    with pytest.raises(ConnectorError, match=r"no connection.*\(attempt 3 of") as caught:
        http_connect(base_url=f"http://127.0.0.1:{port}", options=options).request(method, "/")
    assert time.monotonic() - started > 0.2
    assert not isinstance(caught.value, UndecidedRequestError)


# How many attempts there are


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, 1), ({"retries": 2}, 3), ({"retries": 0}, 1), ({"retry": {"max_attempts": 2}}, 2),
        ({"retries": 1, "retry": {"max_attempts": 2}}, 2),
    ],
)  # fmt: skip
def test_max_attempts_is_the_total_and_retries_are_further_tries(
    http_connect: Callable[..., Any], http_api: Running, options: dict[str, Any], expected: int
) -> None:
    options.setdefault("retry", {})["backoff_seconds"] = 0.01
    with pytest.raises(StatusError):
        http_connect(options=options).get("/status/503")
    assert http_api.api.count() == expected


def test_both_spellings_that_differ_are_refused(http_connect: Callable[..., Any]) -> None:
    with pytest.raises(ConnectorError, match="both given and differ"):
        http_connect(options={"retries": 3, "retry": {"max_attempts": 3}})


# Retry-After


def test_retry_after_counts_instead_of_the_backoff(http_connect: Callable[..., Any], http_api: Running) -> None:
    options = {"retry": {"max_attempts": 2, "backoff_seconds": 60}}
    started = time.monotonic()
    assert http_connect(options=options).get("/flaky/1/429", params={"retry_after": "1"}).json()["tries"] == 2
    assert 1 <= time.monotonic() - started < 30
    assert http_api.api.count() == 2


def test_a_longer_wait_than_allowed_ends_the_attempts(http_connect: Callable[..., Any], http_api: Running) -> None:
    options = {"retry": {"max_attempts": 5, "max_retry_after_seconds": 10}}
    with pytest.raises(StatusError, match="asks to wait 3600 s"):
        http_connect(options=options).get("/flaky/1/429", params={"retry_after": "3600"})
    assert http_api.api.count() == 1


def test_a_date_that_has_passed_means_at_once(http_connect: Callable[..., Any], http_api: Running) -> None:
    options = {"retry": {"max_attempts": 2, "backoff_seconds": 60}}
    past = "Wed, 21 Oct 2015 07:28:00 GMT"
    assert http_connect(options=options).get("/flaky/1/503", params={"retry_after": past}).status_code == 200
    assert http_api.api.count() == 2


def test_other_statuses_can_be_named(http_connect: Callable[..., Any], http_api: Running) -> None:
    options = {"retry": {"max_attempts": 2, "backoff_seconds": 0.01, "retry_on": [500]}}
    assert http_connect(options=options).get("/flaky/1/500").status_code == 200
    with pytest.raises(StatusError):
        http_connect(options=options).get("/status/503")
    assert http_api.api.count() == 3


# Steps


def step(method: str, path: str, **more: Any) -> dict[str, Any]:
    inputs = {"resource": "api", "method": method, "path": path, **more.pop("inputs", {})}
    return {"id": "s", "type": "http_request", "inputs": inputs, **more}


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_a_post_whose_fate_is_unknown_is_not_even_repeated_by_the_steps_retry(
    flow_project: FlowProject, rest_api: Callable[..., dict[str, Any]], http_api: Running, method: str
) -> None:
    resources = rest_api(options={**RETRY, "timeouts": {"read": 0.3}})
    flow_project.flow(step(method, "/slow/1.5", retry={"max_attempts": 3}), resources=resources)
    ran = flow_project.run()
    assert ran.status == "UNKNOWN"
    assert ran.error
    assert (ran.error.code, "--decide" in (ran.error.fix or "")) == ("AF5007", True)
    assert http_api.api.count() == 1


def test_a_keyed_post_carries_the_same_key_in_every_attempt(
    flow_project: FlowProject, rest_api: Callable[..., dict[str, Any]], http_api: Running
) -> None:
    flaky = step("POST", "/flaky/4/503", inputs={"keyed": True, "json": {}}, retry={"max_attempts": 2})
    flow_project.flow(flaky, resources=rest_api(options=RETRY))
    ran = flow_project.run()
    assert ran.status == "SUCCESS", ran.error
    keys = {hit.headers["idempotency-key"] for hit in http_api.api.hits}
    assert (http_api.api.count(), len(keys)) == (5, 1)
    assert len(keys.pop()) == 32
