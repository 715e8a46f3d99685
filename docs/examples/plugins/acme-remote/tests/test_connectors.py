"""Each connector keeps the contract, and the built-in steps work over it."""

import shutil
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from acme_remote.ftp import Ftp
from acme_remote.memory import Memory
from acme_remote.s3 import S3
from aetherflow.core.api import ConnectorError, ConnectorInit
from aetherflow.core.testing import FileTransferSuite, FlowProject

CLOSED_PORT = 9


class TestMemory(FileTransferSuite):
    connector = Memory
    name = "acme_remote.memory"
    kills = 0  # its files end with the process

    @pytest.fixture(autouse=True)
    def _folder(self) -> None:
        self.folder = uuid.uuid4().hex

    def config(self, place: Path) -> dict[str, Any]:
        return {"folder": self.folder}

    def unreachable(self, place: Path) -> dict[str, Any]:
        return {"folder": "/"}


class TestS3(FileTransferSuite):
    connector = S3
    name = "acme_remote.s3"
    has_folders = False

    @pytest.fixture(autouse=True)
    def _server(self, s3: str) -> None:
        self.url = s3

    def config(self, place: Path) -> dict[str, Any]:
        key = {"access_key_id": "test", "secret_access_key": "test"}
        return {"bucket": "lake", "prefix": "landing/zone", "endpoint_url": self.url, "region": "us-east-1", **key}

    def options(self, place: Path) -> dict[str, Any]:
        return {"timeout_seconds": 5, "max_attempts": 4}

    def unreachable(self, place: Path) -> dict[str, Any]:
        return self.config(place) | {"endpoint_url": f"http://127.0.0.1:{CLOSED_PORT}"}


class TestFtp(FileTransferSuite):
    connector = Ftp
    name = "acme_remote.ftp"

    @pytest.fixture(autouse=True)
    def _server(self, place: Path, serve_ftp: Callable[[Path], int]) -> None:
        self.port = serve_ftp(place)

    def config(self, place: Path) -> dict[str, Any]:
        return {"host": "127.0.0.1", "port": self.port, "username": "acme", "password": "pass"}

    def options(self, place: Path) -> dict[str, Any]:
        return {"tls": False, "timeout_seconds": 5}

    def unreachable(self, place: Path) -> dict[str, Any]:
        return self.config(place) | {"port": CLOSED_PORT}


class TestFtpWithTls(TestFtp):
    @pytest.fixture(autouse=True)
    def _server(self, place: Path, serve_ftp: Callable[..., int], certificate: Path) -> None:
        self.port, self.ca_file = serve_ftp(place, certificate), f"{certificate}.crt"

    def options(self, place: Path) -> dict[str, Any]:
        return {"timeout_seconds": 5, "ca_file": self.ca_file}

    def test_a_certificate_that_nobody_vouches_for_is_refused(self, place: Path) -> None:
        """Before the password is sent."""
        init = ConnectorInit("peer", "acme_remote", "ftp", self.config(place), {"timeout_seconds": 5})
        with Ftp(init) as peer, pytest.raises(ConnectorError, match="certificate verify failed"):
            peer.probe()


class TestFtpOnProFtpd(TestFtp):
    @pytest.fixture(autouse=True)
    def _server(self, place: Path, serve_proftpd: Callable[[Path], int]) -> None:
        self.port = serve_proftpd(place)

    def config(self, place: Path) -> dict[str, Any]:
        return super().config(place) | {"folder": str(place)}


def test_a_wrong_password_is_said_but_not_shown(
    flow_project: FlowProject, tmp_path: Path, serve_ftp: Callable[[Path], int]
) -> None:
    config = {"host": "127.0.0.1", "port": serve_ftp(tmp_path), "username": "acme", "password": "not-the-password"}
    partner = {"kind": "acme_remote", "driver": "ftp", "config": config, "options": {"tls": False}}
    ran = flow_project.run_step(
        "remote_list", {"resource": "partner", "remote_dir": ""}, resources={"partner": partner}
    )
    assert ran.error is not None
    assert "Authentication failed" in ran.error.message
    assert "not-the-password" not in ran.error.message


def test_a_run_goes_on_elsewhere_with_artifacts_in_s3(flow_project: FlowProject, s3: str) -> None:
    """As if at another host: the work root is another folder there."""
    key = {"access_key_id": "test", "secret_access_key": "test"}
    lake = {
        "kind": "acme_remote",
        "driver": "s3",
        "config": {"bucket": "lake", "endpoint_url": s3, "region": "us-east-1"} | key,
    }
    project = {"version": 1, "resources": {"lake": lake}, "artifacts": {"resource": "lake", "path": "runs"}}
    (flow_project.folder / "aetherflow.yaml").write_text(yaml.safe_dump(project))
    made = {"id": "made", "type": "file_write", "inputs": {"path": "rows.csv", "content": "rows"}}
    used = {"id": "used", "type": "file_hash", "inputs": {"path": "rows.csv"}}
    wanted = {"id": "wanted", "type": "file_hash", "inputs": {"path": str(flow_project.folder / "later.csv")}}
    flow_project.flow(made, wanted, used)
    first = flow_project.run(run_id="r")
    assert first.error is not None
    shutil.rmtree(flow_project.work)
    (flow_project.folder / "later.csv").touch()
    second = flow_project.run(run_id="r")
    assert second.error is None, second.error
    assert second["used"].status == "SUCCESS"
    assert flow_project.rows("SELECT step_id FROM step_runs WHERE attempt > 1") == [("wanted",)]


def test_the_flow_takes_new_files_from_one_to_the_other(
    flow_project: FlowProject, tmp_path: Path, serve_ftp: Callable[[Path], int], s3: str
) -> None:
    """The flow of this distribution, on servers of this machine; twice, and nothing is taken twice."""
    outbox = tmp_path / "server/outbox"
    outbox.mkdir(parents=True)
    (outbox / "orders.csv").write_text("a,b\n1,2\n")
    flow = yaml.safe_load((Path(__file__).parents[1] / "flow.yaml").read_text())
    partner, lake = flow["resources"]["partner"], flow["resources"]["lake"]
    partner["config"] |= {"host": "127.0.0.1", "port": serve_ftp(outbox.parent)}
    partner["options"] = {"tls": False}
    key = {"access_key_id": "test", "secret_access_key": "test"}
    lake["config"] |= {"endpoint_url": s3, "region": "us-east-1", **key}
    flow_project.write(yaml.safe_dump(flow))
    flow_project.env["PARTNER_PASSWORD"] = "pass"
    first, second = flow_project.run(), flow_project.run()
    assert first.error is None, first.error
    assert first["deliver"].outputs["count"] == 1
    assert second["find"].status == "SKIPPED"
