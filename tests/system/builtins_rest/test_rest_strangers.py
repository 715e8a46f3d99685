"""The HTTP steps over connectors of strangers: with `request` alone, of the contract or of the documented minimum."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from aetherflow.core.api import SpecError, register_connector
from aetherflow.core.checks.report import check_flow
from aetherflow.core.host import catalog
from aetherflow.core.runtime.environment.snapshot import build_snapshot
from aetherflow.core.testing import FlowProject, HttpSuite, Ran
from aetherflow_builtins_rest.connectors.httpx import HttpxConnector
from http_server import Authority, Running, content
from http_strangers import Minimal, Silent, Stranger


class TestHttpx(HttpSuite):
    connector = HttpxConnector
    name = "rest.httpx"
    test_secrets_show_nowhere = None  # type: ignore[assignment]  # it needs a client certificate: test_rest_suites

    def config(self, place: Path) -> dict[str, Any]:
        return {"base_url": self.url}

    def unreachable(self, place: Path) -> dict[str, Any]:
        return {"base_url": "http://127.0.0.1:1"}


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "_registered", {group: dict(known) for group, known in catalog._registered.items()})
    for cls in (Minimal, Silent, Stranger):
        register_connector("rest", cls.__name__.lower())(cls)


@pytest.fixture(params=["minimal", "stranger"])
def api(request: pytest.FixtureRequest, http_api: Running, http_authority: Authority) -> dict[str, Any]:
    config = {"base_url": http_api.url, "ca_file": str(http_authority.file)}
    return {"api": {"kind": "rest", "driver": request.param, "config": config}}


def run(project: FlowProject, api: dict[str, Any], kind: str, **inputs: Any) -> Ran:
    project.flow({"id": "s", "type": kind, "inputs": {"resource": "api", **inputs}}, resources=api)
    return project.run()


def test_every_step(flow_project: FlowProject, api: dict[str, Any], http_api: Running) -> None:
    ran = run(flow_project, api, "http_request", path="/echo", method="POST", json={"a": 1}, params={"q": "ü"})
    assert ran.error is None, ran.error
    assert json.loads(ran["s"].outputs["body"]["text"]) == {"a": 1}
    ran = run(flow_project, api, "http_download", path="/file/300000", output="f.bin")
    assert ran.error is None, ran.error
    assert Path(ran["s"].outputs["output"]).read_bytes() == content(0, 300_000)
    given = flow_project.work / "flow" / "f.bin"
    given.write_bytes(b"\x00\xff" * 1000)
    ran = run(flow_project, api, "http_upload", path="/echo", file=str(given), method="PUT")
    assert ran.error is None, ran.error
    assert run(flow_project, api, "webhook_notify", path="/hook", format="slack", text="done").error is None


def test_an_error_status_fails_and_is_not_retried(
    flow_project: FlowProject, api: dict[str, Any], http_api: Running
) -> None:
    error = run(flow_project, api, "http_request", path="/status/503").error
    assert error is not None
    assert "answered 503" in error.message
    assert http_api.api.count("/status/503") == 1


def test_a_broken_request_whose_effect_is_not_known_is_asked_for(
    flow_project: FlowProject, http_api: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_given: Any, **_more: Any) -> Any:
        raise httpx.ReadError("cut\noff")

    monkeypatch.setattr(Minimal, "request", broken)
    api = {"api": {"kind": "rest", "driver": "minimal", "config": {"base_url": http_api.url, "ca_file": None}}}
    ran = run(flow_project, api, "http_request", path="/echo", method="POST", json={})
    assert ran.error is not None
    assert "cut off; whether the request had its effect is not known" in ran.error.message
    assert ran.status == "UNKNOWN"
    ran = run(flow_project, api, "http_request", path="/echo")
    assert ran.status == "FAILED"


def test_validate_names_what_is_missing(flow_project: FlowProject, http_api: Running) -> None:
    for driver, found in (("silent", ("AF2106", "error")), ("minimal", ("AF2107", "warning"))):
        api = {"api": {"kind": "rest", "driver": driver, "config": {"base_url": "http://127.0.0.1:1"}}}
        flow_project.flow(
            {"id": "s", "type": "http_request", "inputs": {"resource": "api", "path": "/"}}, resources=api
        )
        path = flow_project.folder / "flow.yaml"
        problems = check_flow(path, build_snapshot(path.parent)).problems
        assert [(each.af, each.severity) for each in problems] == [found]
        assert "http_strangers.py:" in next(iter(problems)).message
    with pytest.raises(SpecError, match="AF2106"):
        run(flow_project, {"api": api["api"] | {"driver": "silent"}}, "http_request", path="/")
