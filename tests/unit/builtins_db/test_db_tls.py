"""What the settings of a server's TLS become, where nothing is set, too."""

import ssl
from pathlib import Path
from typing import Any

import pytest

from aetherflow.core.api import ConnectorInit
from aetherflow.core.cli import main
from aetherflow_builtins_db.connectors.common.tls import authorities, is_local
from aetherflow_builtins_db.connectors.mysql.connector import MySQLConnector
from aetherflow_builtins_db.connectors.postgres.connector import PostgresConnector

CHECKED = {"sslmode": "verify-full", "sslrootcert": authorities()}


@pytest.mark.parametrize(
    ("host", "local"),
    [
        (None, True),
        ("", True),
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("[::1]", True),
        ("/run/postgresql", True),
        ("@abstract", True),
        ("localhost,127.0.0.1", True),
        ("localhost,db", False),
        ("0.0.0.0", False),
        ("10.0.0.1", False),
        ("db.example.com", False),
        ("localhost.example.com", False),
        ("::ffff:10.0.0.1", False),
    ],
)
def test_which_host_is_this_machine(host: str | None, local: bool) -> None:
    assert is_local(host) is local


def postgres(config: dict[str, Any], options: dict[str, Any] | None = None) -> dict[str, Any]:
    made = PostgresConnector(ConnectorInit("wh", "db", "postgres", config, options or {}))
    return {name: value for name, value in made.connect_arguments().items() if name in {*CHECKED, "require_auth"}}


CAREFUL = {"require_auth": "!password,!md5"}


@pytest.mark.parametrize(
    ("config", "options", "expected"),
    [
        ({"host": "db"}, {}, CHECKED | CAREFUL),
        ({"url": "postgresql://etl@db/sales"}, {}, CHECKED | CAREFUL),
        ({"host": "db", "ssl": True}, {}, CHECKED | CAREFUL),
        ({"host": "localhost"}, {}, CAREFUL),
        ({}, {}, CAREFUL),
        ({"url": "postgresql:///sales?host=/run/postgresql"}, {}, CAREFUL),
        ({"url": "postgresql://etl@db/sales?hostaddr=127.0.0.1"}, {}, CAREFUL),
        ({"url": "postgresql:///sales?service=erp"}, {}, CHECKED | CAREFUL),
        ({"host": "db", "ssl": "require"}, {}, {"sslmode": "require"} | CAREFUL),
        ({"url": "postgresql://db/sales?sslmode=disable"}, {}, {"sslmode": "disable"} | CAREFUL),
        ({"url": "postgresql://db/sales?sslmode=verify-full"}, {}, CHECKED | CAREFUL),
        ({"host": "db"}, {"connect_args": {"sslmode": "prefer"}}, {"sslmode": "prefer"} | CAREFUL),
        ({"host": "db"}, {"connect_args": {"require_auth": "md5"}}, CHECKED | {"require_auth": "md5"}),
        (
            {"host": "db", "ssl": {"ca_file": __file__}},
            {},
            {"sslmode": "verify-full", "sslrootcert": __file__} | CAREFUL,
        ),
    ],
)
def test_postgres(config: dict[str, Any], options: dict[str, Any], expected: dict[str, Any]) -> None:
    assert postgres(config, options) == expected


def test_a_service_or_a_host_of_the_environment_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOST", "db.example.com")
    assert postgres({"database": "d"}) == CHECKED | CAREFUL
    monkeypatch.setenv("PGHOST", "/run/postgresql")
    assert postgres({"database": "d"}) == CAREFUL
    monkeypatch.setenv("PGSERVICE", "erp")
    assert postgres({"database": "d"}) == CHECKED | CAREFUL


def test_the_machine_has_no_authorities(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    nothing = ssl.DefaultVerifyPaths("", str(tmp_path), "", "", "", "")
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: nothing)
    with pytest.raises(ValueError, match=r"set config\.ssl\.ca_file"):
        authorities()
    (tmp_path / "ca-certificates.crt").write_text("")
    assert authorities() == str(tmp_path / "ca-certificates.crt")


@pytest.mark.parametrize(
    ("config", "options", "checked"),
    [
        ({"host": "db"}, {}, True),
        ({"url": "mysql://etl@db/shop"}, {}, True),
        ({"host": "db", "ssl": True}, {}, True),
        ({"host": "localhost", "ssl": True}, {}, True),
        ({}, {}, None),
        ({"host": "localhost"}, {}, None),
        ({"url": "mysql://etl@db/shop?unix_socket=/run/mysqld.sock"}, {}, None),
        ({"host": "db"}, {"connect_args": {"ssl_disabled": True}}, None),
        ({"host": "db", "ssl": "require"}, {}, False),
    ],
)
def test_mysql(config: dict[str, Any], options: dict[str, Any], checked: bool | None) -> None:
    made = MySQLConnector(ConnectorInit("shop", "db", "mysql", config, options))
    context = made.connect_arguments().get("ssl")
    assert (None if context is None else context.check_hostname) is checked


@pytest.mark.parametrize("where", ["url", "connect_args"])
def test_mysql_checks_the_server_where_only_its_authority_is_given(where: str) -> None:
    own = authorities()
    config = {"url": f"mysql://etl@db/shop?ssl_ca={own}"} if where == "url" else {"host": "db"}
    options = {"connect_args": {"ssl_ca": own}} if where == "connect_args" else {}
    made = MySQLConnector(ConnectorInit("shop", "db", "mysql", config, options)).connect_arguments()
    assert made["ssl"].verify_mode is ssl.CERT_REQUIRED
    assert "ssl_ca" not in made


def command(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """Exit code and output of `aetherflow`."""
    code = main([*arguments])
    return code, capsys.readouterr().out


def write(name: str, config: str, options: str = "") -> None:
    resource = f"wh: {{kind: db, driver: {name}, config: {{{config}}}, options: {{{options}}}}}"
    head = "version: 1\nflow: {id: f, workspace: {root: w}, state: {path: s.sqlite}}\n"
    Path("flow.yaml").write_text(f"{head}resources:\n  {resource}\njobs: []\n")


@pytest.mark.parametrize(
    ("name", "config", "options", "insecure"),
    [
        ("postgres", "host: db, ssl: disable", "", "config.ssl"),
        ("mysql", "host: db, ssl: false", "", "config.ssl"),
        ("postgres", "host: db, ssl: {mode: require}", "", "config.ssl.mode"),
        ("postgres", "url: 'postgresql://db/s?sslmode=prefer'", "", "config.url"),
        ("postgres", "host: db", "connect_args: {sslmode: allow}", "options.connect_args.sslmode"),
        ("postgres", "host: db", "connect_args: {require_auth: md5}", "options.connect_args.require_auth"),
        ("mysql", "host: db", "connect_args: {ssl_disabled: true}", "options.connect_args.ssl_disabled"),
        ("postgres", "host: db, ssl: {mode: verify-ca, ca_file: ca.pem}", "", ""),
        ("postgres", "url: 'postgresql://db/s?sslmode=verify-full'", "connect_args: {keepalives: 1}", ""),
        ("postgres", "host: db", "", ""),
    ],
)
def test_what_gives_it_up_is_insecure(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    config: str,
    options: str,
    insecure: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    write(name, config, options)
    Path("ca.pem").touch()
    _, said = command(capsys, "explain", "flow.yaml")
    found = [line.split()[1] for line in said.splitlines() if line.startswith("INSECURE: resources")]
    assert found == ([f"resources.wh.{insecure}"] if insecure else [])
    for verb in ("validate", "doctor"):
        code, said = command(capsys, verb, "flow.yaml")
        assert code == 0, said
        warned = [line for line in said.splitlines() if " AF1706 warning: " in line]
        assert len(warned) == bool(insecure)
        assert all(line.startswith("flow.yaml:4:") and f" resources.wh.{insecure} = " in line for line in warned)


@pytest.mark.parametrize(
    ("config", "told"),
    [("host: db", True), ("url: 'mysql://etl@db/s'", True), ("host: db, ssl: true", False), ("host: localhost", False)],
)
@pytest.mark.parametrize("version", ["0.9", "1.0"])
def test_an_upgrade_lists_the_servers_that_are_checked_now(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    config: str,
    told: bool,
    version: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    write("mysql", config)
    code, said = command(capsys, "doctor", "--upgrade-from", version, "flow.yaml")
    assert ("whose server it was" in said) is told, said
    assert code == (1 if told else 0)
