"""Servers that want a file of each kind: a certificate from whoever connects, a key, a known host."""

import contextlib
import os
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pymysql
import pytest
from core_asset_kinds import SERVERS

from db_places import settings
from exasol_standin import ExasolStandIn
from http_server import running
from mail_server import PASSWORD, USER, Start
from scheduler_bench import wait_for
from services import Database, Sshd, Tls
from svc import account
from tns import refusal

ACCOUNT = "certified"
"""The account of the databases that logs in by its certificate, which is for this common name."""


@dataclass(frozen=True)
class Places:
    """Where the servers are, and what the file of each kind must hold so that they let it in."""

    known: Mapping[str, str]
    contents: Mapping[str, bytes]


@pytest.fixture
def places(
    sshd: Sshd,
    postgres: Database,
    mariadb: Database,
    exasol: ExasolStandIn,
    tls: Tls,
    start_mail_server: Start,
    tmp_path: Path,
) -> Iterator[Places]:
    """One server for each kind of resource that names files."""
    tls.issue(tmp_path, ACCOUNT, "client.example.com")
    tls.issue(tmp_path, "server", "localhost")
    pair = tmp_path / f"{ACCOUNT}.crt", tmp_path / f"{ACCOUNT}.key"
    pem = tmp_path / "both.pem"
    pem.write_bytes(b"".join(path.read_bytes() for path in pair))
    signed = _signed_key(sshd, tmp_path)
    mail = start_mail_server()
    with contextlib.ExitStack() as stack:
        web = stack.enter_context(
            running(
                tmp_path / "server.crt",
                ssl_keyfile=tmp_path / "server.key",
                ssl_ca_certs=str(tls.ca),
                ssl_cert_reqs=ssl.CERT_REQUIRED,
            )
        )
        stack.enter_context(_certified_postgres(postgres, tls, tmp_path))
        stack.enter_context(_certified_mariadb(mariadb))
        oracle = stack.enter_context(_oracle(tls, tmp_path))
        closed = stack.enter_context(socket.socket())
        closed.bind(("127.0.0.1", 0))  # nobody listens, and nobody else gets the port
        ca, cert, key = tls.ca.read_bytes(), *(path.read_bytes() for path in pair)
        hosts, own = sshd.known_hosts.read_bytes(), sshd.key.read_bytes()
        names = f"sales=(DESCRIPTION=(ADDRESS=(PROTOCOL=tcp)(HOST=127.0.0.1)(PORT={closed.getsockname()[1]}))"
        tls_files = {"ca_file": ca, "cert_file": cert, "key_file": key}
        contents = {
            **{name: tls_files.get(name.partition("_")[2], b"") for name in SERVERS},
            "ca_file": ca, "profile": ca, "client_cert": pem.read_bytes(), "client_key": key,
            "config_dir": f"{names}(CONNECT_DATA=(SERVICE_NAME=x)))\n".encode(), "wallet": ca + pem.read_bytes(),
            "smtp": mail.ca_file.read_bytes(), "key": own, "jump_key": own, "known_hosts": hosts,
            "certificate": Path(f"{signed}-cert.pub").read_bytes(),
            "jump_certificate": Path(f"{signed}-cert.pub").read_bytes(),
        }  # fmt: skip
        known = {
            "HTTPS_PORT": web.port, "POSTGRES_PORT": postgres.port, "MYSQL_PORT": mariadb.port,
            "EXASOL_PORT": exasol.port, "EXASOL_USER": exasol.user, "EXASOL_PASSWORD": exasol.password,
            "ORACLE_PORT": oracle, "SMTP_PORT": mail.port, "SMTP_USER": USER, "SMTP_PASSWORD": PASSWORD,
            "SFTP_PORT": sshd.port, "SFTP_USER": sshd.user, "SFTP_FOLDER": sshd.root,
            "CA": tls.ca, "CLIENT_CERT": pair[0], "CLIENT_KEY": pair[1], "CLIENT_PEM": pem,
            "HOSTS": sshd.known_hosts, "KEY": sshd.key, "SIGNED_KEY": signed,
        }  # fmt: skip
        yield Places({name: str(value) for name, value in known.items()}, contents)


def _signed_key(sshd: Sshd, folder: Path) -> Path:
    """A key that logs in by its certificate only."""
    keygen = shutil.which("ssh-keygen") or "ssh-keygen"
    for name in ("authority", "signed"):
        subprocess.run([keygen, "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    sign = ["-q", "-s", str(folder / "authority"), "-I", "test", "-n", sshd.user, str(folder / "signed.pub")]
    subprocess.run([keygen, *sign], check=True)
    with (sshd.key.parent / "authorized").open("a") as file:
        file.write(f"cert-authority {(folder / 'authority.pub').read_text()}")
    return folder / "signed"


@contextlib.contextmanager
def _certified_postgres(server: Database, tls: Tls, folder: Path) -> Iterator[None]:
    """Let the account in by its certificate; for other tests the server goes back to what it was."""

    def connected() -> "psycopg.Connection[tuple[str]]":
        given = settings(server)
        return psycopg.connect(**(given | {"dbname": given.pop("database")}), autocommit=True, sslmode="disable")

    def reload(*statements: str, expected: str) -> None:
        with connected() as connection:
            for statement in (*statements, "SELECT pg_reload_conf()"):
                connection.execute(statement)
        wait_for(lambda: told("SHOW ssl") == expected)

    def told(query: str) -> str:
        with connected() as connection:
            found = connection.execute(query).fetchone()
            assert found is not None
            return str(found[0])

    data = Path(told("SHOW data_directory"))
    owner = account("postgres")
    for name in ("server.crt", "server.key"):
        shutil.copy(folder / name, data / name)
        if owner is not None:
            os.chown(data / name, *owner)
        (data / name).chmod(0o600)
    shutil.copy(tls.ca, data / "root.crt")
    (data / "root.crt").chmod(0o644)
    hba = data / "pg_hba.conf"
    before = hba.read_text()
    hba.write_text(f"hostssl all {ACCOUNT} localhost cert\n{before}")
    try:
        reload(
            f"CREATE ROLE {ACCOUNT} LOGIN",
            "ALTER SYSTEM SET ssl_ca_file = 'root.crt'",
            "ALTER SYSTEM SET ssl = on",
            expected="on",
        )
        yield
    finally:
        hba.write_text(before)
        reload(f"DROP ROLE {ACCOUNT}", "ALTER SYSTEM RESET ALL", expected="off")


@contextlib.contextmanager
def _certified_mariadb(server: Database) -> Iterator[None]:
    who = f"'{ACCOUNT}'@'{server.host}'"
    with pymysql.connect(host=server.host, port=server.port, user="root") as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE USER {who} REQUIRE X509")
        cursor.execute(f"GRANT SELECT ON {server.name}.* TO {who}")
        try:
            yield
        finally:
            cursor.execute(f"DROP USER {who}")


@contextlib.contextmanager
def _oracle(tls: Tls, folder: Path) -> Iterator[int]:
    """A listener by TCPS that asks for a certificate, and refuses the connect with ORA-12514; gives its port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.crt", folder / "server.key")
    context.load_verify_locations(tls.ca)
    context.verify_mode = ssl.CERT_OPTIONAL  # the driver takes from a wallet the authorities only
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                accepted, _ = listener.accept()
            except OSError:
                return
            with contextlib.suppress(OSError), accepted, context.wrap_socket(accepted, server_side=True) as peer:
                peer.recv(4096)
                peer.sendall(refusal(12514))
                while peer.recv(4096):  # to close with data unread would take the answer away from the client
                    pass

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield int(listener.getsockname()[1])
    finally:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)  # else the thread waits in accept() for ever
        listener.close()
        thread.join(10)
