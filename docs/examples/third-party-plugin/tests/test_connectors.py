"""Both connectors keep the contract of a file transfer, on servers that live as long as these tests."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from moto.server import ThreadedMotoServer

from acme_fsspec.ftp import Ftp
from acme_fsspec.s3 import S3
from aetherflow.core.api import ConnectorError, ConnectorInit
from aetherflow.core.testing import FileTransferSuite

CLOSED_PORT = 9


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """Address of a server with the bucket `lake`."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    with S3(ConnectorInit("peer", "acme_fsspec", "s3", s3_config(url), {})) as peer:
        peer.fs.call_s3("create_bucket", Bucket="lake")
    yield url
    server.stop()


def s3_config(url: str) -> dict[str, Any]:
    return {
        "bucket": "lake",
        "prefix": "landing/zone",
        "endpoint_url": url,
        "region": "us-east-1",
        "access_key_id": "test",
        "secret_access_key": "test",
    }


class TestS3(FileTransferSuite):
    connector = S3
    name = "acme_fsspec.s3"
    can_rename = False
    has_folders = False

    @pytest.fixture(autouse=True)
    def _server(self, s3: str) -> None:
        self.url = s3

    def config(self, place: Path) -> dict[str, Any]:
        return s3_config(self.url)

    def options(self, place: Path) -> dict[str, Any]:
        return {"timeout_seconds": 5, "max_attempts": 4}

    def unreachable(self, place: Path) -> dict[str, Any]:
        return s3_config(f"http://127.0.0.1:{CLOSED_PORT}")


class TestFtp(FileTransferSuite):
    connector = Ftp
    name = "acme_fsspec.ftp"

    @pytest.fixture(autouse=True)
    def _server(self, place: Path, serve_ftp: Callable[[Path], int]) -> None:
        self.port = serve_ftp(place)

    def config(self, place: Path) -> dict[str, Any]:
        return {"host": "127.0.0.1", "port": self.port, "username": "acme", "password": "pass"}

    def options(self, place: Path) -> dict[str, Any]:
        return {"tls": False, "timeout_seconds": 5}

    def unreachable(self, place: Path) -> dict[str, Any]:
        return {**self.config(place), "port": CLOSED_PORT}

    def names_at(self, place: Path, folder: str) -> list[str]:
        return sorted(path.name for path in (place / folder).iterdir())


class TestFtpWithTls(TestFtp):
    @pytest.fixture(autouse=True)
    def _server(self, place: Path, serve_ftp: Callable[..., int], certificate: Path) -> None:
        self.port, self.ca_file = serve_ftp(place, certificate), f"{certificate}.crt"

    def options(self, place: Path) -> dict[str, Any]:
        return {"timeout_seconds": 5, "ca_file": self.ca_file}

    def test_a_certificate_that_nobody_vouches_for_is_refused(self, place: Path) -> None:
        """Before the password is told."""
        options = {"timeout_seconds": 5}
        with (
            Ftp(ConnectorInit("peer", "acme_fsspec", "ftp", self.config(place), options)) as peer,
            pytest.raises(ConnectorError, match="certificate verify failed"),
        ):
            peer.probe()


class TestFtpOnProFtpd(TestFtp):
    """The same on a server that was not written for tests, nor in Python."""

    @pytest.fixture(autouse=True)
    def _server(self, place: Path, serve_proftpd: Callable[[Path], int]) -> None:
        self.port = serve_proftpd(place)

    def config(self, place: Path) -> dict[str, Any]:
        return {**super().config(place), "folder": str(place)}  # it shows the whole file system, as many do
