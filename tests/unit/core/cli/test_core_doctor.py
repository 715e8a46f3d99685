"""`aetherflow doctor`: what is missing on this host, without touching it."""

import contextlib
import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from core_doctor import CANARY, codes, doctor, resource, run_doctor

from aetherflow.core.base.location import Location
from aetherflow.core.checks.host import FIRST_SECOND, check_clock, network_kind

if TYPE_CHECKING:
    from core_project import Project


def test_a_healthy_flow(project: "Project") -> None:
    project.flow("jobs: []\n")
    before = sorted(project.folder.rglob("*"))
    result = run_doctor(project, MY_TOKEN=CANARY)
    assert (result.code, result.out, result.err) == (0, "OK: flow.yaml\nmasked keys: MY_TOKEN\n", "")
    assert sorted(project.folder.rglob("*")) == before
    report = doctor(project, code=0)
    assert {
        "schema",
        "ok",
        "flow_yaml",
        "install",
        "missing_env",
        "errors",
        "warnings",
        "masked",
        "connect",
    } == report.keys()
    assert (report["schema"], report["ok"], report["missing_env"]) == (1, True, [])


def test_missing_env_in_the_words_of_the_contract(project: "Project") -> None:
    project.write('dev: {config: {path: "{{env.DB_PATH}}"}}\n', "profiles.yaml")
    project.flow(
        """\
        resources:
          r: {kind: db, driver: sqlite3, profile: dev}
          s: {kind: db, driver: sqlite3, options: {pragmas: {x: "{{env.PRAGMA}}", y: "{{env.OTHER:1}}"}}}
        jobs: [{id: a, steps: [{id: s, type: check_items, inputs: {items: "{{env.ITEMS}}"}}]}]
        """
    )
    env = {"AETHERFLOW_PROFILES_FILE": "profiles.yaml"}
    result = run_doctor(project, **env)
    assert result.code == 2
    assert result.out.splitlines()[:4] == [
        "FAIL: flow.yaml",
        "- resource=r profile=dev config.path needs env DB_PATH",
        "- resource=s options.pragmas.x needs env PRAGMA",
        "- jobs[0].steps[0].inputs.items needs env ITEMS",
    ]
    first = doctor(project, code=2, **env)["missing_env"][0]
    expected = {"resource": "r", "profile": "dev", "section": "config", "field": "path", "env_key": "DB_PATH"}
    assert expected.items() <= first.items()
    assert (first["code"], first["loc"], first["line"]) == ("missing_env", "resources.r.config.path", 1)
    assert first["file"].endswith("profiles.yaml")
    assert first["msg"]


def test_the_rules_of_the_project_file_are_part_of_it(project: "Project") -> None:
    project.flow("jobs: []\n")
    place = "{kind: mail, driver: file, config: {path: '{{env.EFFECTS}}', from_addr: '{{env.SENDER}}'}}"
    resources = f"version: 1\ntimezone: UTC\nresources: {{post: {place}}}\nnotify:\n"
    project.write(f"{resources}  - {{to: pots, recipients: [a@example.com]}}\n", "aetherflow.yaml")
    report = doctor(project, code=2)
    assert [(each["code"], each["line"], each["col"]) for each in report["errors"]] == [
        ("semantic:unknown_resource", 5, 10)
    ]
    assert [(each["env_key"], each["under"]) for each in report["missing_env"]] == [("SENDER", None)]
    project.write(f"{resources}  - {{to: post, recipients: [a@example.com]}}\n", "aetherflow.yaml")
    assert doctor(project, code=0, SENDER="n@example.com")["ok"]
    report = doctor(project, "--as", "cron", code=2, SENDER="n@example.com")
    assert {(each["env_key"], each["under"]) for each in report["missing_env"]} == {
        ("EFFECTS", "cron"),
        ("SENDER", "cron"),
    }


def test_cron_has_less(project: "Project") -> None:
    project.flow('resources: {r: {kind: db, driver: sqlite3, config: {path: "{{env.EFFECTS}}"}}}\njobs: []\n')
    assert doctor(project, code=0)["ok"]
    report = doctor(project, "--as", "cron", code=2)
    assert [(item["env_key"], item["under"]) for item in report["missing_env"]] == [("EFFECTS", "cron")]
    assert "under cron" in run_doctor(project, "--as", "cron").out
    project.write(f"EFFECTS={CANARY}\n", ".env")
    project.write("env_files: [.env]\n", "aetherflow.yaml").chmod(0o600)
    assert doctor(project, "--as", "cron", code=0)["ok"]
    resource(project, "{kind: db, driver: sqlite3, profile: p}")
    env = {"AETHERFLOW_PROFILES_JSON": '{"p": {}}'}
    assert doctor(project, code=0, **env)["ok"]
    (told,) = doctor(project, "--as", "cron", code=2, **env)["errors"]
    assert (told["af"], told["msg"]) == ("AF1211", "under cron: no profile 'p'")


def test_a_bad_environment_is_a_finding(project: "Project") -> None:
    project.flow("jobs: []\n")
    project.write("nonsense: 1\n", "aetherflow.yaml").chmod(0o600)
    assert codes(doctor(project, code=2)) == ["AF1101"]
    assert codes(doctor(project, code=2, AETHERFLOW_LOG_LEVEL="LOUD"))
    project.write("a: [\n")
    assert "AF1004" in codes(doctor(project, code=2))


def test_the_clock(project: "Project") -> None:
    at = Location("flow.yaml")
    assert check_clock(project.folder, at) == []
    assert check_clock(project.folder / "gone", at) == []
    (old,) = check_clock(project.folder, at, FIRST_SECOND - 1)
    assert (old.af, old.severity) == ("AF6003", "error")
    project.flow("jobs: []\n")
    os.utime(project.folder / "flow.yaml", (time.time() + 200_000,) * 2)
    assert codes(doctor(project, code=0), "warnings") == ["AF6003"]


@pytest.mark.parametrize(
    ("table", "kind"),
    [
        ("/dev/sda / ext4 rw 0 0\n", None),
        ("/dev/sda / ext4 rw 0 0\nsrv:/x /dev nfs4 rw 0 0\n", "nfs4"),
        ("srv:/x / nfs rw 0 0\n/dev/sdb /dev ext4 rw 0 0\n", None),
        ("x / fuse.sshfs rw 0 0\n", "fuse.sshfs"),
        ("x / ext4 rw 0 0\n//s/x /dev/with\\040blank cifs rw 0 0\nodd\n", None),
        ("", None),
    ],
)
def test_a_network_file_system(table: str, kind: str | None) -> None:
    assert network_kind(Path("/dev/null/x/y"), table) == kind


def test_connect_to_files(project: "Project") -> None:
    import sqlite3

    with contextlib.closing(sqlite3.connect(project.folder / "good.db")) as connection:
        connection.executescript("create table t (a)")
    project.write("no database, but long enough to be looked at as one\n" * 50, "bad.db")
    for driver in ("sqlite3", "duckdb"):
        resource(project, f"{{kind: db, driver: {driver}, config: {{path: {project.folder}/bad.db}}}}")
        assert codes(doctor(project, "--connect", code=2)) == ["AF5201"]
        resource(project, f"{{kind: db, driver: {driver}, config: {{path: {project.folder}/bad.db/x}}}}")
        assert codes(doctor(project, "--connect", code=2)) == ["AF5201"]
        resource(project, f"{{kind: db, driver: {driver}, config: {{path: gone.db, read_only: true}}}}")
        assert codes(doctor(project, "--connect", code=2)) == ["AF5201"]
    resource(project, f"{{kind: db, driver: sqlite3, config: {{path: {project.folder}/good.db}}}}")
    assert doctor(project, "--connect", code=0)["connect"][0]["state"] == "ok"


@pytest.mark.parametrize(
    "text",
    [
        "3\n",
        "flow: 1\n",
        "flow: [1]\nresources: [1]\njobs: {a: 1}\n",
        'flow: {id: f, workspace: 1}\nresources: {r: {kind: db, profile: [], decode: [], options: "{{"}}\njobs: 1\n',
    ],
)
def test_a_broken_flow_is_no_internal_error(project: "Project", text: str) -> None:
    project.write(text)
    report = doctor(project, "--connect", "--as", "cron", code=2)
    assert report["errors"]
    assert report["connect"] == []


def test_variables_that_look_like_secrets_are_told(project: "Project") -> None:
    project.flow("jobs: []\n")
    project.write("env_files: [{type: dotenv, path: a.env}]\n", "aetherflow.yaml")
    values = {
        "SEAL": "a8f3kq0z9x1mvb72htpw",
        "WORDS": "a-long-name-of-a-server-2.example.org",
        "FOLDER": "/srv/data/2026/in/partner-a8f3kq",
        "API_KEY": "b9f3kq0z9x1mvb72htpw",
        "SHORT": "a8f3kq",
    }
    project.write("".join(f"{name}={value}\n" for name, value in values.items()), "a.env")
    report = json.loads(project.cli("doctor", "flow.yaml", "--json").out)
    (warning,) = report["warnings"]
    assert (warning["af"], warning["line"]) == ("AF1705", 1)
    assert "SEAL" in warning["msg"]
    assert values["SEAL"] not in json.dumps(report)
    project.write("env_files: [{type: dotenv, path: a.env}]\nsecrets: {ignore: [SEAL]}\n", "aetherflow.yaml")
    assert json.loads(project.cli("doctor", "flow.yaml", "--json").out)["warnings"] == []
