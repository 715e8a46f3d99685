"""`aetherflow validate`: every kind of document, folders, and the formats of the report."""

import json
import re
import sys
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest

if TYPE_CHECKING:
    from core_project import Project

CANARY = "canary-90aa-12ef"
DOCUMENTS = {
    "flow": ("a.yaml", "flow: {id: f}\njobs: []\n", "flow: {id: f, descripton: x}\njobs: []\n"),
    "profiles": ("b.yaml", "dev: {config: {a: 1}}\n", "dev: {confg: {a: 1}, options: {}}\n"),
    "project": ("aetherflow.yaml", "version: 1\nlog: {level: INFO}\n", "log: {level: LOUD}\n"),
    "env-files": (
        "c.yaml",
        "- {type: dotenv, path: .env, optional: true}\n- {type: json, path: x.json, optional: true}\n",
        "- {type: dotenv, pth: .env}\n",
    ),
}


def validate(project: "Project", *arguments: str, code: int = 0) -> str:
    result = project.cli("validate", *arguments)
    assert result.code == code, result.out + result.err
    assert result.err == ""
    return result.out


@pytest.mark.parametrize("kind", DOCUMENTS)
def test_each_kind_is_recognised_and_checked(project: "Project", kind: str) -> None:
    name, good, bad = DOCUMENTS[kind]
    path = project.write(good, name)
    path.chmod(0o600)
    assert validate(project, name) == f"OK: {name}\n"
    report = json.loads(validate(project, name, "--json"))
    assert (report["schema"], report["ok"], report.get("kind", "flow")) == (1, True, kind)
    path.write_text(bad)
    out = validate(project, name, code=2)
    assert re.match(rf"{re.escape(name)}:1:\d+: AF11\d\d ", out)
    assert "  fix: " in out
    assert f"INVALID: {name} (" in out
    path.write_text("a: [\n")
    assert "AF1004" in validate(project, name, "--kind", kind, code=2)
    assert "AF1001" in validate(project, "gone.yaml", "--kind", kind, code=2)


def test_a_kind_that_is_told_wins(project: "Project") -> None:
    project.write("flow: {id: f}\njobs: []\n", "x.yaml")
    assert "AF1101" in validate(project, "x.yaml", "--kind", "project", code=2)
    project.write("{}\n", "p.yaml")
    assert validate(project, "p.yaml", "--kind", "profiles") == "OK: p.yaml\n"
    assert project.cli("validate", "x.yaml", "--kind", "nonsense").code == 2


def test_profiles_are_checked_inside(project: "Project") -> None:
    project.write(
        """\
        dev:
          config: {a: "${x}", b: "{{steps.x}}", c: "{{env.X}}"}
          decode: {confg: {a: true}}
        """,
        "profiles.yaml",
    )
    out = validate(project, "profiles.yaml", code=2)
    assert [line.split()[1] for line in out.splitlines() if line.startswith("profiles.yaml:")] == [
        "AF1301", "AF1302", "AF1306",
    ]  # fmt: skip


def test_env_files_of_a_project_are_read(project: "Project") -> None:
    project.write("env_files: [.env, gone.json]\n", "aetherflow.yaml").chmod(0o600)
    project.write(f"GOOD=1\n{CANARY}\n", ".env")
    out = validate(project, "aetherflow.yaml", code=2)
    assert "/.env:2:1: AF1502" in out
    assert "aetherflow.yaml:1:19: AF1501" in out
    assert CANARY not in out


def test_env_files_of_a_list_are_read(project: "Project") -> None:
    project.write(
        "- .env\n- {type: json, path: gone.json}\n- {type: dir, path: gone, optional: true}\n", "env-files.yaml"
    )
    project.write(f"GOOD=1\n{CANARY}\n", ".env")
    out = validate(project, "env-files.yaml", code=2)
    assert "/.env:2:1: AF1502" in out
    assert "env-files.yaml:2:3: AF1501" in out
    assert CANARY not in out


def test_a_bad_environment_is_reported_with_the_flow(project: "Project") -> None:
    project.write("nonsense: 1\n", "aetherflow.yaml").chmod(0o600)
    project.write('flow: {id: "{{env.X}}"}\njbos: []\njobs: []\n')
    out = validate(project, "flow.yaml", code=2)
    assert "AF1101 unknown key 'nonsense'" in out
    assert "AF1101 unknown key 'jbos'" in out
    assert "AF1304" not in out
    report = json.loads(validate(project, "flow.yaml", "--json", code=2))
    assert report["ok"] is False
    assert len(report["errors"]) == 2
    project.write("version: 1\n", "aetherflow.yaml").chmod(0o622)
    assert "AF1601" in validate(project, "flow.yaml", code=2)


def folder(project: "Project") -> None:
    for below in ("d/sub", "d/.hidden"):
        (project.folder / below).mkdir(parents=True)
    project.write("flow: {id: f}\njobs: []\n", "d/z.yaml")
    project.write("flow: {id: g}\njobs: []\n", "d/sub/flow.yml")
    project.write("dev: {options: {}}\n", "d/sub/p.yaml")
    project.write("services: {web: {image: x}}\n", "d/compose.yaml")
    project.write("{% helm %}\n", "d/chart.yaml")
    project.write("flow: 1\n", "d/.hidden/flow.yaml")
    project.write("flow: 1\n", "d/.secret.yaml")
    project.write("flow: 1\n", "d/notes.txt")


def test_a_folder_is_searched(project: "Project") -> None:
    folder(project)
    assert validate(project, "d") == "OK: d/z.yaml\nOK: d/sub/flow.yml\nOK: d/sub/p.yaml\n"
    report = json.loads(validate(project, "d/sub", "--kind", "flow", "--json"))
    assert [item["flow_yaml"] for item in report["files"]] == ["d/sub/flow.yml"]
    project.write("flow: {id: f\njobs: [\n", "d/broken.yaml")
    assert "d/broken.yaml:2:" in validate(project, "d", code=2)


def test_of_several_files_those_that_are_no_document_are_skipped(project: "Project") -> None:
    folder(project)
    project.write("holidays: [2026-01-01]\n", "d/holidays.yaml")
    paths = ("d/holidays.yaml", "d/z.yaml")
    assert validate(project, *paths) == "SKIPPED: d/holidays.yaml (no document of a known kind)\nOK: d/z.yaml\n"
    report = json.loads(validate(project, *paths, "--json"))
    assert [(item.get("kind"), item["ok"]) for item in report["files"]] == [("none", True), (None, True)]
    assert "AF1101" in validate(project, "d/holidays.yaml", code=2), "named alone it was meant"
    (project.folder / "empty").mkdir()
    assert validate(project, "empty", "d/z.yaml").startswith("SKIPPED: empty (no document of a known kind)\nOK: ")
    assert "AF1002" in validate(project, "empty", "empty", code=2)
    project.write("more: 1\n", "d/more.yaml")
    assert "AF1101" in validate(project, "d/holidays.yaml", "d/more.yaml", code=2), "nothing would be checked"
    assert "d/gone.yaml" in validate(project, "d/gone.yaml", "d/z.yaml", code=2)
    project.write("holidays: [\n", "d/holidays.yaml")
    assert "d/holidays.yaml:" in validate(project, *paths, code=2)
    assert "AF1101" in validate(project, "d/more.yaml", "d/z.yaml", "--kind", "flow", code=2)


def test_a_folder_without_documents(project: "Project") -> None:
    (project.folder / "e").mkdir()
    assert "e:1:1: AF1002 " in validate(project, "e", code=2)
    report = json.loads(validate(project, "e", "--format", "json", code=2))
    assert [item["af"] for item in report["errors"]] == ["AF1002"]


def broken(project: "Project") -> None:
    project.write("flow: {id: f}\njobs: []\n", "good.yaml")
    project.write('flow: {id: "{{env.GONE_X}}", "a%<&]]>\\"x": 1}\njobs: []\n', "bad,1.yaml")


def test_github_annotations(project: "Project") -> None:
    broken(project)
    error, warning, good, bad = validate(project, "good.yaml", "bad,1.yaml", "--format", "github", code=2).splitlines()
    if error.startswith("::warning"):
        error, warning = warning, error
    assert re.match(r"::error file=bad%2C1\.yaml,line=1,col=\d+,title=AF1101::.*%25.*%0Afix: ", error)
    assert re.match(r"::warning file=bad%2C1\.yaml,line=1,col=\d+,title=AF1304::.*%0Afix: ", warning)
    assert (good, bad) == ("OK: good.yaml", "INVALID: bad,1.yaml (1 error, 1 warning)")


def test_junit(project: "Project") -> None:
    broken(project)
    root: Any = ET.fromstring(validate(project, "good.yaml", "bad,1.yaml", "--format", "junit", code=2))
    (suite,) = root
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    good, bad = suite
    assert (good.get("name"), len(good)) == ("good.yaml", 0)
    (failure,) = bad
    assert failure.get("type") == "AF1101"
    assert "bad,1.yaml:1:" in failure.text


def test_json_is_a_format(project: "Project") -> None:
    broken(project)
    assert validate(project, "good.yaml", "--json") == validate(project, "good.yaml", "--format", "json")


def test_the_resources_of_a_manifest_are_checked_like_those_of_a_flow(
    project: "Project", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "duckdb", None)
    text = """\
        version: 1
        bundle: {id: b, entry_flow: f, layout: {profiles_file: p}, source: {type: sftp, resource: r, base_path: x}}
        resources:
          r: {kind: sftp, driver: paramik, config: {host: h}}
          s: {kind: sftp, driver: paramiko, config: {host: h, user: "{{env.ME}}", prt: 1}, options: {retries: x}}
          t: {kind: db, driver: duckdb, config: {path: "{{env.WH}}"}}
        """
    project.write(text, "bundle.yaml")
    found = json.loads(project.cli("validate", "bundle.yaml", "--json").out)["errors"]
    assert [(each["af"], each["line"], each["loc"]) for each in found] == [
        ("AF2101", 4, "resources.r.driver"),
        ("AF1101", 5, "resources.s.config.prt"),
        ("AF1103", 5, "resources.s.options.retries"),
        ("AF2105", 6, "resources.t.driver"),
    ]
