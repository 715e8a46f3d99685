"""Message brokers for workers of the launcher `celery`: RabbitMQ and Redis, each started once per session."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from services import need
from svc import Server, free_port, port_open, workdir

RABBIT = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
"""Not the one in PATH, which changes to the account `rabbitmq` and writes below /var."""


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    with redis_running() as url:
        yield url


@contextmanager
def redis_running(certificate: Path | None = None) -> Iterator[str]:
    """A Redis server, with this certificate and its key in one file only by TLS; its address."""
    (program,) = need("redis-server")
    with workdir("redis") as home:
        port, log = free_port(), home / "log"
        command = [program, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        if certificate is None:
            command += ["--port", str(port)]
        else:
            files = ["--tls-cert-file", certificate, "--tls-key-file", certificate, "--tls-ca-cert-file", certificate]
            command += ["--port", "0", "--tls-port", str(port), *map(str, files), "--tls-auth-clients", "no"]
        server = Server(
            [*command, "--requirepass", "s3cret", "--dir", home], log, lambda: b"Ready to accept" in log.read_bytes()
        )
        try:
            yield f"{'redis' if certificate is None else 'rediss'}://:s3cret@127.0.0.1:{port}/0"
        finally:
            server.stop()


@pytest.fixture(scope="session")
def rabbit_url() -> Iterator[str]:
    with rabbit_running() as url:
        yield url


@contextmanager
def rabbit_running(certificate: Path | None = None) -> Iterator[str]:
    """A RabbitMQ server, with this certificate and its key in one file only by TLS; its address."""
    (epmd,) = need("epmd")
    if not RABBIT.exists():
        need("rabbitmq-server")
    with workdir("rabbit") as home:
        port, distribution, mapper, log = free_port(), free_port(), free_port(), home / "log"
        listens = f"listeners.tcp.1 = 127.0.0.1:{port}\n"
        if certificate is not None:
            files = (f"ssl_options.{name} = {certificate}\n" for name in ("cacertfile", "certfile", "keyfile"))
            listens = f"listeners.tcp = none\nlisteners.ssl.1 = 127.0.0.1:{port}\n{''.join(files)}"
            listens += "ssl_options.verify = verify_none\nssl_options.fail_if_no_peer_cert = false\n"
        (home / "rabbitmq.conf").write_text(
            f"{listens}default_user = app\ndefault_pass = s3cret\n"
            "disk_free_limit.absolute = 50MB\nvm_memory_high_watermark.absolute = 512MiB\n"
            "log.console = true\nlog.console.level = info\nlog.file = false\n"
        )
        (home / "plugins").write_text("[].\n")
        (home / "env.conf").touch()
        env = {
            "PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8",
            "RABBITMQ_NODENAME": f"t{port}@localhost", "RABBITMQ_CONFIG_FILE": str(home / "rabbitmq.conf"),
            "RABBITMQ_CONF_ENV_FILE": str(home / "env.conf"), "RABBITMQ_MNESIA_BASE": str(home / "mnesia"),
            "RABBITMQ_LOG_BASE": str(home / "logs"), "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "plugins"),
            "RABBITMQ_GENERATED_CONFIG_DIR": str(home / "gen"), "RABBITMQ_PID_FILE": str(home / "pid"),
            "RABBITMQ_DIST_PORT": str(distribution), "ERL_EPMD_PORT": str(mapper), "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none "
            "-kernel inet_dist_use_interface {127,0,0,1}",
        }  # fmt: skip
        # the broker would start a mapper that becomes a daemon; this one ends with it
        names = Server([epmd, "-port", mapper], home / "epmd.log", lambda: port_open(mapper), env=env)
        server = Server(
            [RABBIT],
            log,
            lambda: b"Server startup complete" in log.read_bytes(),
            cwd=home,
            env=env,
            stop=signal.SIGKILL,  # nothing of it is kept; in order it takes ten seconds
            timeout=180,  # on cores that others keep busy
        )
        try:
            yield f"{'amqp' if certificate is None else 'amqps'}://app:s3cret@127.0.0.1:{port}//"
        finally:
            server.stop()
            names.stop()
