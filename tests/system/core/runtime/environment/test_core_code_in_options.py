"""What an author of flows cannot do by settings, under a policy: run code, read other files, write other files."""

import json
import re
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from core_policy import administered

from aetherflow.core.contracts.fields import AssetFile, Holds
from aetherflow.core.host.asset_fields import classes_in
from aetherflow.core.host.importing import import_target
from aetherflow.core.host.metadata import installed_in
from aetherflow.core.host.names import BUNDLE_SOURCES, CONNECTORS
from aetherflow.core.testing.describe import with_value

if TYPE_CHECKING:
    from core_project import Project

POLICY = """\
version: 1
mode: enterprise
roots: {{work: [{site}/work], state: [{site}/state]}}
paths: {{read: [{site}/in], write: [{site}/out]}}
steps: {{deny: ["external.*"]}}
"""
PROJECT = """\
version: 1
paths: {{read: ['{site}/in']}}
policy: {{zip_drivers: [os, external]}}
"""
SECRET = "topsecret-of-another-team"


class Site(NamedTuple):
    """A machine with a policy: what was delivered, what others keep, and a project."""

    folder: Path
    policy: Path
    project: "Project"

    def flow(self, resource: dict[str, Any], step: dict[str, Any], **flow: Any) -> Path:
        document = {
            "version": 1,
            "flow": {"id": "one", **flow},
            "resources": {"r": resource},
            "jobs": [{"id": "a", "steps": [{"id": "b", **step}]}],
        }
        return self.project.write(json.dumps(document).replace("SITE", str(self.folder)))


@pytest.fixture
def site(project: "Project", tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    folder = tmp_path / "site"
    for name in ("work", "state", "in", "out", "theirs", "libraries"):
        (folder / name).mkdir(parents=True)
    (folder / "theirs/secret").write_text(f"{SECRET}\n")
    (folder / "in/libclntsh.so").write_text("of the author")
    script = folder / "in/tool"
    script.write_text(f"#!/bin/sh\ntouch {folder}/theirs/harm\n")
    script.chmod(0o755)
    with zipfile.ZipFile(folder / "in/one.zip", "w") as archive:
        archive.writestr("a", "b")
    policy = administered(folder, POLICY, monkeypatch)
    project.write(PROJECT.format(site=folder), "aetherflow.yaml")
    return Site(folder, policy, project)


def db(driver: str, config: dict[str, Any], options: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"kind": "db", "driver": driver, "config": config, "options": {"connect_attempts": 1, **(options or {})}}


def args(**given: Any) -> dict[str, Any]:
    return {"connect_args": given}


QUERY = {"type": "db_fetch_small", "inputs": {"resource": "r", "sql": "SELECT 1"}}
UNZIP = {"type": "unzip", "inputs": {"resource": "r", "archives": "SITE/in/one.zip", "dest_dir": "x"}}
HERE = {"host": "127.0.0.1", "port": 9, "user": "u", "password": "some-password"}
PLAIN = {"kind": "db", "options": {}}

CODE = {
    "oracle": (db("oracledb", HERE, {"lib_dir": "SITE/in"}), QUERY, "options.lib_dir"),
    "oracle, too": (db("oracledb", HERE, {"oracle": {"lib_dir": "SITE/in"}}), QUERY, "options.oracle.lib_dir"),
    "oracle, handle": (db("oracledb", HERE, args(handle=4096)), QUERY, "options.connect_args.handle"),
    "oracle, dsn": (db("oracledb", {"dsn": "config-file://SITE/in/x.json", "user": "u"}), QUERY, "config.dsn"),
    "engine of OpenSSL": (db("postgres", HERE, args(sslkey="SITE/in/x:k")), QUERY, "options.connect_args.sslkey"),
    "engine in url": (db("postgres", {"url": "postgresql://h/d?sslkey=x:k"}), QUERY, "config.url.sslkey"),
    "option file": (db("mysql", HERE, args(read_default_file="SITE/in/x")), QUERY, "connect_args.read_default_file"),
    "option file in url": (
        db("sqlalchemy", {"url": "mysql+pymysql://u@127.0.0.1:9/d?read_default_file=SITE/in/x"}),
        QUERY,
        "config.url.read_default_file",
    ),
    "oracle, names": (db("oracledb", {**HERE, "config_dir": "SITE/in"}), QUERY, "config.config_dir"),
    "oracle, names, too": (db("oracledb", HERE, args(config_dir="SITE/in")), QUERY, "options.connect_args.config_dir"),
    "server asks for files": (db("mysql", HERE, args(local_infile=True)), QUERY, "options.connect_args.local_infile"),
    "flags": (db("mysql", HERE, args(client_flag=128)), QUERY, "options.connect_args.client_flag"),
    "program of archives": (
        {"kind": "archive", "driver": "os", "config": {"unzip_cmd": "SITE/in/tool"}}, UNZIP, "config.unzip_cmd",
    ),
    "command of archives": (
        {"kind": "archive", "driver": "external", "config": {"unzip_cmd": ["SITE/in/tool", "{dest}"]}},
        UNZIP,
        "config.unzip_cmd",
    ),
    "shell": (
        {"kind": "archive", "driver": "external", "config": {"unzip_cmd": ["sh", "SITE/in/tool"]}},
        UNZIP,
        "config.unzip_cmd",
    ),
    "extension": (
        {**PLAIN, "driver": "duckdb", "config": {}, "options": {"extensions": ["shellfs"]}},
        QUERY,
        "options.extensions[0]",
    ),
    "repository": (
        {**PLAIN, "driver": "duckdb", "config": {}, "options": {"pragmas": {"custom_extension_repository": "SITE/in"}}},
        QUERY,
        "options.pragmas.custom_extension_repository",
    ),
    "odbc": (db("sqlalchemy", {"url": "mssql+pyodbc://h/d?driver=SITE/in/x.so"}), QUERY, "config.url.driver"),
    "odbc string": (
        db("sqlalchemy", {"url": "mssql+pyodbc:///?odbc_connect=DRIVER%3D/x.so"}), QUERY, "config.url.odbc_connect",
    ),
    "plugin": (db("sqlalchemy", {"url": "sqlite:///x.db?plugin=p"}), QUERY, "config.url.plugin"),
    "plugins of mysqlclient": (
        db("sqlalchemy", {"url": "mysql+mysqldb://h/d?plugin_dir=SITE/in"}), QUERY, "config.url",
    ),
    "any dialect": (db("sqlalchemy", {"url": "shillelagh://x"}), QUERY, "config.url"),
}  # fmt: skip
READS = {
    "passfile": (db("postgres", HERE, args(passfile="SITE/theirs/secret")), "connect_args.passfile"),
    "passfile in url": (db("postgres", {"url": "postgresql://h/d?passfile=SITE/theirs/secret"}), "config.url.passfile"),
    "key": (db("mysql", {**HERE, "ssl": {"key_file": "SITE/theirs/secret"}}), "config.ssl.key_file"),
    "key, by a way up": (
        db("mysql", {**HERE, "ssl": {"ca_file": "certs/../../site/theirs/secret"}}),
        "config.ssl.ca_file",
    ),
    "nested": (db("mysql", HERE, args(ssl={"ca": "SITE/theirs/secret"})), "connect_args.ssl.ca"),
    "wallet": (db("oracledb", HERE, args(wallet_location="SITE/theirs")), "connect_args.wallet_location"),
}
WRITES = {
    "keys of TLS": (db("postgres", HERE, args(sslkeylogfile="SITE/theirs/harm")), "connect_args.sslkeylogfile"),
    "log of Exasol": (db("exasol", HERE, args(debug=True, debug_logdir="SITE/theirs")), "connect_args.debug_logdir"),
    "database": ({**PLAIN, "driver": "sqlite3", "config": {"path": "SITE/theirs/harm"}}, "config.path"),
    "database as url": ({**PLAIN, "driver": "sqlite3", "config": {"url": "sqlite:///SITE/theirs/harm"}}, "config.url"),
    "database of SQLAlchemy": (db("sqlalchemy", {"url": "sqlite:///SITE/theirs/harm"}), "config.url"),
    "DuckDB": ({**PLAIN, "driver": "duckdb", "config": {"path": "SITE/theirs/harm"}}, "config.path"),
    "profile": (
        {**PLAIN, "driver": "duckdb", "config": {},
         "options": {"pragmas": {"enable_profiling": "json", "profiling_output": "SITE/theirs/harm"}}},
        "options.pragmas.profiling_output",
    ),
}  # fmt: skip


def refused(site: Site, path: Path, setting: str, *commands: str) -> str:
    """What the commands say; they refuse the setting, and nothing was read, written or run."""
    told = ""
    for command in commands:
        done = site.project.cli(command, str(path))
        told = done.out + done.err
        assert done.code == 2, done
        assert "AF1610 resources.r." in told, told
        assert setting in told, told
        assert SECRET not in told
        assert "Traceback" not in told
    assert sorted(each.name for each in (site.folder / "theirs").iterdir()) == ["secret"]
    return told


@pytest.mark.parametrize("attack", CODE)
def test_code_in_a_setting_is_the_administrators(site: Site, attack: str) -> None:
    resource, step, setting = CODE[attack]
    told = refused(site, site.flow(resource, step), setting, "validate", "run")
    assert "names code, which loosens the policy: " in told
    assert "libclntsh" not in told  # which its library would have loaded


@pytest.mark.parametrize("attack", READS)
def test_a_setting_reads_no_file_of_others(site: Site, attack: str) -> None:
    resource, setting = READS[attack]
    assert "fixes paths.read: " in refused(site, site.flow(resource, QUERY), setting, "validate", "run")


@pytest.mark.parametrize("attack", WRITES)
def test_a_setting_writes_no_file_of_others(site: Site, attack: str) -> None:
    resource, setting = WRITES[attack]
    assert "fixes paths.write: " in refused(site, site.flow(resource, QUERY), setting, "validate", "run")


def test_a_value_that_only_a_run_knows_is_refused_by_the_run(site: Site) -> None:
    resource = {"kind": "archive", "driver": "os", "config": {"unzip_cmd": "{{params.tool}}"}}
    params = {"tool": {"type": "string", "default": f"{site.folder}/in/tool"}}
    path = site.flow(resource, UNZIP, params=params)
    assert site.project.cli("validate", str(path)).code == 0
    refused(site, path, "config.unzip_cmd", "run")


def test_a_link_does_not_lead_out(site: Site) -> None:
    (site.folder / "in/key").symlink_to(site.folder / "theirs/secret")
    resource = db("postgres", HERE, args(passfile="SITE/in/key"))
    refused(site, site.flow(resource, QUERY), "connect_args.passfile", "validate", "run")


def test_a_profile_is_held_to_the_policy(site: Site) -> None:
    site.project.write(f"bad: {{config: {{unzip_cmd: {site.folder}/in/tool}}}}\n", "profiles.yaml")
    project = PROJECT.format(site=site.folder)
    site.project.write(f"{project}profiles_file: profiles.yaml\n", "aetherflow.yaml")
    resource = {"kind": "archive", "driver": "os", "profile": "bad"}
    assert "profiles.yaml:1:" in refused(site, site.flow(resource, UNZIP), "config.unzip_cmd", "validate", "run")


def test_a_source_of_a_bundle_reads_no_folder_of_others(site: Site) -> None:
    git = "file://SITE/theirs", "../site/theirs"
    for source in (
        {"type": "filesystem", "base_path": "SITE/theirs"},
        {"type": "archive", "base_path": "SITE/theirs/secret"},
        *({"type": "git", "url": url} for url in git),
    ):
        bundle = {"id": "b", "source": source, "layout": {"profiles_file": "p.yaml"}, "entry_flow": "flow.yaml"}
        manifest = {"version": 1, "bundle": bundle}
        text = json.dumps(manifest).replace("SITE", str(site.folder))
        path = site.project.write(text, "bundle.yaml")
        done = site.project.cli("bundle", "sync", "--bundle-manifest", str(path))
        told = done.out + done.err
        assert (done.code, "AF1610 bundle.source." in told, "fixes paths.read: " in told) == (2, True, True), told
        assert SECRET not in told


def test_what_the_administrator_names_may_be_used(site: Site) -> None:
    tool = site.folder / "libraries/tool"
    tool.write_text("#!/bin/sh\ntouch $1/unpacked\n")
    tool.chmod(0o755)
    (site.folder / "out/tool").symlink_to(tool)
    resource = {"kind": "archive", "driver": "external", "config": {"unzip_cmd": ["SITE/libraries/tool", "{dest}"]}}
    path = site.flow(resource, UNZIP)
    policy = site.policy.read_text()
    site.policy.write_text(f"{policy}plugins: {{paths: ['{site.folder}/libraries']}}\n")
    assert site.project.cli("run", str(path)).code == 0
    site.policy.write_text(f"{policy}plugins: {{paths: ['{site.folder}']}}\n")  # with folders that flows write
    written = site.folder / "out/mine"
    written.write_text(tool.read_text())
    written.chmod(0o755)
    resource["config"] = {"unzip_cmd": ["SITE/out/mine", "{dest}"]}
    refused(site, site.flow(resource, UNZIP), "config.unzip_cmd", "validate", "run")
    site.policy.write_text(f'{policy}code: ["archive:external config.*"]\n')
    assert site.project.cli("validate", str(path)).code == 0


@pytest.mark.parametrize(
    "resource",
    [
        db(
            "postgres",
            {"url": "postgresql://h/d?connect_timeout=3&sslmode=verify-full"},
            args(keepalives=1, options="x"),
        ),
        db(
            "mysql", {**HERE, "ssl": {"ca_file": "SITE/in/ca.pem", "key_file": "keys/own.pem"}}, args(charset="utf8mb4")
        ),
        db("sqlalchemy", {"url": "mssql+pyodbc://u@h/d?driver=ODBC+Driver+18+for+SQL+Server&Encrypt=yes"}),
        db("sqlalchemy", {"url": "postgresql+psycopg://u@h/d?application_name=x"}),
        db("oracledb", {"dsn": "db1:1521/sales"}, args(program="x")),
        {**PLAIN, "driver": "sqlite3", "config": {"path": "own.db"}, "options": {"pragmas": {"foreign_keys": True}}},
        {**PLAIN, "driver": "sqlite3", "config": {"path": "SITE/out/own.db"}},
        {**PLAIN, "driver": "duckdb", "config": {}, "options": {"pragmas": {"memory_limit": "1GB", "TimeZone": "UTC"}}},
    ],
)
def test_what_harms_nobody_is_not_refused(site: Site, resource: dict[str, Any]) -> None:
    done = site.project.cli("validate", str(site.flow(resource, QUERY)))
    assert "AF1610" not in done.out + done.err


SWITCH = "SELECT current_setting('allow_community_extensions') AS allowed"
"""Extensions of anyone, of which some run programs: `LOAD shellfs`."""


def test_sql_of_duckdb_loads_no_extension_of_anyone(site: Site) -> None:
    duckdb = {"kind": "db", "driver": "duckdb", "config": {}}
    for policy, condition in ((True, "false"), (False, "true")):
        if not policy:
            site.policy.unlink()
        steps = [
            {"id": "a", "type": "db_fetch_small", "inputs": {"resource": "r", "sql": SWITCH}},
            {"id": "b", "type": "assert", "inputs": {"condition": f"steps.a.first.allowed == {condition}"}},
        ]
        document = {
            "version": 1,
            "flow": {"id": "one"},
            "resources": {"r": duckdb},
            "jobs": [{"id": "a", "steps": steps}],
        }
        done = site.project.cli("run", str(site.project.write(json.dumps(document))))
        assert done.code == 0, done
    again = {"type": "db_execute", "inputs": {"resource": "r", "sql": "SET allow_community_extensions = true"}}
    site.policy.write_text(POLICY.format(site=site.folder))
    done = site.project.cli("run", str(site.flow(duckdb, again)))
    assert (done.code, "Cannot change allow_community_extensions" in done.out + done.err) == (1, True), done


def test_without_a_policy_nothing_is_refused(site: Site) -> None:
    site.policy.unlink()
    resources: list[Any] = [each[0] for each in (*CODE.values(), *READS.values(), *WRITES.values())]
    for resource in resources:
        done = site.project.cli("validate", str(site.flow(resource, QUERY)))
        assert "AF1610" not in done.out + done.err


def test_an_option_file_that_is_none_shows_none_of_its_lines(site: Site) -> None:
    site.policy.unlink()
    resource = db("mysql", HERE, args(read_default_file="SITE/theirs/secret"))
    done = site.project.cli("run", str(site.flow(resource, QUERY)))
    assert (done.code, SECRET in done.out + done.err) == (1, False)
    assert "is not an option file of MySQL" in done.out + done.err


def marked(group: str) -> list[tuple[str, str, str, Any]]:
    """Name, section, field and class of whatever names a file or code, from the models of all distributions."""
    found = []
    for entry in installed_in(group):
        cls = import_target(entry)
        for section, model in (("config", cls.Config), ("options", getattr(cls, "Options", None))):
            for path, mark in classes_in(model) if model is not None else ():
                if isinstance(mark, AssetFile) or mark in (Holds.READS, Holds.WRITES, Holds.CODE):
                    found.append((entry.name, section, ".".join(path), mark))
    return found


FIXED = {Holds.WRITES: "fixes paths.write: ", Holds.CODE: "fixes plugins.paths: "}
SETTINGS, KEYS_OF_SOURCES = marked(CONNECTORS), marked(BUNDLE_SOURCES)


def test_there_are_settings_to_attack() -> None:
    assert (len(SETTINGS) >= 35, len(KEYS_OF_SOURCES) >= 2) == (True, True)


@pytest.mark.parametrize(("name", "section", "field", "mark"), SETTINGS, ids=str)
def test_each_setting_with_a_file_or_code_is_held(site: Site, name: str, section: str, field: str, mark: Any) -> None:
    kind, _, driver = name.partition(".")
    given = with_value({"oracle": {"lib_dir": ""}} if field.startswith("oracle") else {}, field, "SITE/theirs/secret")
    path = site.flow({"kind": kind, "driver": driver, section: given}, QUERY)
    place = re.sub(r"\.\[\]", "[0]", field).replace("oracle.*", "oracle.lib_dir")
    told = refused(site, path, f"resources.r.{section}.{place}", "validate")
    assert FIXED.get(mark, "fixes paths.read: ") in told


@pytest.mark.parametrize(("name", "section", "field", "mark"), KEYS_OF_SOURCES)
def test_each_key_of_a_source_is_held(site: Site, name: str, section: str, field: str, mark: Any) -> None:
    assert (section, mark) == ("config", Holds.READS)
    source = {"type": name, **with_value({}, field, f"{site.folder}/theirs/secret")}
    bundle = {"id": "b", "source": source, "layout": {"profiles_file": "p.yaml"}, "entry_flow": "flow.yaml"}
    path = site.project.write(json.dumps({"version": 1, "bundle": bundle}), "bundle.yaml")
    done = site.project.cli("bundle", "sync", "--bundle-manifest", str(path))
    assert (done.code, f"AF1610 bundle.source.{field}" in done.err, "fixes paths.read: " in done.err) == (2, True, True)
