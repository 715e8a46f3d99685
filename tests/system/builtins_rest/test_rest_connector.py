"""The connector on a real server: credentials, redirects, limits, time."""

import asyncio
import base64
import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import pytest

from aetherflow.core.api import ConnectorError, HttpCall
from aetherflow_builtins_rest.bodies import BadBodyError, BodyTooLargeError
from aetherflow_builtins_rest.failures import StatusError, UndecidedRequestError
from http_server import KEY, PASSWORD, TOKEN, USER, Running, peer

Connect = Callable[..., Any]
OAUTH = {"type": "oauth2", "client_id": USER, "client_secret": PASSWORD}
AUTHS: dict[str, dict[str, Any]] = {
    "bearer": {"type": "bearer", "token": TOKEN},
    "basic": {"type": "basic", "username": USER, "password": PASSWORD},
    "digest": {"type": "digest", "username": USER, "password": PASSWORD},
    "header": {"type": "api_key", "api_key": KEY},
    "query": {"type": "api_key", "api_key": KEY, "place": "query", "name": "api_key"},
}


def echo(connector: Any, path: str = "/echo", **kwargs: Any) -> dict[str, Any]:
    return dict(connector.get(path, **kwargs).json())


# Credentials


@pytest.mark.parametrize("kind", AUTHS)
def test_credentials(http_connect: Connect, http_api: Running, kind: str) -> None:
    connector = http_connect(auth=AUTHS[kind])
    for _ in range(3):
        assert connector.get(f"/auth/{kind}").json() == {"ok": True}
    assert http_api.api.count() == (4 if kind == "digest" else 3), "digest is challenged once, then knows"
    assert connector.post(f"/auth/{kind}", json={"a": 1}).json() == {"ok": True}


def test_legacy_token_and_a_header_that_wins(http_connect: Connect) -> None:
    for name in ("bearer_token", "token"):
        assert http_connect(**{name: TOKEN}).get("/auth/bearer").json() == {"ok": True}
    found = echo(http_connect(bearer_token=TOKEN, headers={"authorization": "Custom x"}))
    assert found["headers"]["authorization"] == "Custom x"


def test_oauth2_asks_once_and_again_when_the_token_runs_out_or_is_refused(
    http_connect: Connect, http_api: Running
) -> None:
    connector = http_connect(auth=OAUTH | {"token_url": f"{http_api.url}/token", "leeway_seconds": 1})
    for _ in range(3):
        assert connector.get("/auth/oauth2").json() == {"ok": True}
    assert http_api.api.count("/token") == 1
    http_api.api.tokens.append("the-server-has-forgotten-the-first")
    assert connector.post("/auth/oauth2").status_code == 200 if http_api.api.tokens.pop() else False
    http_api.api.tokens[:] = ["elsewhere"]
    assert connector.get("/auth/oauth2").json() == {"ok": True}, "refused, renewed, sent again"
    assert (http_api.api.count("/token"), http_api.api.count("/auth/oauth2")) == (2, 6)
    assert "oauth-token-2" in set(connector.secrets())


def test_oauth2_renews_what_runs_out(http_connect: Connect, http_api: Running) -> None:
    http_api.api.token_seconds = 1
    body = OAUTH | {"token_url": f"{http_api.url}/token", "leeway_seconds": 1, "client_auth": "body", "scope": "a b"}
    connector = http_connect(auth=body)
    connector.get("/auth/oauth2")
    connector.get("/auth/oauth2")
    assert http_api.api.count("/token") == 1, "half of its life it is used"
    time.sleep(0.6)
    connector.get("/auth/oauth2")
    assert http_api.api.count("/token") == 2
    assert b"scope=a+b" in http_api.api.hits[0].body


@pytest.mark.parametrize("told", ["1e999", "NaN", "-5", '"soon"', "null", "0", "[]"])
def test_oauth2_tokens_without_a_usable_end_are_renewed_after_five_minutes(
    http_connect: Connect, http_api: Running, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    http_api.api.token_seconds = told
    connector = http_connect(auth=OAUTH | {"token_url": f"{http_api.url}/token"})
    now = time.monotonic()
    for later, asked in ((0, 1), (260, 1), (280, 2), (500, 2)):
        monkeypatch.setattr("aetherflow_builtins_rest.auth.time", SimpleNamespace(monotonic=lambda at=now + later: at))
        connector.get("/auth/oauth2")
        assert http_api.api.count("/token") == asked


def test_oauth2_failures(http_connect: Connect, http_api: Running) -> None:
    wrong = http_connect(
        auth=OAUTH | {"client_secret": "wrong", "token_url": f"{http_api.url}/token"}, options={"retries": 2}
    )
    with pytest.raises(ConnectorError, match=r"no token from .*/token: status 401, invalid_client") as caught:
        wrong.post("/auth/oauth2")
    assert caught.value.fix == "check client_id, client_secret and scope"
    assert http_api.api.count() == 1, "a wrong secret is not tried again, and the request itself never sent"
    options = {"retry": {"max_attempts": 3, "backoff_seconds": 0.01}}
    again = http_connect(auth=OAUTH | {"token_url": f"{http_api.url}/token?fail=1"}, options=options)
    assert again.post("/auth/oauth2").status_code == 200, "a token server that is busy is asked again, even for a POST"


def test_credentials_need_a_host_to_go_to(http_connect: Connect) -> None:
    with pytest.raises(ConnectorError, match="credentials need base_url"):
        http_connect(base_url="", bearer_token=TOKEN)
    with pytest.raises(ConnectorError, match="auth and bearer_token are both given"):
        http_connect(auth=AUTHS["bearer"], token=TOKEN)
    with pytest.raises(ConnectorError, match="user or password"):
        http_connect(base_url="https://a:b@example.org")


def test_the_whole_address_of_a_webhook_may_be_the_base(http_connect: Connect, http_api: Running) -> None:
    address = f"{http_api.url}/echo?api-version=1&sig=signature-of-the-test"
    with pytest.raises(ConnectorError, match="must end before"):
        http_connect(base_url=address)
    connector = http_connect(base_url=address, secret_url=True)
    connector.send(HttpCall("POST", "", json={}))
    connector.send(HttpCall("POST", "/x", json={}))
    assert [(hit.path, "sig" in hit.query) for hit in http_api.api.hits] == [("/echo", True), ("/echo/x", False)]


def test_a_fragment_is_no_part_of_a_base(http_connect: Connect) -> None:
    with pytest.raises(ConnectorError, match="must end before `#`"):
        http_connect(base_url="https://example.org/#x")


def test_credentials_in_clear_text_are_refused(http_connect: Connect) -> None:
    for settings in ({"auth": AUTHS["basic"]}, {"headers": {"Authorization": "Bearer x"}}):
        with pytest.raises(ConnectorError, match="clear text") as caught:
            http_connect(base_url="http://api.example.org", **settings)
        assert "allow_plaintext_auth" in caught.value.fix
        http_connect(base_url="http://api.example.org", options={"allow_plaintext_auth": "true"}, **settings)
        http_connect(base_url="http://127.0.0.1:1", **settings)


# Redirects


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_redirects_are_errors_unless_allowed(http_connect: Connect, http_api: Running, code: int) -> None:
    path = f"/redirect/{code}?to=/echo"
    with pytest.raises(StatusError, match=str(code)) as caught:
        http_connect().get(path)
    assert "options.redirects" in caught.value.fix
    assert http_connect(options={"raise_for_status": "no"}).get(path).status_code == code
    same = http_connect(options={"redirects": "same_host"})
    assert same.get(path).json()["path"] == "/echo"
    posted = same.post(path, json={"a": 1}).json()
    kept = code in (307, 308)
    assert (posted["method"], posted["size"]) == (("POST", 7) if kept else ("GET", 0))


@pytest.mark.parametrize("kind", [*AUTHS, "oauth2", "plain header", "cookie"])
@pytest.mark.parametrize("code", [302, 307])
def test_a_redirect_to_another_host_carries_no_credentials(
    http_connect: Connect, http_api: Running, http_other: Running, kind: str, code: int
) -> None:
    auths = AUTHS | {"oauth2": OAUTH | {"token_url": f"{http_api.url}/token"}}
    connector = http_connect(
        auth=auths.get(kind), headers={"X-Mine": "header-of-mine"}, options={"redirects": "any", "max_redirects": 3}
    )
    if kind == "digest":
        connector.get("/auth/digest")
    if kind == "cookie":
        connector.get("/echo?cookie=1")
    path = f"/redirect/{code}?to={http_other.url}/echo%3Fq=1"
    found = echo(connector, path, headers={"X-Own": "of-the-step"})
    assert found["path"] == "/echo"
    (hit,) = http_other.api.hits
    allowed = {"host", "accept", "accept-encoding", "user-agent", "connection"}
    assert set(hit.headers) <= allowed
    assert hit.query == {"q": "1"}
    back = f"/redirect/{code}?to={http_other.url}/redirect/{code}%3Fto%3D{http_api.url}/echo"
    echo(connector, back)
    assert "x-own" not in http_api.api.hits[-1].headers


def test_an_absolute_address_of_another_host_gets_none_either(
    http_connect: Connect, http_api: Running, http_other: Running
) -> None:
    connector = http_connect(auth=AUTHS["bearer"], headers={"X-Mine": "1"})
    assert echo(connector, f"{http_api.url}/echo")["headers"]["authorization"] == f"Bearer {TOKEN}"
    headers = echo(connector, f"{http_other.url}/echo")["headers"]
    assert not {"authorization", "x-mine"} & set(headers)


def test_what_a_redirect_may_never_do(http_connect: Connect, http_api: Running, http_other: Running) -> None:
    chain = "/echo"
    for _ in range(4):
        chain = f"/redirect/307?to={quote(chain, safe='')}"
    for options, to, method, says in (
        ({"redirects": "same_host"}, f"{http_other.url}/echo", "GET", "another host"),
        ({"redirects": "any"}, f"{http_other.url}/echo", "PUT", "with its body to another host"),
        ({"redirects": "any"}, f"http://localhost:{http_api.port}/echo", "GET", "in clear text"),
        ({"redirects": "any", "max_redirects": 3}, chain, "GET", "more than 3 redirects"),
    ):
        with pytest.raises(ConnectorError, match=says):
            http_connect(options=options).request(method, "/redirect/307", params={"to": to})
    assert http_other.api.hits == []


def test_cookies_of_a_redirect_are_sent_to_where_it_leads(http_connect: Connect) -> None:
    connector = http_connect(options={"redirects": "same_host"})
    found = echo(connector, "/redirect/302?to=/redirect/302%3Fto%3D/echo&cookie=1")
    assert found["headers"]["cookie"] == "session=cookie-of-the-test"


def test_who_was_sent_away_does_not_come_back_with_credentials(
    http_connect: Connect, http_api: Running, http_other: Running
) -> None:
    connector = http_connect(auth=AUTHS["bearer"], options={"redirects": "any"})
    back = quote(f"{http_other.url}/redirect/302?to={http_api.url}/echo", safe="")
    assert "authorization" not in echo(connector, f"/redirect/302?to={back}")["headers"]


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_a_post_that_was_carried_out_before_its_redirect_was_refused(
    http_connect: Connect, http_other: Running, code: int
) -> None:
    kept = code in (307, 308)
    for options in ({}, {"redirects": "same_host"}):
        with pytest.raises(ConnectorError) as caught:
            http_connect(options=options).post(f"/redirect/{code}?to={http_other.url}/echo")
        assert isinstance(caught.value, UndecidedRequestError) is not kept
    with pytest.raises(ConnectorError) as caught:
        http_connect(options={"redirects": "same_host"}).post(f"/redirect/{code}?to=/status/503")
    assert isinstance(caught.value, UndecidedRequestError)


# Bodies and limits


def test_bodies_are_bounded_in_memory(http_connect: Connect, http_api: Running) -> None:
    connector = http_connect(options={"max_body_bytes": 50_000})
    assert len(connector.get("/file/50000").content) == 50_000
    for path in ("/file/50001", "/bomb/20", "/file/90000000"):
        with pytest.raises(BodyTooLargeError, match=r"larger than options.max_body_bytes of 50,000 bytes"):
            connector.get(path)
    assert http_api.api.count() == 4, "none is tried again"


def test_a_gzip_bomb_is_noticed_while_it_is_small(http_connect: Connect) -> None:
    import tracemalloc

    connector = http_connect()
    connector.get("/echo")
    tracemalloc.start()
    with pytest.raises(BodyTooLargeError):
        connector.get("/bomb/2000")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 80 * 2**20, "16 MiB may be taken; the server of the test is in the same process"


def test_packed_bodies(http_connect: Connect) -> None:
    assert len(http_connect().get("/packed").json()["text"]) == 10_000
    with pytest.raises(BadBodyError, match="packed with br, which was not asked for"):
        http_connect().get("/packed?encoding=br")
    with pytest.raises(BadBodyError, match="ends before its end"):
        http_connect().get("/packed?cut=40")


# Time


def test_a_total_limit_bounds_what_trickles(http_connect: Connect) -> None:
    started = time.monotonic()
    with pytest.raises(ConnectorError, match=r"not done within 1\.5 s") as caught:
        http_connect(options={"timeouts": {"total": 1.5}}).get("/drip/600")
    assert time.monotonic() - started < 30
    assert "bytes" in str(caught.value)


@pytest.mark.parametrize("name", ["timeout", "timeout_seconds"])
def test_a_limit_per_phase(http_connect: Connect, name: str) -> None:
    connects = {"timeouts": {"connect": 60}}  # on a busy machine TLS alone takes longer than the brief limit
    with pytest.raises(ConnectorError, match="no answer within the time limit"):
        http_connect(options={name: 0.2, **connects}).get("/slow/20.0")
    assert http_connect(options={name: "0.2"}).get("/slow/1.0", timeout=60).status_code == 200
    assert http_connect(options={name: 2, **connects}).get("/drip/22").content == b"x" * 22, "each piece comes in time"


def test_requests_are_paced(http_connect: Connect) -> None:
    connector = http_connect(options={"requests_per_second": 20, "burst": 2})
    started = time.monotonic()
    for _ in range(8):
        connector.get("/echo")
    assert time.monotonic() - started >= 6 / 20


def test_interrupt_ends_a_request_that_hangs_and_leaves_the_connector_usable(http_connect: Connect) -> None:
    connector = http_connect(options={"retries": 5})
    connector.get("/echo")
    threading.Timer(0.3, connector.interrupt).start()
    started = time.monotonic()
    with pytest.raises(ConnectorError, match="broke"):
        connector.get("/slow/20.0")
    assert time.monotonic() - started < 15
    assert connector.get("/echo").status_code == 200


# Settings


def test_switches_read_text_and_nothing_else(http_connect: Connect) -> None:
    """An environment variable is text: `false` must not be true, and a typo must not be false."""
    assert http_connect(ca_file=None, options={"verify_ssl": "false"}).get("/echo").status_code == 200
    for typo in ("flase", "off please", "", "None"):
        with pytest.raises(ConnectorError, match="verify_ssl: Value error, must be one of true, false"):
            http_connect(options={"verify_ssl": typo})
    with pytest.raises(ConnectorError, match="certificate is not accepted"):
        http_connect(ca_file=None, options={"verify_ssl": "yes"}).get("/echo")


def test_paths_and_headers(http_connect: Connect, http_api: Running) -> None:
    connector = http_connect(base_url=f"{http_api.url}/echo/", headers={"X-A": "1", "X-B": "ü"})
    found = echo(connector, "/b", params={"q": "a b&c", "n": [1, 2]}, headers={"x-a": "2"})
    assert found["path"] == "/echo/b"
    assert found["query"] == [["q", "a b&c"], ["n", "1"], ["n", "2"]]
    assert (found["headers"]["x-a"], found["headers"]["x-b"].encode("latin-1").decode()) == ("2", "ü")
    assert echo(connector, "b")["path"] == "/echo/b"


def test_headers_of_the_resource_win_over_ours_and_those_of_a_request_over_both(http_connect: Connect) -> None:
    connector = http_connect(headers={"user-agent": "mine", "Accept": "text/x", "content-type": "application/x-mine"})
    found = connector.post("/echo", json={}, headers={"Accept": "text/y"}).json()["headers"]
    assert (found["user-agent"], found["accept"], found["content-type"]) == ("mine", "text/y", "application/x-mine")
    assert http_connect().post("/echo", json={}).json()["headers"]["user-agent"] == "aetherflow"


@pytest.mark.parametrize("method", ["get", "head", "post", "put", "patch", "delete"])
def test_helpers(http_connect: Connect, http_api: Running, method: str) -> None:
    getattr(http_connect(), method)("/echo")
    assert http_api.api.hits[0].method == method.upper()


def test_nothing_is_taken_from_the_environment(
    http_connect: Connect, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".netrc").write_text(f"machine localhost login {USER} password {PASSWORD}\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert "authorization" not in echo(http_connect())["headers"]


def test_a_proxy_is_used_and_its_password_shown_nowhere(http_connect: Connect, http_api: Running) -> None:

    seen: list[bytes] = []

    def refuse(accepted: Any) -> None:
        seen.append(accepted.recv(65536))
        accepted.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")

    with peer(refuse) as listener:
        connector = http_connect(proxy=f"http://me:pr0xy-pass@127.0.0.1:{listener.port}", options={"retries": 1})
        with pytest.raises(ConnectorError, match="the proxy refused") as caught:
            connector.post("/echo")
        assert listener.connections == 2, "the peer has seen nothing, so even a POST is tried again"
    assert seen[0].startswith(f"CONNECT localhost:{http_api.port} ".encode())
    assert base64.b64encode(b"me:pr0xy-pass") in seen[0]
    assert "pr0xy-pass" not in f"{caught.value} {connector.conf!r}"


def test_a_token_with_a_line_break_is_an_error_that_does_not_show_it(http_connect: Connect, http_api: Running) -> None:
    for method in ("GET", "POST"):
        with pytest.raises(ConnectorError, match="a header is not allowed to be so") as caught:
            http_connect(bearer_token="tok-of-a-file\n", options={"retries": 2}).request(method, "/echo")
        assert "tok-of-a-file" not in f"{caught.value} {caught.value.fix}"
        assert "line break" in caught.value.fix
    with pytest.raises(ConnectorError, match="proxy must begin with"):
        http_connect(proxy="socks5://127.0.0.1:1").get("/echo")
    assert http_api.api.count() == 0
    assert echo(http_connect(headers={"X-Version": 1}))["headers"]["x-version"] == "1"


def test_messages_show_neither_query_nor_secrets(http_connect: Connect, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    connector = http_connect(auth=AUTHS["query"], headers={"X-Api-Key": "another-secret"})
    with pytest.raises(StatusError) as caught:
        connector.get("/status/404?token=in-the-query")
    text = f"{caught.value} {caught.value.fix} {caplog.text} {connector!r}"
    assert "/status/404?..." in text
    for secret in (KEY, "another-secret"):
        assert secret not in text
    assert "in-the-query" not in str(caught.value)


def test_an_error_body_is_quoted_only_on_request(http_connect: Connect) -> None:
    with pytest.raises(StatusError) as caught:
        http_connect().get("/status/400")
    assert "as asked" not in str(caught.value)
    with pytest.raises(StatusError, match=r"400 Bad Request.*as asked"):
        http_connect(options={"show_error_body": True}).get("/status/400")


def test_the_clients_carry_the_credentials_too(http_connect: Connect, http_other: Running) -> None:
    connector = http_connect(auth=AUTHS["bearer"])
    assert connector.client().get("/auth/bearer").json() == {"ok": True}
    assert connector.client() is connector.client()

    async def ask() -> tuple[Any, Any]:
        client = connector.async_client()
        assert client is connector.async_client()
        async with client:
            own = await client.get("/auth/bearer")
            foreign = await client.get(f"{http_other.url}/echo")
        return own.json(), foreign.json()

    own, foreign = asyncio.run(ask())
    assert own == {"ok": True}
    assert "authorization" not in foreign["headers"]


@pytest.mark.parametrize("kind", ["digest", "query", "oauth2"])
def test_the_async_client_knows_every_kind(http_connect: Connect, http_api: Running, kind: str) -> None:
    connector = http_connect(auth=(AUTHS | {"oauth2": OAUTH | {"token_url": f"{http_api.url}/token"}})[kind])

    async def ask() -> Any:
        async with connector.async_client() as client:
            return (await client.get(f"/auth/{kind}")).json()

    assert asyncio.run(ask()) == {"ok": True}


def test_probe(http_connect: Connect) -> None:
    http_connect().probe()
    http_connect(base_url="").probe()
    with pytest.raises(ConnectorError, match="answered 401"):
        http_connect(
            auth=AUTHS["bearer"] | {"token": "wrong-token"}, base_url=http_connect().conf.base_url + "/auth/bearer"
        ).probe()


def test_a_call_counts_what_it_moved(http_connect: Connect) -> None:
    call = HttpCall("GET", "/file/1000")
    http_connect().send(call)
    assert (call.moved, call.attempt) == (1000, 1)
