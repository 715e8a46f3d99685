"""Every built-in step in enterprise mode, watched by strace: which files it changes, and which it reads.

What is changed stands in the roots of the policy; what is read stands there, beside the flow, or in the list `READ`. A
step of ours without a case fails the test.
"""

import json
import os
import re
import shutil
import sqlite3
import ssl
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import openpyxl
import pytest

from calls import Effect, effects
from db_places import mysql_place, postgres_place
from mail_server import PASSWORD, USER
from services import need
from transfer_peers import sftp_resource, smb_resource

pytestmark = pytest.mark.xdist_group("confined")  # one worker starts the servers

Step = tuple[str, dict[str, Any]]
"""A type and its inputs."""
Place = tuple[dict[str, Any], str]
"""The resources of a flow, and the folder on the server."""

PROGRAM = """\
import os, sys
from aetherflow.core.base import owners
from aetherflow.core.runtime.environment import administrator
administrator.POLICY_FILE, owners.ROOT = sys.argv[1], os.geteuid()
from aetherflow.core.cli import main
sys.exit(main(sys.argv[2:]))
"""
"""The command, with the policy of the test in the place of the machine's."""
WATCHED = "trace=%file,bind,fchmod,fchown,ftruncate,fsetxattr"
BAITS = (
    ".aws/credentials", ".config/aetherflow/aetherflow.yaml", ".config/git/config", ".duckdbrc", ".gitconfig",
    ".my.cnf", ".mylogin.cnf", ".netrc", ".pg_service.conf", ".pgpass", ".postgresql/root.crt", ".smbcredentials",
    ".sqliterc", ".ssh/config", ".ssh/id_ed25519", ".ssh/id_rsa", ".ssh/known_hosts", "aetherflow.yaml",
)  # fmt: skip
"""Files in the account's home that a library might read by itself."""
READ = (
    *("/usr/lib", "/usr/lib64", "/lib", "/lib64", "/etc/ld.so.cache", sys.prefix, sys.base_prefix),  # libraries
    *("/usr/share/zoneinfo", "/etc/localtime", "/etc/locale.alias", "/usr/share/locale", "/usr/share/mime"),
    "/etc/mime.types",  # of attachments
    *("/etc/ssl", "/usr/share/ca-certificates", "/usr/local/share/ca-certificates"),  # whom TLS trusts
    *("/etc/resolv.conf", "/etc/hosts", "/etc/host.conf", "/etc/nsswitch.conf", "/etc/gai.conf", "/etc/services"),
    *("/etc/passwd", "/etc/group"),  # the name of the account, for `actor` and to judge private groups
    *("/dev/null", "/dev/urandom", "/proc/self", "/proc/thread-self"),
    *("/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/sys", "/sys/fs/cgroup", "/sys/devices/system"),
    "/sys/kernel/mm",  # as the line above: the size of thread pools and heaps, asked by Arrow, DuckDB and malloc
)
"""Besides the roots; what holds no data of anybody."""
GUARD = re.compile(r"/proc/\d+/(stat|environ|cmdline)")
"""By which the guard of a step's programs finds those that have left their group."""
WRITTEN = ("/dev/null", "/proc/self/oom_score_adj")
"""Besides the roots; the second one says whom to end first where memory is short."""


class Site(NamedTuple):
    """An installation with a policy, and a project that uses all that the policy admits."""

    folder: Path

    def laid(self) -> "Site":
        """Make it."""
        for name in ("work", "state", "out", "in", "flows", "home"):
            (self.folder / name).mkdir(parents=True)
        for bait in BAITS:
            path = self.folder / "home" / bait
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("")
        paths = {"read": [str(self.folder / "in")], "write": [str(self.folder / "out")]}
        roots = {name: [str(self.folder / name)] for name in ("work", "state")}
        self._write("policy.yaml", {"version": 1, "mode": "enterprise", "roots": roots, "paths": paths})
        self._write("flows/aetherflow.yaml", {"paths": paths})
        inner = [{"id": "s", "type": "sleep", "inputs": {"seconds": 0}}]
        self._write("flows/inner.yaml", {"version": 1, "flow": {"id": "i"}, "jobs": [{"id": "j", "steps": inner}]})
        (self.folder / "in" / "a.csv").write_text("id,name\n1,one\n2,two\n")
        book = openpyxl.Workbook()
        assert book.active is not None
        book.active.append(["id", "name"])
        book.save(self.folder / "flows" / "t.xlsx")
        return self

    def beside(self, file: str | Path) -> str:
        """Copy a key or a certificate beside the flow; returns its name."""
        return Path(shutil.copy(file, self.folder / "flows")).name

    def run(self, resources: dict[str, Any], steps: Sequence[Step]) -> tuple[dict[str, str], list[Effect]]:
        """Run the steps in one flow; returns the status of each step type, and what the run did to files."""
        listed = [{"id": kind.replace(".", "_"), "type": kind, "inputs": inputs} for kind, inputs in steps]
        flow = {"version": 1, "flow": {"id": "f"}, "resources": resources, "jobs": [{"id": "j", "steps": listed}]}
        self._write("flows/flow.yaml", flow)
        log = self.folder / "calls"
        (strace,) = need("strace")
        done = subprocess.run(
            [
                *(strace, "-f", "--seccomp-bpf", "-y", "-qq", "-s", "4096", "-o", str(log), "-e", WATCHED),
                *(sys.executable, "-c", PROGRAM, str(self.folder / "policy.yaml"), "run", "flows/flow.yaml"),
            ],
            cwd=self.folder,
            env={
                "HOME": str(self.folder / "home"),
                "PATH": os.environ["PATH"],
                "PYTHONDONTWRITEBYTECODE": "1",  # root compiles an installation, and the account cannot write it
            },
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert log.exists(), done
        state = self.folder / "state" / "f.sqlite"
        assert state.exists(), done
        with closing(sqlite3.connect(state)) as opened:
            rows = dict(opened.execute("SELECT step_id, status FROM step_runs"))
        found = {kind: rows.get(kind.replace(".", "_"), "") for kind, _ in steps}
        if set(found.values()) != {"SUCCESS"}:
            print(done.stdout, done.stderr)
        return found, effects(log, self.folder)

    def outside(self, found: Sequence[Effect], root: Path) -> list[Effect]:
        """What was done to other files than those that may be changed, or read."""
        mine = [str(self.folder / name) for name in ("work", "state", "out")]
        beside = [str(self.folder / name) for name in ("in", "flows", "policy.yaml")]
        paths = ssl.get_default_verify_paths()
        known = (*READ, paths.openssl_cafile, paths.openssl_capath, *map(str, root.glob("aetherflow-*/src")))
        program = os.path.realpath(shutil.which("true") or "")
        changed = [*mine, *WRITTEN]
        read = [*mine, *beside, program, *known, *map(os.path.realpath, known)]
        return [
            each
            for each in found
            if not _is_below(each.path, changed if each.kind == "write" else read)
            and not (each.kind == "read" and GUARD.fullmatch(each.path))
        ]

    def _write(self, name: str, content: Any) -> None:
        (self.folder / name).write_text(json.dumps(content))


def _is_below(path: str, folders: Sequence[str]) -> bool:
    """Whether a path leads to one of the folders or into it; as text, `Path` takes half of a test here."""
    return f"{path}/".startswith(tuple(f"{folder}/" for folder in folders))


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path / "site").laid()


class Case(NamedTuple):
    """One flow."""

    steps: Callable[[Site, str], list[Step]]
    place: Callable[[Site, pytest.FixtureRequest], Place]


def files(site: Site, base: str) -> list[Step]:
    del base
    given, out = f"{site.folder}/in/a.csv", f"{site.folder}/out"
    cell = {"name": "a", "sheet": "Sheet", "anchor": "A2"}
    rows = {"rows_json": [[1, "one"]], "columns_json": ["id", "name"]}
    return [
        ("file_write", {"path": "b.csv", "content": "id,name\n3,three\n"}),
        ("file_copy", {"src": given, "dest_dir": out, "verify": "sha256"}),
        ("file_move", {"src": f"{out}/a.csv", "dest_dir": f"{out}/moved"}),
        ("file_find", {"path": f"{out}/moved", "pattern": "*.csv", "new_only": True}),
        ("file_hash", {"path": "b.csv", "dest": "SUMS"}),
        ("file_wait", {"path": given}),
        ("file_quarantine", {"item": given, "folder": f"{out}/bad", "error": "it is late"}),
        ("file_delete", {"path": "b.csv"}),
        ("zip", {"items": [given], "src_dir": f"{site.folder}/in", "dest_path": "a.zip"}),
        ("archive_list", {"archive": "a.zip"}),
        ("archive_test", {"archives": "a.zip"}),
        ("unzip", {"archives": "a.zip", "dest_dir": f"{out}/unpacked"}),
        ("excel_write", {"output": "a.xlsx", "tables": [{"name": "A", "source_path": given}]}),
        ("excel_read", {"source_path": "a.xlsx", "sheet": "A", "output": "read.csv"}),
        ("file_convert", {"path": given, "output": f"{out}/rows.xlsx"}),
        ("file_compare", {"path": given, "other": f"{out}/rows.xlsx"}),
        ("file_split", {"path": given, "dest_dir": "parts", "by": "id"}),
        ("excel_validate_template", {"template_path": "t.xlsx", "required_names": ["id"]}),
        ("excel_fill_small", {"template_path": "t.xlsx", "output": "s.xlsx", "targets": [{**cell, **rows}]}),
        (
            "excel_fill_from_file",
            {"template_path": "t.xlsx", "output": "f.xlsx", "targets": [{**cell, "source_path": given}]},
        ),
        ("external.process", {"command": ["true"]}),
        ("run_flow", {"flow": "inner.yaml"}),
        ("with_lock", {"lock_key": "k", "step": {"type": "sleep", "inputs": {"seconds": 0}}}),
        ("check_items", {"items": [1]}),
        ("sleep", {"seconds": 0}),
        ("assert", {"condition": "run.attempt >= 1"}),
        ("fail", {"message": "as it should"}),
    ]


def database(site: Site, base: str) -> list[Step]:
    del base
    query = {"resource": "db", "sql": "SELECT * FROM t"}
    return [
        ("db_execute", {"resource": "db", "sql": "CREATE TABLE t (id INTEGER PRIMARY KEY, name VARCHAR(99))"}),
        ("db_load", {"resource": "db", "table": "t", "path": f"{site.folder}/in/a.csv"}),
        ("db_copy", {"resource": "db", "from_table": "t", "target": "db", "table": "u", "create": "if_missing"}),
        ("db_list_tables", {"resource": "db"}),
        ("db_reconcile", {"resource": "db", "from_table": "t", "target": "db", "table": "u", "keys": ["id"]}),
        ("db_check", {"resource": "db", "table": "t", "checks": [{"row_count": 2}]}),
        ("db_fetch_small", query),
        ("db_extract", {**query, "output": f"{site.folder}/out/t.parquet"}),
        ("db_extract_stream", {**query, "output": "t.csv"}),
    ]


def peer(shape: str) -> Callable[[Site, str], list[Step]]:
    """The steps with remote files whose names have this shape."""

    def steps(site: Site, base: str) -> list[Step]:
        there = {"resource": "peer", "remote_dir": base}
        return [
            (shape.format("upload"), {**there, "items": [f"{site.folder}/in/a.csv"]}),
            (shape.format("list"), {**there, "new_only": True}),
            (shape.format("download"), {"resource": "peer", "files": [f"{base}/a.csv"], "dest_dir": "got"}),
            (shape.format("move"), {"resource": "peer", "files": [f"{base}/a.csv"], "dest_dir": f"{base}/done"}),
            (shape.format("delete"), {"resource": "peer", "files": [f"{base}/done/a.csv"]}),
        ]

    return steps


def http(site: Site, base: str) -> list[Step]:
    del base
    listed = {"pages": {"type": "page"}, "items": "items", "output": "l.jsonl"}
    return [
        ("http_request", {"resource": "api", "path": "/echo", "output": "echo.json"}),
        ("http_download", {"resource": "api", "path": "/file/100000", "output": f"{site.folder}/out/got"}),
        ("http_upload", {"resource": "api", "path": "/echo", "file": f"{site.folder}/in/a.csv"}),
        ("http_paginate", {"resource": "api", "path": "/list/page", **listed}),
        ("http_poll", {"resource": "api", "path": "/job/0", "until": "state == 'done'", "deadline_seconds": 60}),
        ("webhook_notify", {"resource": "api", "path": "/hook", "text": "done"}),
    ]


def mail(site: Site, base: str) -> list[Step]:
    del base
    inputs = {"resource": "post", "to": ["b@example.com"], "subject": "it", "body": "ran"}
    return [("mail_send", {**inputs, "attachments": [f"{site.folder}/in/a.csv"]})]


def nowhere(site: Site, request: pytest.FixtureRequest) -> Place:
    del site, request
    return {"archive_default": {"kind": "archive", "driver": "zipfile"}}, ""


def database_file(driver: str) -> Callable[[Site, pytest.FixtureRequest], Place]:
    return lambda _, __: ({"db": {"kind": "db", "driver": driver, "config": {"path": "db"}}}, "")


def on_sshd(site: Site, request: pytest.FixtureRequest) -> Place:
    server = request.getfixturevalue("sshd")
    resource = sftp_resource(server)
    resource["config"]["pkey_path"] = site.beside(server.key)
    return {"peer": resource}, str(server.root / "confined")


def on_http(site: Site, request: pytest.FixtureRequest) -> Place:
    url, ca = request.getfixturevalue("http_api").url, request.getfixturevalue("http_authority").file
    config = {"base_url": url, "ca_file": site.beside(ca)}
    return {"api": {"kind": "rest", "driver": "httpx", "config": config}}, ""


def on_smtp(site: Site, request: pytest.FixtureRequest) -> Place:
    server = request.getfixturevalue("start_mail_server")()
    config = {"host": "localhost", "port": server.port, "tls": "starttls", "user": USER, "password": PASSWORD}
    config |= {"ca_file": site.beside(server.ca_file), "from_addr": "a@example.com"}
    return {"post": {"kind": "mail", "driver": "smtp", "config": config}}, ""


CASES = {
    "files": Case(files, nowhere),
    "sqlite3": Case(database, database_file("sqlite3")),
    "duckdb": Case(database, database_file("duckdb")),
    "postgres": Case(
        database, lambda _, to: ({"db": postgres_place(to.getfixturevalue("postgres"), "confined").resource}, "")
    ),
    "mariadb": Case(database, lambda _, to: ({"db": mysql_place(to.getfixturevalue("mariadb")).resource}, "")),
    "sftp": Case(peer("sftp_{}_files"), on_sshd),
    "remote": Case(peer("remote_{}"), on_sshd),
    "smb": Case(peer("smb_{}_files"), lambda _, to: ({"peer": smb_resource(to.getfixturevalue("smbd"))}, "confined")),
    "http": Case(http, on_http),
    "mail": Case(mail, on_smtp),
}


@pytest.mark.parametrize("name", CASES)
def test_a_run_stays_in_its_roots(site: Site, root: Path, name: str, request: pytest.FixtureRequest) -> None:
    case = CASES[name]
    resources, base = case.place(site, request)
    status, found = site.run(resources, case.steps(site, base))
    assert status == {kind: "FAILED" if kind == "fail" else "SUCCESS" for kind in status}
    assert site.outside(found, root) == []
    # the trace has all of the run: its state, and what its steps made
    changed = {each.path for each in found if each.kind == "write"}
    made = {str(path) for name in ("state", "out") for path in (site.folder / name).rglob("*") if path.is_file()}
    assert str(site.folder / "state" / "f.sqlite") in changed
    assert made <= changed


def test_every_step_has_a_case() -> None:
    ours = {entry.name for entry in metadata.entry_points(group="aetherflow.first_party")}
    steps = metadata.entry_points(group="aetherflow.steps")
    names = {entry.name for entry in steps if entry.dist is not None and entry.dist.name in ours}
    assert {kind for case in CASES.values() for kind, _ in case.steps(Site(Path("/site")), "base")} == names


def test_what_leaves_the_roots_is_seen(site: Site, root: Path) -> None:
    """Programs are not confined: one that does it shows that the trace would tell."""
    away, home = site.folder / "away", site.folder / "home"
    script = (
        "mkdir ../away; cd ../away; echo x > new; mv new moved; ln moved hard; ln -s moved soft; chmod 700 moved;"
        "touch moved; truncate -s 9 moved; rm hard; cat ../home/.pgpass; rmdir ../empty"
    )
    (site.folder / "empty").mkdir()
    process = {"command": script, "shell": True, "cwd": str(site.folder / "flows")}
    status, found = site.run({}, [("external.process", process)])
    assert status == {"external.process": "SUCCESS"}
    told = {(each.kind, each.path) for each in site.outside(found, root)}
    names = (away, *(away / name for name in ("new", "moved", "hard", "soft")), site.folder / "empty")
    assert {("write", str(path)) for path in names} <= told
    assert ("read", str(home / ".pgpass")) in told
