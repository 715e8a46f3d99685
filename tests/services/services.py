"""One fixture per real server, started once per session on first use; tests of a missing server are skipped."""

import base64
import fcntl
import hashlib
import hmac
import os
import pwd
import re
import shutil
import signal
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import trustme

    from exasol_standin import ExasolStandIn
import isolation
from svc import Server, account, free_port, port_open, workdir

# Debian's servers are not in a user's PATH, and PostgreSQL's programs in no PATH; the highest version is used.
_POSTGRES = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name), reverse=True)
_SEARCH = os.pathsep.join([*map(str, _POSTGRES), os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin"])


def need(*commands: str) -> list[str]:
    """The full paths of these commands; skips the test if one is missing."""
    paths = {command: shutil.which(command, path=_SEARCH) for command in commands}
    missing = [command for command, path in paths.items() if path is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}; tests/services/install.sh tells how to get it")
    return [path for path in paths.values() if path]


def faketime() -> dict[str, str]:
    """Environment variables with which a program has the clock of FAKETIME; skips the test if the library is missing.

    Without shared memory, which a program that is killed leaves in /dev/shm.
    """
    found = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
    if found is None:
        pytest.skip("not installed: libfaketime; tests/services/install.sh tells how to get it")
    return {"LD_PRELOAD": str(found), "FAKETIME_DISABLE_SHM": "1"}


def me() -> str:
    return pwd.getpwuid(os.getuid()).pw_name


@dataclass(frozen=True)
class Sshd:
    """A running SSH server with key authentication for the account of the tests; `root` is an empty folder."""

    port: int
    user: str
    key: Path
    known_hosts: Path
    root: Path


@pytest.fixture(scope="session")
def sshd() -> Iterator[Sshd]:
    program, keygen, _ = need("sshd", "ssh-keygen", "setpriv")
    with workdir("sshd") as home:
        port = free_port()
        for name in ("host", "id"):
            subprocess.run([keygen, "-q", "-t", "ed25519", "-N", "", "-f", home / name], check=True)
        shutil.copy(home / "id.pub", home / "authorized")
        (home / "known_hosts").write_text(f"[127.0.0.1]:{port} {(home / 'host.pub').read_text()}")
        (home / "data").mkdir()
        # StrictModes no: otherwise sshd refuses a key file below the world-writable /tmp.
        (home / "config").write_text(
            f"Port {port}\nListenAddress 127.0.0.1\nHostKey {home}/host\nPidFile none\n"
            f"AuthorizedKeysFile {home}/authorized\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n"
            "KbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\nSubsystem sftp internal-sftp\n"
            f"LogLevel VERBOSE\nMaxStartups 1000\n{_without_penalties(program)}"
        )
        if os.getuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd insists on it, even without privilege separation
        log = home / "log"
        server = Server(
            [program, "-D", "-e", "-f", home / "config"], log, lambda: b"Server listening" in log.read_bytes()
        )
        try:
            yield Sshd(port, me(), home / "id", home / "known_hosts", home / "data")
        finally:
            server.stop()


def _without_penalties(sshd: str) -> str:
    """Options that turn off penalties: sshd 9.8 and later blocks clients for a while that break off connections."""
    told = subprocess.run([sshd, "-V"], capture_output=True, text=True, check=False).stderr
    found = re.search(r"OpenSSH_(\d+)\.(\d+)", told)
    new = found is not None and (int(found[1]), int(found[2])) >= (9, 8)
    return "PerSourcePenalties no\n" if new else ""


@dataclass(frozen=True)
class Smbd:
    r"""A running Samba server; `share` is `\\127.0.0.1\data`, `root` the same folder on disk."""

    port: int
    user: str
    password: str
    share: str
    root: Path


@pytest.fixture(scope="session")
def smbd() -> Iterator[Smbd]:
    with running_smbd(
        ("server min protocol = SMB3_00", "server signing = mandatory", "server smb encrypt = required")
    ) as found:
        yield found


@pytest.fixture(scope="session")
def smbd_old() -> Iterator[Smbd]:
    """A Samba server with signed, unencrypted SMB 2, as pysmb supports no encryption."""
    with running_smbd(
        ("server min protocol = SMB2_02", "server signing = mandatory", "server smb encrypt = off")
    ) as found:
        yield found


@contextmanager
def running_smbd(settings: Sequence[str]) -> Iterator[Smbd]:
    """Run a Samba server with further settings; it has a second, hidden share with a blank in its name."""
    program, pdbedit, _ = need("smbd", "pdbedit", "setpriv")
    with workdir("smbd") as home:
        port, password = free_port(), "S3cret!"
        for name in ("share", "second", "private", "lock", "state", "cache", "ncalrpc", "pid"):
            (home / name).mkdir()
        config, lines = home / "smb.conf", "\n".join(settings)
        config.write_text(f"""[global]
server role = standalone server
workgroup = TESTGRP
smb ports = {port}
interfaces = 127.0.0.1/8
bind interfaces only = yes
private dir = {home}/private
lock directory = {home}/lock
state directory = {home}/state
cache directory = {home}/cache
pid directory = {home}/pid
ncalrpc dir = {home}/ncalrpc
usershare path =
passdb backend = tdbsam:{home}/private/passdb.tdb
disable netbios = yes
disable spoolss = yes
load printers = no
{lines}
map to guest = never
log level = 1
[data]
path = {home}/share
read only = no
force user = {me()}
[second share$]
path = {home}/second
read only = no
force user = {me()}
""")
        subprocess.run(
            [pdbedit, "-s", config, "-a", "-t", "-u", me()],
            input=f"{password}\n{password}\n",
            text=True,
            check=True,
            capture_output=True,
        )
        server = Server(
            [program, "--foreground", "--no-process-group", "--debug-stdout", "-s", config],
            home / "log",
            lambda: port_open(port),
        )
        try:
            yield Smbd(port, me(), password, r"\\127.0.0.1\data", home / "share")
        finally:
            server.stop()


@dataclass(frozen=True)
class Database:
    """Address and account of a running server with an empty database."""

    port: int
    user: str
    password: str
    name: str
    host: str = "127.0.0.1"
    driver: str = "postgres"


@pytest.fixture(scope="session")
def postgres() -> Iterator[Database]:
    with running_postgres() as database:
        yield database


@contextmanager
def running_postgres() -> Iterator[Database]:
    with mortal_postgres() as server:
        yield server.database


class MortalServer:
    """A server that can be killed, and brought back with what it had committed."""

    def __init__(self, database: Database, serve: Callable[[], Server]) -> None:
        """`serve` starts it, and waits until it serves."""
        self.database = database
        self._serve = serve
        self._server = serve()

    def stop(self) -> None:
        """End it in an orderly way."""
        self._server.stop()

    def kill(self) -> None:
        """Kill -9; processes of sessions notice it and end."""
        self._server.process.kill()
        self._server.process.wait()

    def start_again(self) -> None:
        """Start it after a kill: not before the last session has ended, which holds its memory."""
        for _ in range(100):
            try:
                self._server = self._serve()
            except RuntimeError:
                time.sleep(0.1)
            else:
                return
        self._server = self._serve()


def _quick_verifier(password: str) -> str:
    """What PostgreSQL stores of a password, here of one iteration: a client's own 4,096 take it 4 ms per login."""
    salt = b"the same for all"
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, 1)
    client, server = (hmac.digest(salted, name, "sha256") for name in (b"Client Key", b"Server Key"))
    texts = [base64.b64encode(each).decode() for each in (salt, hashlib.sha256(client).digest(), server)]
    return "SCRAM-SHA-256$1:{}${}:{}".format(*texts)


def _filled(data: Path, name: str, make: Callable[[], object]) -> None:
    """Fill a server's folder by `make`, or with a copy of what that made before in this run: it takes seconds."""
    homes = os.environ.get(isolation.ROOT)
    if homes is None:  # no run of tests
        make()
        return
    kept = Path(homes, name)
    with kept.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.exists():
            make()
            subprocess.run(["cp", "-a", data, kept.with_suffix(".part")], check=True)
            kept.with_suffix(".part").rename(kept)
            return
    subprocess.run(["cp", "-a", kept, data], check=True)


@contextmanager
def mortal_postgres() -> Iterator[MortalServer]:
    program, initdb, pg_isready, _ = need("postgres", "initdb", "pg_isready", "setpriv")
    with workdir("postgres") as home:
        database = Database(free_port(), "app", "s3cret", "postgres")
        # initdb and postgres refuse to run as root.
        uid, gid = account("postgres") or (None, None)
        if uid is not None and gid is not None:
            os.chown(home, uid, gid)
        (home / "password").write_text(_quick_verifier(database.password))

        def make() -> None:
            subprocess.run(
                [initdb, f"--pgdata={home}/data", f"--username={database.user}", f"--pwfile={home}/password"]
                + ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"],
                check=True,
                capture_output=True,
                cwd=home,
                user=uid,
                group=gid,
                extra_groups=None if uid is None else [],
            )

        _filled(home / "data", "postgres", make)
        settings = {
            "listen_addresses": database.host,
            "unix_socket_directories": home,
            "fsync": "off",
            "full_page_writes": "off",
            "synchronous_commit": "off",
            "logging_collector": "off",
            "dynamic_shared_memory_type": "mmap",  # in its folder; in /dev/shm it stays when the server is killed
        }
        argv: list[str | Path | int] = [program, "-D", home / "data", "-p", database.port]
        for key, value in settings.items():
            argv += ["-c", f"{key}={value}"]
        ping = [pg_isready, "-q", "-h", database.host, "-p", str(database.port)]

        def serve() -> Server:
            return Server(
                argv,
                home / "log",
                lambda: subprocess.run(ping, check=False).returncode == 0,
                stop=signal.SIGINT,  # "fast": ends open sessions instead of waiting for them
                user="postgres",
                cwd=home,
            )

        server = MortalServer(database, serve)
        try:
            yield server
        finally:
            server.stop()


@pytest.fixture(scope="session")
def mariadb(tls: "Tls") -> Iterator[Database]:
    with running_mariadb(tls) as database:
        yield database


@contextmanager
def running_mariadb(tls: "Tls | None" = None, *, version: str = "") -> Iterator[Database]:
    with mortal_mariadb(tls, version=version) as server:
        yield server.database


@contextmanager
def mortal_mariadb(tls: "Tls | None" = None, *, version: str = "") -> Iterator[MortalServer]:
    """Run a server; with `tls` it has a certificate of that authority, and trusts its other ones.

    With a `version`, as that of MySQL, that is the one which it tells.
    """
    program, install_db, _ = need("mariadbd", "mariadb-install-db", "setpriv")
    import pymysql

    with workdir("mariadb") as home:
        database = Database(free_port(), "app", "s3cret", "app", driver="mysql")
        install = [install_db, "--no-defaults", f"--datadir={home}/data", f"--user={me()}", "--skip-test-db"]
        install += ["--auth-root-authentication-method=normal", "--skip-name-resolve"]
        _filled(home / "data", "mariadb", lambda: subprocess.run(install, check=True, capture_output=True))
        who = f"'{database.user}'@'{database.host}'"
        (home / "init.sql").write_text(  # the server requires one statement per line
            f"CREATE DATABASE IF NOT EXISTS {database.name} CHARACTER SET utf8mb4;\n"
            f"CREATE USER IF NOT EXISTS {who} IDENTIFIED BY '{database.password}';\n"
            f"GRANT ALL ON {database.name}.* TO {who};\n"
            f"GRANT ALL ON `{database.name}\\_%`.* TO {who};\n"
        )

        encrypted: list[str] = []
        if tls is not None:
            tls.issue(home, "server", "localhost", "127.0.0.1")
            encrypted = [f"--ssl-cert={home}/server.crt", f"--ssl-key={home}/server.key", f"--ssl-ca={tls.ca}"]

        def ready() -> bool:
            # Logging in as the test's user also proves that init.sql was executed.
            pymysql.connect(
                host=database.host,
                port=database.port,
                user=database.user,
                password=database.password,
                database=database.name,
                ssl_disabled=True,
            ).close()
            return True

        argv = [program, "--no-defaults", f"--datadir={home}/data", f"--socket={home}/socket", f"--pid-file={home}/pid"]
        argv += [f"--port={database.port}", f"--bind-address={database.host}", f"--user={me()}", f"--tmpdir={home}"]
        argv += [f"--init-file={home}/init.sql", "--skip-name-resolve", "--skip-log-bin", *encrypted]
        # 2: what is committed survives the server, if not the machine
        argv += ["--innodb-flush-log-at-trx-commit=2", "--innodb-buffer-pool-size=32M", "--innodb-log-file-size=8M"]
        argv += [f"--version={version}"] if version else []
        server = MortalServer(database, lambda: Server(argv, home / "log", ready))
        try:
            yield server
        finally:
            server.stop()


@dataclass(frozen=True)
class Tls:
    """A temporary certificate authority, with key and certificate for a server at 127.0.0.1 and localhost."""

    ca: Path
    server: ssl.SSLContext
    authority: "trustme.CA"

    def issue(self, folder: Path, name: str, *hosts: str) -> None:
        """Write NAME.crt and NAME.key; NAME is the common name of the certificate."""
        issued = self.authority.issue_cert(*hosts, common_name=name)
        issued.cert_chain_pems[0].write_to_path(str(folder / f"{name}.crt"))
        issued.private_key_pem.write_to_path(str(folder / f"{name}.key"))
        (folder / f"{name}.key").chmod(0o600)


@pytest.fixture(scope="session")
def tls() -> Iterator[Tls]:
    import trustme

    with workdir("tls") as home:
        authority = trustme.CA()
        certificate = authority.issue_cert("localhost", "127.0.0.1")
        authority.cert_pem.write_to_path(str(home / "ca.pem"))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(context)
        yield Tls(home / "ca.pem", context, authority)


@pytest.fixture(scope="session")
def exasol(tls: Tls) -> Iterator["ExasolStandIn"]:
    """A stand-in server with Exasol's protocol, but not its SQL."""
    from exasol_standin import ExasolStandIn

    node = ExasolStandIn(tls.server)
    try:
        yield node
    finally:
        node.stop()
