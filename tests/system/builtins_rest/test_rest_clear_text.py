"""Secrets over http:// to another machine: refused before a byte leaves, wherever in the request they are.

`0.0.0.0` reaches this machine, but isn't a loopback address.
"""

import asyncio
import json
from collections.abc import Iterator
from contextlib import closing
from types import SimpleNamespace
from typing import Any

import pytest

from aetherflow.core.api import ConnectorInit, SpecError
from aetherflow.core.testing import FlowProject, Ran
from aetherflow_builtins_rest.connectors.httpx import HttpxConnector
from aetherflow_builtins_rest.failures import UndecidedRequestError
from http_server import Running, running

TOKEN = "S3cr3t/tök en+17"
SECRET, ASCII = "{{params.shop_token}}", "{{params.ascii_token}}"
PLACES: dict[str, dict[str, Any]] = {
    "header": {"headers": {"PRIVATE-TOKEN": ASCII}},
    "authorization": {"headers": {"Authorization": f"Bearer {ASCII}"}},
    "query": {"params": {"key": SECRET}},
    "path": {"path": f"/echo/{ASCII}"},
    "json": {"method": "POST", "json": {"a": [{"b": SECRET}]}},
    "form": {"method": "POST", "form": {"a": SECRET}},
    "text": {"method": "POST", "text": f"key={SECRET}"},
    "multipart": {"method": "POST", "multipart": {"fields": {"a": SECRET}, "files": {"f": "data.csv"}}},
}


@pytest.fixture
def plain() -> Iterator[Running]:
    with running() as found:
        yield found


def elsewhere(server: Running) -> str:
    return f"http://0.0.0.0:{server.port}"


@pytest.fixture
def project(flow_project: FlowProject) -> FlowProject:
    flow_project.env |= {"SHOP_TOKEN": TOKEN, "SHOP_ASCII_TOKEN": "S3cr3t-ascii-18"}
    return flow_project


def given(project: FlowProject) -> dict[str, str]:
    """Parameters, which nobody knows before a run."""
    return {"shop_token": project.env["SHOP_TOKEN"], "ascii_token": project.env["SHOP_ASCII_TOKEN"]}


def run(project: FlowProject, url: str, kind: str = "http_request", *, of: str = "", **inputs: Any) -> Ran:
    api = {"kind": "rest", "driver": "httpx", "config": {"base_url": url}, "options": inputs.pop("options", {})}
    steps = [{"id": "s", "type": kind, "inputs": {"resource": "api", "path": "/echo", **inputs}}]
    if "multipart" in inputs:
        steps.insert(0, {"id": "w", "type": "http_download", "inputs": {
            "resource": "home", "path": "/file/10", "output": "data.csv"}})  # fmt: skip
    home = {"kind": "rest", "driver": "httpx", "config": {"base_url": of or url}, "options": {}}
    params = {name: {"type": "string"} for name in given(project)}
    project.flow(*steps, resources={"api": api, "home": home}, params=params)
    return project.run(params=given(project))


def refused(ran: Ran, *secrets: str) -> None:
    assert ran.error is not None, "the secret went out"
    assert ran.error.fix
    assert (ran.error.code, "in clear text" in ran.error.message) == ("AF5203", True)
    assert "allow_plaintext_auth" in ran.error.fix
    assert not any(secret in str(ran.error) for secret in (TOKEN, *secrets))


@pytest.mark.parametrize("place", PLACES)
def test_a_secret_to_another_machine_is_refused(project: FlowProject, plain: Running, place: str) -> None:
    refused(run(project, elsewhere(plain), of=plain.url, **PLACES[place]))
    assert [hit.path for hit in plain.api.hits if "echo" in hit.path] == []


@pytest.mark.parametrize("place", PLACES)
def test_validate_says_so_where_it_is_static(project: FlowProject, plain: Running, place: str) -> None:
    text = json.dumps(PLACES[place], ensure_ascii=False)
    text = text.replace(SECRET, "{{env.SHOP_TOKEN}}").replace(ASCII, "{{env.SHOP_ASCII_TOKEN}}")
    with pytest.raises(SpecError):
        run(project, elsewhere(plain), of=plain.url, **json.loads(text))
    (problem,) = project.validate()
    assert (problem["af"], problem["loc"].split(".")[2]) == ("AF5203", "inputs"), problem
    assert "a secret would go to 0.0.0.0 in clear text, by resource 'api'" in problem["msg"]
    assert "allow_plaintext_auth" in problem["fix"]
    assert TOKEN not in str(problem)
    assert plain.api.count() == 0


@pytest.mark.parametrize("place", PLACES)
def test_it_goes_where_nobody_reads_it_or_the_resource_allows_it(
    project: FlowProject, plain: Running, place: str
) -> None:
    for url, options in ((plain.url, {}), (elsewhere(plain), {"allow_plaintext_auth": True})):
        ran = run(project, url, of=plain.url, options={**options, "raise_for_status": False}, **PLACES[place])
        assert ran.error is None, ran.error
    assert len([hit for hit in plain.api.hits if "echo" in hit.path]) == 2


def test_without_a_secret_it_is_sent(project: FlowProject, plain: Running) -> None:
    ran = run(project, elsewhere(plain), method="POST", json={"a": 1}, params={"b": "c"})
    assert ran.error is None, ran.error


def test_a_redirect_takes_no_secret_there(project: FlowProject, plain: Running) -> None:
    target = f"{elsewhere(plain)}/echo?key={ASCII}"
    ran = run(project, plain.url, options={"redirects": "any"}, path="/redirect/302", params={"to": target})
    refused(ran)
    assert plain.api.count() == 1


def test_a_redirect_after_a_post_leaves_its_effect_open(plain: Running) -> None:
    ctx: Any = SimpleNamespace(redact=lambda text: text.replace("s3cr3t-17", "***"))
    init = ConnectorInit("api", "rest", "httpx", {"base_url": plain.url}, {"redirects": "any"}, ctx)
    with closing(HttpxConnector(init)) as api, pytest.raises(UndecidedRequestError, match="clear text"):
        api.post("/redirect/303", params={"to": f"{elsewhere(plain)}/echo?key=s3cr3t-17"})
    assert plain.api.count() == 1


def test_a_token_server_elsewhere_gets_no_client_secret(project: FlowProject, plain: Running) -> None:
    client = {"client_id": "c", "client_secret": "{{env.SHOP_TOKEN}}"}
    auth = {"type": "oauth2", **client, "token_url": f"{elsewhere(plain)}/token"}
    api = {"kind": "rest", "driver": "httpx", "config": {"base_url": plain.url, "auth": auth}}
    project.flow({"id": "s", "type": "http_request", "inputs": {"resource": "api"}}, resources={"api": api})
    refused(project.run())
    assert plain.api.count() == 0


def test_a_shared_connector_knows_the_secrets_of_each_run(project: FlowProject, plain: Running) -> None:
    for secret in ("first-secret-1", "other-secret-2"):
        project.env["SHOP_ASCII_TOKEN"] = secret
        refused(run(project, elsewhere(plain), options={"cache": "process"}, **PLACES["header"]), secret)
    assert plain.api.count() == 0


def test_the_webhook_of_a_chat(project: FlowProject, plain: Running) -> None:
    url = f"{elsewhere(plain)}/services/T000/B000/abcdefghijklmnop"
    hook = {"kind": "rest", "driver": "httpx", "config": {"base_url": url, "secret_url": True}}
    step = {"id": "s", "type": "webhook_notify", "inputs": {"resource": "hook", "text": "done"}}
    project.flow(step, resources={"hook": hook})
    refused(project.run())
    assert plain.api.count() == 0


def test_clients_of_programs_refuse_too(plain: Running) -> None:
    ctx: Any = SimpleNamespace(redact=lambda text: text.replace("s3cr3t-17", "***"))
    init = ConnectorInit("api", "rest", "httpx", {"base_url": elsewhere(plain)}, {}, ctx)
    with closing(HttpxConnector(init)) as api:
        with pytest.raises(Exception, match="clear text") as caught:
            api.client().post("/echo", data={"a": "s3cr3t-17"}, files={"f": b"x"})
        assert caught.value.code == "AF5203"  # type: ignore[attr-defined]

        async def ask(**more: Any) -> int:
            async with api.async_client() as client:
                return (await client.post("/echo", **more)).status_code

        with pytest.raises(Exception, match="clear text"):
            asyncio.run(ask(json={"a": "s3cr3t-17"}))
    assert plain.api.count() == 0


@pytest.mark.parametrize("host", ["127.example.org", "127.0.0.1.example.org", "localhost.example.org"])
def test_a_name_that_looks_like_loopback_is_another_machine(host: str) -> None:
    config = {"base_url": f"http://{host}", "bearer_token": "t0ken-17"}
    with pytest.raises(Exception, match="clear text"):
        HttpxConnector(ConnectorInit("api", "rest", "httpx", config, {}))
