"""The contracts of a connector and of a step, as the test kit states them."""

from pathlib import Path
from typing import Any

import pytest

from aetherflow.core.testing import ConnectorSuite, FlowProject, StepSuite
from aetherflow_builtins_rest.connectors.httpx import HttpxConnector
from aetherflow_builtins_rest.steps.download import HttpDownload
from aetherflow_builtins_rest.steps.notify import WebhookNotify
from aetherflow_builtins_rest.steps.paginate import HttpPaginate
from aetherflow_builtins_rest.steps.poll import HttpPoll
from aetherflow_builtins_rest.steps.request import HttpRequest
from aetherflow_builtins_rest.steps.upload import HttpUpload
from http_server import Authority, Running


class TestHttpxConnector(ConnectorSuite):
    connector = HttpxConnector
    name = "rest.httpx"
    url = ""

    ca = mine = b""

    @pytest.fixture(autouse=True)
    def _server(self, http_api: Running, http_authority: Authority) -> None:
        cls = type(self)
        cls.url, cls.ca = http_api.url, http_authority.file.read_bytes()
        cls.mine = http_authority.certificate("client.example.org").read_bytes()

    def config(self, place: Path) -> dict[str, Any]:
        (place / "ca.pem").write_bytes(self.ca)
        (place / "mine.pem").write_bytes(self.mine)
        return {"base_url": f"{self.url}/echo", "ca_file": "ca.pem", "client_cert": "mine.pem"}

    def unreachable(self, place: Path) -> dict[str, Any]:
        return {"base_url": "http://127.0.0.1:1"}


class HttpSuite(StepSuite):
    """A step with the resource `api`, whatever the path in its example is."""

    path: str

    @pytest.fixture(autouse=True)
    def _server(self, http_api: Running, http_authority: Authority) -> None:
        config = {"base_url": http_api.url, "ca_file": str(http_authority.file)}
        resource = {"kind": "rest", "driver": "httpx", "config": config}
        channel = {**resource, "config": {**config, "base_url": f"{http_api.url}/hook"}}
        type(self).resources = {"api": resource, "channel": channel}

    def example(self, flow_project: FlowProject) -> dict[str, Any]:
        found = super().example(flow_project)
        return {**found, "inputs": {**found["inputs"], **self.instead()}}

    def instead(self) -> dict[str, Any]:
        return {"path": self.path}

    def endless(self, flow_project: FlowProject) -> dict[str, Any] | None:
        inputs = self.example(flow_project)["inputs"]
        return {**inputs, "path": "/slow/100.0"} if "path" in inputs else None


class TestHttpRequest(HttpSuite):
    step = HttpRequest
    name = "http_request"

    def instead(self) -> dict[str, Any]:
        return {"path": "/status/201", "extract": {"order_id": "error"}}

    def with_file(self, flow_project: FlowProject, field: str, path: str) -> dict[str, Any]:
        step = super().with_file(flow_project, field, path)
        del step["inputs"]["extract" if field == "output" else "json"]  # a request has one body
        return step


class TestHttpDownload(HttpSuite):
    step = HttpDownload
    name = "http_download"
    path = "/file/200000"


class TestHttpUpload(HttpSuite):
    step = HttpUpload
    name = "http_upload"
    path = "/echo"
    before = (
        {
            "id": "make",
            "type": "http_download",
            "inputs": {"resource": "api", "path": "/file/9", "output": "today.csv"},
        },
    )

    def endless(self, flow_project: FlowProject) -> dict[str, Any] | None:
        return {**super().endless(flow_project), "method": "PUT"}  # type: ignore[dict-item]


class TestHttpPaginate(HttpSuite):
    step = HttpPaginate
    name = "http_paginate"
    path = "/list/link"


class TestHttpPoll(HttpSuite):
    step = HttpPoll
    name = "http_poll"
    path = "/job/0"

    def endless(self, flow_project: FlowProject) -> dict[str, Any] | None:
        return {**self.example(flow_project)["inputs"], "path": "/job/100000", "interval_seconds": 0.1}


class TestWebhookNotify(HttpSuite):
    step = WebhookNotify
    name = "webhook_notify"
    effect = "once"

    def instead(self) -> dict[str, Any]:
        return {}
