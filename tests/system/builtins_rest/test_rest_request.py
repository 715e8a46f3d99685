"""The steps http_request, http_upload, http_poll and webhook_notify in flows that run."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aetherflow.core.testing import FlowProject, Ran
from http_server import Running

Api = Callable[..., dict[str, Any]]


def run(flow_project: FlowProject, resources: dict[str, Any], kind: str = "http_request", **inputs: Any) -> Ran:
    flow_project.flow({"id": "s", "type": kind, "inputs": {"resource": "api", **inputs}}, resources=resources)
    return flow_project.run()


def outputs(ran: Ran) -> dict[str, Any]:
    assert ran.error is None, ran.error
    return ran["s"].outputs


def failure(ran: Ran) -> str:
    assert ran.error is not None
    assert ran.error.fix
    return ran.error.message


# Bodies


def test_bodies(flow_project: FlowProject, rest_api: Api, http_api: Running) -> None:
    def send(**inputs: Any) -> tuple[str, str]:
        found = outputs(run(flow_project, rest_api(), path="/echo", method="post", **inputs))["body"]
        return found["headers"].get("content-type", ""), found["text"]

    assert send(json={"a": [1, None]}) == ("application/json", '{"a":[1,null]}')
    assert send(json=None) == ("application/json", "null")
    assert send(form={"a": "x y", "b": [1, 2], "c": None}) == ("application/x-www-form-urlencoded", "a=x+y&b=1&b=2")
    assert send(text="ä") == ("text/plain; charset=utf-8", "ä".encode().decode("latin-1"))
    assert send(text="<a/>", content_type="application/xml") == ("application/xml", "<a/>")
    assert send() == ("", "")


def test_files_as_bodies(flow_project: FlowProject, rest_api: Api, http_api: Running) -> None:
    size = 300_000
    make = {
        "id": "m",
        "type": "http_download",
        "inputs": {"resource": "api", "path": f"/file/{size}", "output": "f.csv"},
    }
    part = {"file": "f.csv", "filename": 'a"b.csv'}
    flow_project.flow(
        make,
        {"id": "raw", "type": "http_request", "inputs": {
            "resource": "api", "path": "/echo", "method": "PUT", "file": "f.csv"}},
        {
            "id": "form",
            "type": "http_request",
            "inputs": {
                "resource": "api", "path": "/echo", "method": "POST",
                "multipart": {"fields": {"n": 1, "t": True}, "files": {"one": "f.csv", "two": part}},
            },
        },
        {"id": "up", "type": "http_upload", "inputs": {
            "resource": "api", "path": "/echo", "file": "f.csv", "sha256_header": "X-Sum",
            "extract": {"sum": "sha256"}}},
        resources=rest_api(),
    )  # fmt: skip
    ran = flow_project.run()
    assert ran.error is None, ran.error
    sha = ran["m"].outputs["sha256"]
    assert ran["raw"].outputs["body"]["sha256"] == sha
    assert ran["raw"].outputs["body"]["headers"]["content-length"] == str(size)
    assert (ran["up"].outputs["sha256"], ran["up"].outputs["sum"], ran["up"].outputs["size"]) == (sha, sha, size)
    assert http_api.api.hits[-1].headers["x-sum"] == sha
    form = http_api.api.hits[2].body
    assert form.count(b'name="one"; filename="f.csv"\r\nContent-Type: text/csv\r\n') == 1
    assert b'filename="a%22b.csv"' in form
    assert b'name="t"\r\n\r\ntrue\r\n' in form
    assert "transfer-encoding" not in http_api.api.hits[2].headers


def test_a_file_is_sent_from_its_start_in_every_attempt(
    flow_project: FlowProject, rest_api: Api, http_api: Running
) -> None:
    (flow_project.folder / "body.bin").write_bytes(b"z" * 200_000)
    step = {"id": "s", "type": "http_upload", "inputs": {"resource": "api", "path": "/flaky/2/503", "file": "body.bin"}}
    flow_project.flow(step, resources=rest_api(options={"retry": {"max_attempts": 3, "backoff_seconds": 0.01}}))
    flow_project.env["AETHERFLOW_STRICT_SANDBOX"] = "false"
    step["inputs"] = {**step["inputs"], "file": str(flow_project.folder / "body.bin")}  # type: ignore[dict-item]
    flow_project.flow(step, resources=rest_api(options={"retry": {"max_attempts": 3, "backoff_seconds": 0.01}}))
    assert flow_project.run().error is None
    assert [hashlib.sha256(hit.body).hexdigest() for hit in http_api.api.hits] == [
        hashlib.sha256(b"z" * 200_000).hexdigest()
    ] * 3


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ({"method": "POST", "json": {}, "form": {}}, "json and form are both given"),
        ({"json": {}}, "a GET request has no body"),
        ({"extract": {"status": "a"}}, "an output of that name itself"),
        ({"extract": {"a": "b["}}, "not a JMESPath expression"),
        ({"extract": {"a-b": "b"}}, "cannot be the name of an output"),
        ({"secret": ["a"]}, "is no name under extract"),
        ({"output": "x", "extract": {"a": "b"}}, "need it here"),
        ({"expected_status": "teapot"}, "a status such as 201"),
        ({"method": "FETCH"}, "must be 'GET', 'HEAD'"),
        ({"params": {"a": {"b": 1}}}, ""),
    ],
)
def test_wrong_inputs_are_found_by_validate(
    flow_project: FlowProject, rest_api: Api, inputs: dict[str, Any], says: str
) -> None:
    flow_project.flow(
        {"id": "s", "type": "http_request", "inputs": {"resource": "api", **inputs}}, resources=rest_api()
    )
    found = flow_project.validate()
    assert found
    assert any(says in error["msg"] for error in found), found


# Answers


def test_statuses(flow_project: FlowProject, rest_api: Api) -> None:
    assert outputs(run(flow_project, rest_api(), path="/status/404", expected_status=[200, 404]))["status"] == 404
    assert outputs(run(flow_project, rest_api(), path="/status/418", expected_status="4xx"))["status"] == 418
    assert "answered 200 OK" in failure(run(flow_project, rest_api(), path="/status/200", expected_status=201))
    assert (
        outputs(run(flow_project, rest_api(options={"raise_for_status": "false"}), path="/status/500"))["status"] == 500
    )


def test_values_out_of_the_answer(flow_project: FlowProject, rest_api: Api) -> None:
    found = outputs(
        run(
            flow_project,
            rest_api(),
            path="/list/cursor",
            extract={"ids": "items[].id", "first": "items[0].name", "no": "x.y"},
        )
    )
    assert (found["ids"], found["first"], found["no"]) == ([0, 1, 2, 3], "item 0", None)
    assert "body" not in found
    whole = outputs(run(flow_project, rest_api(), path="/list/cursor", keep_body=True, extract={"n": "total"}))
    assert (whole["n"], whole["body"]["total"]) == (10, 10)
    assert "not JSON" in failure(run(flow_project, rest_api(), path="/hook", extract={"a": "b"}))
    assert outputs(run(flow_project, rest_api(), path="/hook"))["body"] == "ok"
    assert outputs(run(flow_project, rest_api(), path="/file/10"))["body"] is None
    head = outputs(run(flow_project, rest_api(), path="/echo", method="HEAD"))
    assert (head["status"], head["body"], head["headers"]["content-type"]) == (200, None, "application/json")


def test_a_later_step_sees_what_was_extracted(flow_project: FlowProject, rest_api: Api, http_api: Running) -> None:
    flow_project.flow(
        {
            "id": "a",
            "type": "http_request",
            "inputs": {"resource": "api", "path": "/list/cursor", "extract": {"n": "total"}},
        },
        {
            "id": "b",
            "type": "http_request",
            "inputs": {"resource": "api", "path": "/echo", "params": {"n": "{{steps.a.n}}"}},
        },
        resources=rest_api(),
    )
    assert flow_project.validate() == []
    assert flow_project.run().status == "SUCCESS"
    assert http_api.api.hits[-1].query == {"n": "10"}


def test_items(flow_project: FlowProject, rest_api: Api) -> None:
    fields = {"path": "/list/cursor", "items": "items"}
    assert outputs(run(flow_project, rest_api(), **fields, min_items=4))["count"] == 4
    assert "count(4) < min_items(5)" in failure(run(flow_project, rest_api(), **fields, min_items=5))
    skipped = run(flow_project, rest_api(), **fields, min_items=5, on_empty="skip")
    assert (skipped["s"].status, skipped["s"].reason) == ("SKIPPED", "count(4) < min_items(5)")
    assert outputs(run(flow_project, rest_api(), **fields, min_items=5, on_empty="ok"))["count"] == 4
    assert "is no list" in failure(run(flow_project, rest_api(), path="/echo", min_items=1))


def test_an_answer_to_a_file(flow_project: FlowProject, rest_api: Api, http_api: Running) -> None:
    resources = rest_api(options={"max_body_bytes": 10, "retry": {"max_attempts": 3, "backoff_seconds": 0}})
    http_api.api.cuts = [100_000, 200_000]
    ran = run(flow_project, resources, path="/file/300000", output="x.bin")
    found = outputs(ran)
    assert Path(found["output"]).stat().st_size == found["size"] == 300_000
    assert [path.name for path in ran["s"].artifacts] == ["x.bin"]
    http_api.api.cuts = [1000] * 3
    assert "after 1,000 bytes (attempt 3 of 3)" in failure(
        run(flow_project, resources, path="/file/3000", output="y.bin")
    )
    assert not list(flow_project.work.rglob("y.bin"))


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ({"extract": {"a": "sum(text)"}}, "does not fit"),
        ({"min_items": 1}, "is no list"),
    ],
)
def test_a_failure_after_a_post_was_carried_out_is_not_repeated(
    flow_project: FlowProject, rest_api: Api, http_api: Running, inputs: dict[str, Any], says: str
) -> None:
    step = {"id": "s", "type": "http_request", "retry": {"max_attempts": 3}}
    flow_project.flow(
        {**step, "inputs": {"resource": "api", "path": "/echo", "method": "POST", **inputs}}, resources=rest_api()
    )
    ran = flow_project.run()
    assert ran.status == "UNKNOWN"
    assert says in failure(ran)
    assert "was carried out" in failure(ran)
    assert http_api.api.count() == 1


# Polling


def test_polling(flow_project: FlowProject, rest_api: Api, http_api: Running) -> None:
    fields = {"deadline_seconds": 5, "interval_seconds": 0.01}
    found = outputs(run(flow_project, rest_api(), "http_poll", path="/job/3", until="state == 'done'", **fields))
    assert (found["polls"], found["body"]["state"], http_api.api.count()) == (4, "done", 4)
    http_api.api.reset()
    found = outputs(run(flow_project, rest_api(), "http_poll", path="/job/2?pending=202", pending_status=202, **fields))
    assert found["polls"] == 3
    http_api.api.reset()
    found = outputs(
        run(
            flow_project,
            rest_api(),
            "http_poll",
            path="/job/2?pending=404",
            pending_status=[404],
            until="state == 'done'",
            **fields,
        )
    )
    assert found["polls"] == 3


def test_polling_waits_as_long_as_the_peer_asks(flow_project: FlowProject, rest_api: Api) -> None:
    path = "/job/1?pending=202&retry_after=1"
    found = outputs(
        run(
            flow_project, rest_api(), "http_poll", path=path, pending_status=202, deadline_seconds=5, interval_seconds=0
        )
    )
    assert found["seconds"] >= 1


def test_polling_ends(flow_project: FlowProject, rest_api: Api) -> None:
    fields = {"path": "/job/100", "until": "state == 'done'", "deadline_seconds": 0.3, "interval_seconds": 0.1}
    assert "not ready after" in failure(run(flow_project, rest_api(), "http_poll", **fields))
    late = run(flow_project, rest_api(), "http_poll", **fields, on_timeout="skip")
    assert late["s"].status == "SKIPPED"
    failed = {
        "path": "/job/0?end=failed",
        "until": "state == 'done'",
        "fail_when": "state == 'failed'",
        "deadline_seconds": 9,
    }
    assert "the peer says that it failed" in failure(run(flow_project, rest_api(), "http_poll", **failed))
    assert "answered 500" in failure(
        run(flow_project, rest_api(), "http_poll", path="/status/500", until="a", deadline_seconds=9)
    )


# Messages


def test_messages(flow_project: FlowProject, rest_api: Api, http_api: Running) -> None:
    def sent(**inputs: Any) -> Any:
        found = outputs(run(flow_project, rest_api(base_url=f"{http_api.url}/hook"), "webhook_notify", **inputs))
        assert found == {"sent": True, "status": 200, "format": inputs.get("format", "generic")}
        assert http_api.api.hits[-1].path == "/hook", "the address itself, with no slash added"
        return json.loads(http_api.api.hits[-1].body)

    facts = {"rows": 12, "ok": True}
    assert sent(format="slack", title="T", text="x", fields=facts) == {"text": "*T*\nx\n*rows:* 12\n*ok:* true"}
    card = sent(format="teams", title="T", text="x", fields=facts)["attachments"][0]
    assert card["contentType"] == "application/vnd.microsoft.card.adaptive"
    assert [part["type"] for part in card["content"]["body"]] == ["TextBlock", "TextBlock", "FactSet"]
    assert sent(text="x") == {"title": None, "text": "x", "fields": {}}
    assert sent(body={"any": [1]}) == {"any": [1]}
    assert len({hit.headers["idempotency-key"] for hit in http_api.api.hits}) == 4


def test_a_webhook_shows_its_address_nowhere(flow_project: FlowProject, rest_api: Api, http_api: Running) -> None:
    secret = "T0AAAA/B0BBBB/verysecretpart"
    resources = rest_api(base_url=f"{http_api.url}/echo/{secret}", secret_url="yes")
    assert outputs(run(flow_project, resources, "webhook_notify", text="hello"))["sent"] is True
    assert http_api.api.hits[-1].path == f"/echo/{secret}"
    assert "verysecretpart" not in everything(flow_project)
    failing = run(
        flow_project,
        rest_api(base_url=f"{http_api.url}/none/{secret}", secret_url=True),
        "webhook_notify",
        text="hello",
    )
    assert f"{http_api.url}/***: answered 404" in failure(failing)
    assert "verysecretpart" not in everything(flow_project)


def everything(flow_project: FlowProject) -> str:
    """All that a run left, but the flow and what belongs into files."""
    left = [path for path in flow_project.folder.rglob("*") if path.is_file() and path.name != "flow.yaml"]
    return " ".join(path.read_bytes().decode("latin-1") for path in left if "artifacts" not in path.parts)


# Secrets


@pytest.mark.parametrize("path", ["/echo", "/status/500", "/slow/3.0", "/hook"])
def test_secrets_are_in_no_log_state_or_message(
    flow_project: FlowProject, rest_api: Api, http_api: Running, path: str
) -> None:
    secrets = ["header-s3cret", "bearer-s3cret-x", "query-s3cret-y", "inline-s3cret-z"]
    resources = rest_api(
        auth={"type": "api_key", "api_key": secrets[2], "place": "query", "name": "k"},
        headers={"Authorization": f"Bearer {secrets[1]}", "X-Api-Key": secrets[0]},
        options={"show_error_body": True, "timeouts": {"read": 0.3}},
    )
    flow_project.env["MY_TOKEN"] = secrets[3]
    inputs: dict[str, Any] = {
        "params": {"t": "{{env.MY_TOKEN}}"},
        "json": {"password": "{{env.MY_TOKEN}}"},
        "method": "PUT",
    }
    run(flow_project, resources, path=path, **inputs)
    (hit,) = http_api.api.hits
    assert (hit.query["k"], hit.query["t"], hit.headers["x-api-key"]) == (secrets[2], secrets[3], secrets[0])
    assert hit.headers["authorization"] == f"Bearer {secrets[1]}"
    seen = everything(flow_project)
    assert [secret for secret in secrets if secret in seen] == []


def test_a_token_that_was_extracted_is_a_secret(flow_project: FlowProject, rest_api: Api, http_api: Running) -> None:
    login = {"grant_type": "client_credentials", "client_secret": "pass-of-the-test"}
    flow_project.flow(
        {"id": "a", "type": "http_request", "inputs": {
            "resource": "api", "path": "/token", "method": "POST", "form": login,
            "extract": {"access_token": "access_token"}}},
        {"id": "b", "type": "http_request", "inputs": {
            "resource": "api", "path": "/auth/oauth2",
            "headers": {"Authorization": "Bearer {{steps.a.access_token}}"}}},
        resources=rest_api(),
    )  # fmt: skip
    ran = flow_project.run()
    assert ran.status == "SUCCESS", ran.error
    assert "access_token" not in ran["a"].outputs
    assert "oauth-token-1" not in everything(flow_project)


def test_a_token_that_the_connector_got_is_masked_where_the_peer_repeats_it(
    flow_project: FlowProject, rest_api: Api, http_api: Running
) -> None:
    auth = {
        "type": "oauth2",
        "client_id": "alice",
        "client_secret": "pass-of-the-test",
        "token_url": f"{http_api.url}/token",
    }
    ran = run(flow_project, rest_api(auth=auth), path="/echo")
    assert ran.status == "SUCCESS"
    assert http_api.api.hits[-1].headers["authorization"] == "Bearer oauth-token-1"
    assert "oauth-token-1" not in everything(flow_project)


def test_cookies_are_no_outputs(flow_project: FlowProject, rest_api: Api) -> None:
    found = outputs(run(flow_project, rest_api(), path="/echo?cookie=1"))
    assert "set-cookie" not in found["headers"]


def test_the_log_has_status_size_and_time(flow_project: FlowProject, rest_api: Api, http_api: Running) -> None:
    ran = run(flow_project, rest_api(), path="/echo", params={"q": "in-the-query"})
    log = Path(ran.summary.log_path).read_text()
    assert f"GET {http_api.url}/echo: 200, " in log
    assert "in-the-query" not in log


# Dry run


def test_a_plan_says_what_would_be_sent_and_sends_nothing(
    flow_project: FlowProject, rest_api: Api, http_api: Running
) -> None:
    steps: list[dict[str, Any]] = [
        {"type": "http_request", "inputs": {"method": "POST", "path": "/orders", "json": {}}},
        {"type": "http_request", "inputs": {"path": "/x?token=in-the-query", "output": "x.bin"}},
        {"type": "http_download", "inputs": {"path": "/file/1", "output": "f"}},
        {"type": "http_upload", "inputs": {"path": "/up", "file": "none.csv"}},
        {"type": "http_paginate", "inputs": {"path": "/l", "pages": {"type": "page"}, "output": "l.jsonl"}},
        {"type": "http_poll", "inputs": {"path": "/j", "until": "done", "deadline_seconds": 5}},
        {"type": "webhook_notify", "inputs": {"path": "/very/secret", "text": "hello"}},
    ]
    listed = [{"id": f"s{number}", **step} for number, step in enumerate(steps)]
    for step in listed:
        step["inputs"] = {"resource": "api", **step["inputs"]}
    flow_project.flow(*listed, resources=rest_api())
    done = flow_project.command("plan", "flow.yaml", "--effects")
    assert done.code == 0, done.err
    for says in (
        f"send POST {http_api.url}/orders with JSON",
        f"send GET {http_api.url}/x?... and write the response to x.bin",
        f"download {http_api.url}/file/1 to f",
        f"send none.csv (not there yet) by PUT to {http_api.url}/up",
        f"read GET {http_api.url}/l page by page (page) into l.jsonl",
        f"ask GET {http_api.url}/j until done, for 5 s",
        "send to the generic webhook at localhost: hello",
    ):
        assert says in done.out, done.out
    assert "secret" not in done.out
    assert "in-the-query" not in done.out
    assert http_api.api.count() == 0
