"""A third-party kind that says where it sends without encryption: no secret of the run goes there.

`0.0.0.0` reaches this machine, but isn't a loopback address.
"""

import json
import socketserver
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from core_validate import found

if TYPE_CHECKING:
    from core_project import Project

SECRET = "s3cr3t-of-the-shop"
PLUGIN = """
import socket
from typing import Annotated
from aetherflow.core.api import (
    ConnectorBase, ConnectorConfig, ConnectorOptions, Flag, InsecureWhen, ResourceRef, Step, StepInputs, StepResult,
)

class Config(ConnectorConfig):
    host: str
    port: int
    tls: Flag = False
    allow_clear_text: Annotated[Flag, InsecureWhen(True)] = False

class Ftp(ConnectorBase[Config, ConnectorOptions]):
    @classmethod
    def clear_text(cls, config, options):
        if config.get("tls") or config.get("allow_clear_text") or not config.get("host"):
            return None
        return config["host"], "set tls: true; config.allow_clear_text: true accepts the risk"

    def put(self, text):
        with socket.create_connection((self.conf.host, self.conf.port), 10) as line:
            line.sendall(text.encode())

class Inputs(StepInputs):
    resource: Annotated[str, ResourceRef("ftp")]
    text: str

class Put(Step[Inputs]):
    def run(self):
        self.ctx.connectors[self.args.resource].put(self.args.text)
        return StepResult("SUCCESS", {})
"""
FLOW = """\
version: 1
flow: {{id: f, params: {{shop_token: {{type: string, default: none}}}}}}
resources:
  shop: {{kind: ftp, driver: acme, config: {{host: {host}, port: {port}{more}}}}}
jobs:
  - id: a
    steps:
      - {step}
"""
PUT = '{{id: s, type: acme_put, inputs: {{resource: shop, text: "key={text}"}}}}'
LOCKED = (
    "{{id: s, type: with_lock, inputs: {{lock_key: k, step: "
    '{{type: acme_put, inputs: {{resource: shop, text: "key={text}"}}}}}}}}'
)
LATE = "{{params.shop_token}}"


@pytest.fixture
def heard() -> Iterator[tuple[int, list[bytes]]]:
    """The port of a server of another machine, and what it gets."""
    texts: list[bytes] = []

    class Hears(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            texts.append(self.rfile.read())

    with socketserver.ThreadingTCPServer(("0.0.0.0", 0), Hears) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server.server_address[1], texts
        server.shutdown()
        thread.join()


@pytest.fixture
def shop(project: "Project") -> "Project":
    project.plugin(
        "acme-ftp", "[aetherflow.connectors]\nftp.acme = acme:Ftp\n[aetherflow.steps]\nacme_put = acme:Put\n"
    )
    project.module("acme", PLUGIN)
    project.env["SHOP_TOKEN"] = SECRET
    return project


def ran(shop: "Project", port: int, step: str, *, host: str = "0.0.0.0", more: str = "", token: str = SECRET) -> Any:
    shop.write(FLOW.format(host=host, port=port, more=more, step=step))
    done = shop.command("run", "flow.yaml", "--json", "--param", f"shop_token={token}")
    assert SECRET not in done.out + done.err
    return json.loads(done.out)


@pytest.mark.parametrize("step", [PUT, LOCKED])
def test_a_secret_does_not_go_out_in_clear_text(shop: "Project", heard: tuple[int, list[bytes]], step: str) -> None:
    port, texts = heard
    late = step.format(text=LATE)
    refused = ran(shop, port, late)
    assert (refused["status"], refused["error"]["code"]) == ("FAILED", "AF5203")
    assert "resource shop (ftp:acme): a secret would go to 0.0.0.0 in clear text" in refused["error"]["message"]
    assert texts == []
    assert ran(shop, port, late, host="localhost")["status"] == "SUCCESS"
    assert ran(shop, port, late, more=", allow_clear_text: true")["status"] == "SUCCESS"
    assert ran(shop, port, step.format(text="nothing to hide"))["status"] == "SUCCESS"
    assert texts == [f"key={SECRET}".encode()] * 2 + [b"key=nothing to hide"]


@pytest.mark.parametrize(("step", "column"), [(PUT, 64), (LOCKED, 110)])
def test_validate_says_so_where_it_is_static(
    shop: "Project", heard: tuple[int, list[bytes]], step: str, column: int
) -> None:
    port, texts = heard
    static = step.format(text="{{env.SHOP_TOKEN}}")
    assert ran(shop, port, static)["status"] is None, "refused before its first step"
    done = shop.command("validate", "flow.yaml")
    fix = "set tls: true; config.allow_clear_text: true accepts the risk"
    assert (done.code, found(done.out)[1:]) == (2, [("AF5203", 8, column, fix)])
    assert SECRET not in done.out
    ran(shop, port, static, more=", tls: true")
    assert shop.command("validate", "flow.yaml").code == 0
    assert texts == [f"key={SECRET}".encode()]
