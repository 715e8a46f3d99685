"""Orders by TLS, with RabbitMQ and Redis: the broker's certificate is checked, and that it is for its host."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import trustme

from aetherflow.scheduler.launchers import broker, signing
from aetherflow.scheduler.launchers.celery import CeleryLauncher
from brokers import rabbit_running, redis_running
from celery_workers import herd_on

pytestmark = pytest.mark.xdist_group("rabbit")  # one worker starts a server of it at a time
Running = Callable[[Path | None], AbstractContextManager[str]]


def certificate(authority: trustme.CA, folder: Path, host: str) -> Path:
    """A certificate for a host, with its key, in one file."""
    path = folder / f"{host}.pem"
    authority.issue_cert(host).private_key_and_cert_chain_pem.write_to_path(path)
    return path


@pytest.mark.parametrize("running", [rabbit_running, redis_running])
def test_orders_by_tls(running: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    with running(certificate(authority, tmp_path, "127.0.0.1")) as url:
        with monkeypatch.context() as patch:
            patch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
            with herd_on(tmp_path, url, patch) as herd:
                herd.go.touch()
                herd.worker()
                herd.order(CeleryLauncher(), "r")
                assert herd.until_all_have_ended() == {"r": 0}
                assert herd.lines() == ["0 r", "1 r"]
        monkeypatch.setenv(signing.FOLDER, str(tmp_path / "keys"))
        monkeypatch.setenv(broker.URL, url)
        assert "certificate" in refused(), "nobody trusts this authority"
    with running(certificate(authority, tmp_path, "broker.test")) as url:
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        monkeypatch.setenv(broker.URL, url)
        assert "127.0.0.1" in refused(), "it is for another host"


def refused() -> str:
    """The error of a connection, which fails."""
    broker.application.cache_clear()
    try:
        with broker.application().connection_for_write(transport_options={"max_retries": 0}) as connection:
            with pytest.raises(Exception, match="certificate") as caught:
                connection.ensure_connection(max_retries=1, timeout=10)
            return str(caught.value)
    finally:
        broker.application.cache_clear()
