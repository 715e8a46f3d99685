"""Every kind of file that a flow may name: where it names it, and what the file holds.

`%PATH%` stands for the path, `%NAME%` for the kind's own name, `%HTTPS_PORT%` and the like for a place on a server.
"""

import io
from pathlib import Path
from typing import NamedTuple

import xlsxwriter
from pydantic import AliasChoices, Field

from aetherflow.core.api import (
    AssetPath,
    ConnectorBase,
    ConnectorConfig,
    ConnectorOptions,
    Step,
    StepInputs,
    register_connector,
    register_step,
)

CHILD = "version: 1\nflow: {id: child}\njobs: [{id: a, steps: []}]\n"


class _Part(StepInputs):
    source: AssetPath | None = Field(None, validation_alias=AliasChoices("source", "src"), description="x")


class _Reads(StepInputs):
    parts: dict[str, list[_Part]] | list[_Part] = Field([], description="x")
    peer: str | None = Field(None, description="x")


class _Config(ConnectorConfig):
    source: AssetPath = Field(description="x")


@register_step("test_reads_assets")
class ReadsAssets(Step[_Reads]):
    """A step of a plugin whose inputs name files deep inside, or a resource that does."""

    def run(self) -> dict[str, list[str]]:
        """Return the text of each file as `read`, in the order in which the inputs name them."""
        given = self.args.parts
        parts = given if isinstance(given, list) else [part for each in given.values() for part in each]
        files = [self.ctx.asset_path(part.source or "") for part in parts]
        if self.args.peer is not None:
            files.append(self.ctx.connectors.get(kind="test_assets", name=self.args.peer).file())
        return {"read": [file.read_text() for file in files]}


@register_connector("test_assets", "here")
class HasAsset(ConnectorBase[_Config, ConnectorOptions]):
    """A connector of a plugin that needs a file of the flow."""

    def file(self) -> Path:
        """The path of the file that `config.source` names."""
        assert self.ctx is not None
        return Path(self.ctx.asset_path(self.conf.source))


def workbook() -> bytes:
    """A workbook with the text TOTAL in a cell."""
    made = io.BytesIO()
    with xlsxwriter.Workbook(made, {"in_memory": True}) as book:
        book.add_worksheet("Report").write(0, 0, "TOTAL")
    return made.getvalue()


class Kind(NamedTuple):
    """One kind of file."""

    content: bytes = b""
    """What the file holds; for a kind with a server, that server's tests know it."""
    step: str = ""
    resource: str = ""
    flow: str = ""
    profile: str = ""
    field: tuple[str, ...] = ()
    """The inputs and settings of the product that it stands for; empty for other ways to reach such a field."""
    before: str = ""
    """A step that the kind's step needs."""
    code: str = "AF1219"
    setting: bool = False
    """True for a file of a resource, which may stand outside of the flow's folder."""
    local: bool = False
    """True for a file that may stand only on the machine that runs the flow."""
    inside: str = ""
    """For a kind that is a folder: the file in it."""
    server: bool = False


SQL = "type: db_extract, inputs: {resource: %NAME%, sql_file: %PATH%, output: %NAME%.tsv}"
DB = "{kind: db, driver: sqlite3, config: {path: x.db}}"
POST = "{kind: mail, driver: file, config: {path: outbox, from_addr: a@example.com}}"
MAIL = "type: mail_send, inputs: {resource: %NAME%, to: [b@example.com], subject: s, "
FILL = "inputs: {template_path: %PATH%, output: %NAME%.xlsx, targets: [{sheet: Report, "
ASK = "type: http_request, inputs: {resource: %NAME%, path: /echo}"
SELECT = "type: db_fetch_small, inputs: {resource: %NAME%, sql: SELECT 1 AS a}"
LIST = "type: sftp_list_files, inputs: {resource: %NAME%, remote_dir: '%SFTP_FOLDER%', on_empty: ok}"
REST = "{kind: rest, driver: httpx, config: {base_url: 'https://localhost:%HTTPS_PORT%', "
ONCE = "options: {connect_attempts: 1}}"
POSTGRES = "{kind: db, driver: postgres, config: {host: localhost, port: %POSTGRES_PORT%, database: postgres, "
MYSQL = "{kind: db, driver: mysql, config: {host: localhost, port: %MYSQL_PORT%, database: app, "
EXASOL = "{kind: db, driver: exasol, config: {host: localhost, port: %EXASOL_PORT%, user: '%EXASOL_USER%', "
ORACLE = "{kind: db, driver: oracledb, config: {user: etl, password: pw-of-etl, "
SFTP_HOST = "host: 127.0.0.1, port: %SFTP_PORT%, user: '%SFTP_USER%'"
SFTP = f"{{kind: sftp, driver: paramiko, config: {{{SFTP_HOST}, "


def _setting(*field: str, step: str, resource: str, local: bool = False, inside: str = "") -> Kind:
    """A file of a resource that has a server."""
    return Kind(step=step, resource=resource, field=field, setting=True, local=local, inside=inside, server=True)


def _ssl(config: str, field: str) -> dict[str, Kind]:
    """The three files of `ssl`, for a server that wants a certificate from the account `certified`."""
    given = {"ca_file": "%CA%", "cert_file": "%CLIENT_CERT%", "key_file": "%CLIENT_KEY%"}
    found = {}
    for name in given:
        block = ", ".join(f"{key}: {'%PATH%' if key == name else value}" for key, value in given.items())
        resource = f"{config}ssl: {{{block}}}}}, {ONCE}"
        local = name != "ca_file"
        found[f"{field}_{name}"] = _setting(f"db.{field} ssl.{name}", step=SELECT, resource=resource, local=local)
    return found


STEPS = {
    "sql_file": Kind(b"select 1 as a", SQL, DB, field=("db_extract sql_file",)),
    "stream": Kind(
        b"select 1 as a", SQL.replace("db_extract", "db_extract_stream"), DB, field=("db_extract_stream sql_file",)
    ),
    "copy": Kind(
        b"select 1 as a",
        "type: db_copy, inputs: {resource: %NAME%, sql_file: %PATH%, target: %NAME%, table: copied, "
        "create: if_missing, load_id: '{{run.id}}.copy'}",
        DB,
        field=("db_copy sql_file",),
    ),
    "reconcile": Kind(
        b"select 1 as a",
        "type: db_reconcile, inputs: {resource: %NAME%, sql_file: %PATH%, target: %NAME%, target_sql: select 1 as a, "
        "keys: [a]}",
        DB,
        field=("db_reconcile sql_file",),
    ),
    "execute": Kind(
        b"create table if not exists t (a int)",
        "type: db_execute, inputs: {resource: %NAME%, sql_file: %PATH%}",
        DB,
        field=("db_execute sql_file",),
    ),
    "fetch": Kind(
        b"select 1 as a",
        "type: db_fetch_small, inputs: {resource: %NAME%, sql_file: %PATH%}",
        DB,
        field=("db_fetch_small sql_file",),
    ),
    "check": Kind(
        b"select 1 where 1 = 0",
        "type: db_check, inputs: {resource: %NAME%, checks: [{sql_file: %PATH%}]}",
        DB,
        field=("db_check checks.sql_file",),
    ),
    "template": Kind(
        workbook(),
        "type: excel_validate_template, inputs: {template_path: %PATH%, required_names: TOTAL}",
        field=("excel_validate_template template_path",),
    ),
    "fill_small": Kind(
        workbook(),
        f"type: excel_fill_small, {FILL}cell: A3, rows_json: [[1]], columns_json: [a]}}], stamp: false}}",
        field=("excel_fill_small template_path",),
    ),
    "fill_from_file": Kind(
        workbook(),
        f"type: excel_fill_from_file, {FILL}cell: A3, mode: report_region, source_path: rows.tsv}}], stamp: false}}",
        before='type: file_write, inputs: {path: rows.tsv, content: "a\\n1\\n"}',
        field=("excel_fill_from_file template_path",),
    ),
    "html_file": Kind(b"<p>hello</p>", MAIL + "html_file: %PATH%}", POST, field=("mail_send html_file",)),
    "text_file": Kind(b"hello", MAIL + "text_file: %PATH%}", POST, field=("mail_send text_file",)),
    "flow": Kind(CHILD.encode(), "type: run_flow, inputs: {flow: %PATH%}", code="AF1215", field=("run_flow flow",)),
    "inner": Kind(b"select 1 as a", f"type: with_lock, inputs: {{lock_key: k, step: {{{SQL}}}}}", DB),
    "verify": Kind(b"select 1 as a", f"type: check_items, effect: once, verify: {{{SQL}}}, inputs: {{items: [1]}}", DB),
    "calendar": Kind(
        b"- 2026-03-05\n",
        'type: file_write, inputs: {path: day, content: "{{run.data_date.iso}}"}',
        flow="data_date: {shift: -1bd, calendar: %PATH%}",
        code="AF1804",
    ),
}
PLUGINS = {
    "plugin_step": Kind(b"x", "type: test_reads_assets, inputs: {parts: [{source: %PATH%}]}"),
    "plugin_map": Kind(b"x", "type: test_reads_assets, inputs: {parts: {one: [{src: %PATH%}]}}"),
    "plugin_resource": Kind(
        b"x",
        "type: test_reads_assets, inputs: {peer: %NAME%}",
        "{kind: test_assets, driver: here, config: {source: %PATH%}}",
        setting=True,
    ),
    "plugin_profile": Kind(
        b"x",
        "type: test_reads_assets, inputs: {peer: %NAME%}",
        "{kind: test_assets, driver: here, profile: of_%NAME%}",
        profile="{config: {source: %PATH%}}",
        setting=True,
    ),
}
SERVERS = {
    "ca_file": _setting("rest.httpx ca_file", step=ASK, resource=REST + "ca_file: %PATH%, client_cert: %CLIENT_PEM%}}"),
    "client_cert": _setting(
        "rest.httpx client_cert", step=ASK, resource=REST + "ca_file: %CA%, client_cert: %PATH%}}", local=True
    ),
    "client_key": _setting(
        "rest.httpx client_key",
        step=ASK,
        resource=REST + "ca_file: %CA%, client_cert: %CLIENT_CERT%, client_key: %PATH%}}",
        local=True,
    ),
    "profile": _setting(step=ASK, resource="{kind: rest, driver: httpx, profile: of_%NAME%}")._replace(
        profile="{config: {base_url: 'https://localhost:%HTTPS_PORT%', ca_file: %PATH%, client_cert: %CLIENT_PEM%}}"
    ),
    **_ssl(POSTGRES + "user: certified, ", "postgres"),
    **_ssl(MYSQL + "user: certified, ", "mysql"),
    **_ssl(EXASOL + "password: '%EXASOL_PASSWORD%', schema: s1, ", "exasol"),
    **_ssl(ORACLE + "host: localhost, port: %ORACLE_PORT%, database: x, ", "oracledb"),
    "config_dir": _setting(
        "db.oracledb config_dir",
        step=SELECT,
        resource=f"{ORACLE}dsn: sales, config_dir: %PATH%}}, {ONCE}",
        inside="tnsnames.ora",
    ),
    "wallet": _setting(
        "db.oracledb wallet_location",
        step=SELECT,
        resource=f"{ORACLE}host: localhost, port: %ORACLE_PORT%, database: x, ssl: true, wallet_location: %PATH%}}, "
        + ONCE,
        local=True,
        inside="ewallet.pem",
    ),
    "lib_dir": _setting(
        "db.oracledb lib_dir",
        step=SELECT,
        resource=f"{ORACLE}dsn: sales}}, options: {{connect_attempts: 1, lib_dir: %PATH%}}}}",
        local=True,
        inside="README",
    ),
    "lib_dir_in_block": _setting(
        "db.oracledb oracle",
        step=SELECT,
        resource=f"{ORACLE}dsn: sales}}, options: {{connect_attempts: 1, oracle: {{lib_dir: %PATH%}}}}}}",
        local=True,
        inside="README",
    ),
    "smtp": _setting(
        "mail.smtp ca_file",
        step=MAIL + "body: hello}",
        resource="{kind: mail, driver: smtp, config: {host: localhost, port: %SMTP_PORT%, tls: starttls, "
        "from_addr: a@example.com, user: '%SMTP_USER%', password: '%SMTP_PASSWORD%', ca_file: %PATH%}}",
    ),
    "key": _setting(
        "sftp.paramiko pkey_path", step=LIST, resource=SFTP + "known_hosts: %HOSTS%, pkey_path: %PATH%}}", local=True
    ),
    "known_hosts": _setting(
        "sftp.paramiko known_hosts", step=LIST, resource=SFTP + "pkey_path: %KEY%, known_hosts: %PATH%}}", local=True
    ),
    "certificate": _setting(
        "sftp.paramiko certificate",
        step=LIST,
        resource=SFTP + "known_hosts: %HOSTS%, pkey_path: %SIGNED_KEY%, certificate: %PATH%}}",
        local=True,
    ),
    "jump_key": _setting(
        "sftp.paramiko jump.pkey_path",
        step=LIST,
        resource=f"{SFTP}known_hosts: %HOSTS%, pkey_path: %KEY%, jump: {{{SFTP_HOST}, pkey_path: %PATH%}}}}}}",
        local=True,
    ),
    "jump_certificate": _setting(
        "sftp.paramiko jump.certificate",
        step=LIST,
        resource=f"{SFTP}known_hosts: %HOSTS%, pkey_path: %KEY%, "
        f"jump: {{{SFTP_HOST}, pkey_path: %SIGNED_KEY%, certificate: %PATH%}}}}}}",
        local=True,
    ),
}
KINDS = STEPS | PLUGINS | SERVERS
