"""The TLS table: all refused by default, each override a named key that explain shows as INSECURE."""

import json
import socket
import ssl
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from aetherflow.core.api import ConnectorError
from aetherflow.core.testing import FlowProject
from http_server import Authority, Running, peer, running

Connect = Callable[..., Any]


def bad(http_authority: Authority, case: str) -> Path:
    if case == "expired":
        return http_authority.certificate("localhost", expires_days=-1)
    if case == "wrong name":
        return http_authority.certificate("other.example.org")
    return http_authority.certificate("localhost", authority=trustme.CA())


@pytest.mark.parametrize(
    ("case", "says"),
    [
        ("unknown authority", "unable to get local issuer certificate"),
        ("wrong name", "[Hh]ostname mismatch"),
        ("expired", "certificate has expired"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_certificates(http_connect: Connect, http_authority: Authority, case: str, says: str, method: str) -> None:
    with running(bad(http_authority, case)) as served:
        connector = http_connect(base_url=served.url, options={"retries": 3})
        with pytest.raises(ConnectorError, match=says) as caught:
            connector.request(method, "/echo")
        assert "verify_ssl" in caught.value.fix
        assert "(attempt 1 of" in str(caught.value), "trying again does not help"
        assert served.api.count() == 0, "nothing of the request was sent"
        assert http_connect(base_url=served.url, options={"verify_ssl": "false"}).get("/echo").status_code == 200


def test_a_self_signed_certificate(http_connect: Connect, tmp_path: Path) -> None:
    own = trustme.CA()
    pem = tmp_path / "self.pem"
    own.private_key_pem.write_to_path(str(pem))
    own.cert_pem.write_to_path(str(pem), append=True)
    with running(pem) as served, pytest.raises(ConnectorError, match=r"self.signed certificate"):
        http_connect(base_url=served.url).get("/echo")


def test_tls_1_1_is_refused(http_connect: Connect, http_authority: Authority) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(http_authority.certificate("localhost"))
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    spoken: list[bytes] = []

    def old(accepted: socket.socket) -> None:
        try:
            with context.wrap_socket(accepted, server_side=True) as secured:
                spoken.append(secured.recv(100))
        except OSError:
            return

    with peer(old) as listener:
        for verify in ("true", "false"):
            with pytest.raises(ConnectorError, match="TLS failed: TLSV1_ALERT_PROTOCOL_VERSION") as caught:
                http_connect(base_url=f"https://localhost:{listener.port}", options={"verify_ssl": verify}).get("/")
            assert "TLS 1.2" in caught.value.fix
    assert spoken == []


def test_https_to_a_port_that_speaks_http(http_connect: Connect) -> None:
    with running() as served, pytest.raises(ConnectorError, match="TLS failed") as caught:
        http_connect(base_url=f"https://localhost:{served.port}").get("/echo")
    assert "port" in caught.value.fix


@pytest.fixture
def mutual(http_authority: Authority) -> Iterator[Running]:
    """A server that asks for a certificate."""
    certificate = http_authority.certificate("localhost")
    with running(certificate, ssl_ca_certs=str(http_authority.file), ssl_cert_reqs=ssl.CERT_REQUIRED) as served:
        yield served


def test_a_client_certificate(http_connect: Connect, http_authority: Authority, mutual: Running) -> None:
    with pytest.raises(ConnectorError):
        http_connect(base_url=mutual.url).get("/echo")
    mine = str(http_authority.certificate("client.example.org"))
    assert http_connect(base_url=mutual.url, client_cert=mine).get("/echo").status_code == 200
    strange = str(http_authority.certificate("client.example.org", authority=trustme.CA()))
    with pytest.raises(ConnectorError):
        http_connect(base_url=mutual.url, client_cert=strange).get("/echo")


def test_the_client_certificate_is_not_shown_to_other_hosts(
    http_connect: Connect, http_authority: Authority, http_api: Running, mutual: Running
) -> None:
    mine = str(http_authority.certificate("client.example.org"))
    connector = http_connect(client_cert=mine, options={"redirects": "any"})
    with pytest.raises(ConnectorError):
        connector.get("/redirect/302", params={"to": f"{mutual.url}/echo"})
    with pytest.raises(ConnectorError):
        connector.get(f"{mutual.url}/echo")
    assert mutual.api.count() == 0


def test_an_encrypted_key(http_connect: Connect, http_authority: Authority, mutual: Running, tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization as s

    pem = http_authority.certificate("client.example.org").read_bytes()
    key = s.load_pem_private_key(pem, None)
    locked = key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.BestAvailableEncryption(b"pass-of-key"))
    (tmp_path / "key.pem").write_bytes(locked)
    (tmp_path / "cert.pem").write_bytes(pem[pem.index(b"-----BEGIN CERTIFICATE") :])
    files = {"client_cert": str(tmp_path / "cert.pem"), "client_key": str(tmp_path / "key.pem")}
    found = http_connect(base_url=mutual.url, client_key_password="pass-of-key", **files)
    assert found.get("/echo").status_code == 200
    for wrong in ({"client_key_password": "wrong"}, {}):
        with pytest.raises(ConnectorError, match="settings cannot be used") as caught:
            http_connect(base_url=mutual.url, **files, **wrong).get("/echo")
        assert "client_key_password" in caught.value.fix


@pytest.mark.parametrize("name", ["ca_file", "client_cert"])
def test_a_file_that_is_not_there(http_connect: Connect, name: str) -> None:
    with pytest.raises(ConnectorError, match="settings cannot be used") as caught:
        http_connect(**{name: "/nowhere.pem"}).get("/echo")
    assert name in caught.value.fix


def test_paths_are_relative_to_the_flow(
    flow_project: FlowProject, http_api: Running, http_authority: Authority
) -> None:
    (flow_project.folder / "ca.pem").write_bytes(http_authority.file.read_bytes())
    resource = {"kind": "rest", "driver": "httpx", "config": {"base_url": http_api.url, "ca_file": "ca.pem"}}
    flow_project.flow(
        {"id": "s", "type": "http_request", "inputs": {"resource": "api", "path": "/echo"}}, resources={"api": resource}
    )
    assert flow_project.run().status == "SUCCESS"
    done = flow_project.command("doctor", "flow.yaml", "--connect")
    assert done.code == 0, done.out + done.err


@pytest.mark.parametrize("options", [{"verify_ssl": "false"}, {"allow_plaintext_auth": True}])
def test_explain_shows_what_gives_a_protection_up(flow_project: FlowProject, options: dict[str, Any]) -> None:
    resource = {
        "kind": "rest", "driver": "httpx", "options": options,
        "config": {"base_url": "https://a.example.org", "headers": {"Authorization": "Bearer literal-secret"}},
    }  # fmt: skip
    flow_project.flow({"id": "s", "type": "check_items", "inputs": {"items": [1]}}, resources={"api": resource})
    done = flow_project.command("explain", "flow.yaml", "--json")
    assert done.code == 0, done.err
    name = next(iter(options))
    assert f"resources.api.options.{name}" in json.loads(done.out)["insecure"]
    assert "literal-secret" not in done.out
    assert "INSECURE" in flow_project.command("explain", "flow.yaml").out
