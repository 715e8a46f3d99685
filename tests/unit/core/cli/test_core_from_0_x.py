"""What version 0.x left: its state files and bundle stores are told as such, and what is printed against them works."""

import json
import re
import shutil
import sqlite3
from typing import TYPE_CHECKING

import pytest
from core_bundle_store import FLOW, MANIFEST, TREE, publish, store, tree

if TYPE_CHECKING:
    from core_project import Project

OLD_TABLES = """
CREATE TABLE job_runs (job_id TEXT, run_id TEXT, status TEXT, updated_at INTEGER, PRIMARY KEY (job_id, run_id));
CREATE TABLE step_runs (
    job_id TEXT, run_id TEXT, step_id TEXT, status TEXT, updated_at INTEGER, PRIMARY KEY (job_id, run_id, step_id)
);
CREATE TABLE locks (key TEXT PRIMARY KEY, owner TEXT, expires_at INTEGER);
INSERT INTO job_runs VALUES ('a', '0123456789ab', 'SUCCESS', 1700000000);
"""


@pytest.fixture
def old_state(project: "Project", monkeypatch: pytest.MonkeyPatch) -> "Project":
    """A flow whose state path names a file of 0.x."""
    project.enter(monkeypatch)
    db = sqlite3.connect(project.folder / "old.sqlite")
    db.executescript("PRAGMA journal_mode=wal;" + OLD_TABLES)
    db.close()
    project.write(FLOW.replace("flow: {id: n}", "flow: {id: n, state: {path: old.sqlite}}"))
    return project


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("run flow.yaml", 4),
        ("plan flow.yaml --run-id r", 4),
        ("state check flow.yaml", 4),
        ("state check old.sqlite", 4),
        ("state info flow.yaml", 4),
        ("state migrate flow.yaml", 4),
        ("state backup flow.yaml --to copy.tar", 4),
        ("doctor flow.yaml", 2),
    ],
)
def test_an_old_state_is_told_by_every_command(old_state: "Project", command: str, code: int) -> None:
    before = (old_state.folder / "old.sqlite").read_bytes()
    found = old_state.cli(*command.split())
    told = found.out + found.err
    assert found.code == code, told
    assert "AF4001" in told
    assert "old.sqlite is a state file of AetherFlow 0.x" in told
    assert "fix: name a new file in flow.state.path; this one stays as it is" in told
    assert "damaged" not in told
    assert (old_state.folder / "old.sqlite").read_bytes() == before


def test_doctor_tells_a_state_that_no_run_could_open(old_state: "Project") -> None:
    item = json.loads(old_state.cli("doctor", "flow.yaml", "--json").out)["errors"][0]
    assert (item["af"], item["code"], item["line"]) == ("AF4001", "host:state", 2)
    file = old_state.folder / "old.sqlite"
    file.write_bytes(b"this is no database, only text " * 99)
    assert "not a database" in old_state.cli("doctor", "flow.yaml").out
    file.unlink()
    file.touch()
    assert old_state.cli("doctor", "flow.yaml").code == 0, "an empty file becomes a state"
    assert old_state.cli("run", "flow.yaml", "-q").code == 0
    assert old_state.cli("doctor", "flow.yaml").code == 0


def test_an_old_store_is_not_used_and_stays_as_it_is(project: "Project", monkeypatch: pytest.MonkeyPatch) -> None:
    project.enter(monkeypatch)
    publish(project, TREE)
    project.write(MANIFEST, "bundle.yaml")
    old = project.work / "bundles" / "nightly"
    shutil.copytree(project.folder / "release", old / "active")
    (old / "fingerprints").mkdir()
    (old / "fingerprints" / "latest.json").write_text(json.dumps({"fingerprint": "ab" * 32, "updated_at": 1.5}))
    for command in ("bundle status", "doctor", "validate", "bundle sync", "run", "bundle diff active latest"):
        done = project.cli(*command.split(), "--bundle-manifest", "bundle.yaml")
        assert done.code == 0, done
    assert tree(old / "active") == TREE
    assert store(project).is_dir()


PROCESS = """\
version: 1
flow: {id: f, workspace: {root: work}}
jobs:
  - id: a
    steps:
      - id: s
        type: external.process
        inputs: INPUTS
"""


def upgrade(project: "Project", *documents: str, code: int = 1) -> dict[tuple[str, str], tuple[str, str, str]]:
    """File with line and column, and path in the document, to what it meant, what it means, what to write."""
    found = project.cli("doctor", "--upgrade-from", "0.9", *documents, "--json")
    assert found.code == code, found.out + found.err
    items = [item for document in json.loads(found.out)["documents"] for item in document["differences"]]
    told = {(f"{each['file']}:{each['line']}:{each['col']}", each["loc"]): each for each in items}
    assert len(told) == len(items)
    return {key: (each["before"], each["now"], each["write"]) for key, each in told.items()}


@pytest.fixture
def here(project: "Project", monkeypatch: pytest.MonkeyPatch) -> "Project":
    project.enter(monkeypatch)
    return project


def test_a_program_without_cwd_is_listed_wherever_it_stands(here: "Project") -> None:
    here.write(PROCESS.replace("INPUTS", '{command: [bash, -c, "echo data > report.csv"]}'))
    told = upgrade(here, "flow.yaml")
    assert list(told) == [("flow.yaml:8:27", "jobs[0].steps[0].inputs.command")]
    before, now, write = told["flow.yaml:8:27", "jobs[0].steps[0].inputs.command"]
    assert "working directory" in before
    assert "artifacts of its job" in now
    assert "{{env.AETHERFLOW_LOCAL_ROOT_DIR}}/" in write
    here.write(PROCESS.replace("INPUTS", "{command: [date], cwd: sub}"))
    assert upgrade(here, "flow.yaml", code=0) == {}
    inner = "{lock_key: k, step: {type: external.process, inputs: {cmd: [date]}}}"
    here.write(PROCESS.replace("external.process", "with_lock").replace("INPUTS", inner))
    assert list(upgrade(here, "flow.yaml")) == [("flow.yaml:8:76", "jobs[0].steps[0].inputs.step.inputs.cmd")]


@pytest.mark.parametrize(
    ("inputs", "named"),
    [
        ('{command: [bash, -c, "echo data > report.csv"]}', "report.csv"),
        ("{command: [python, report.csv]}", "report.csv"),
        ("{command: [scripts/run.sh, -v], args: [report.csv]}", "report.csv, scripts/run.sh"),
        ('{shell: true, command: "sort < report.csv"}', "report.csv"),
        ("{command: [python, report.csv], cwd: .}", None),
        ("{command: [report.csv]}", None),
        ("{command: [cat, none.csv, -report.csv]}", None),
        ('{command: [cat, "{{env.AETHERFLOW_LOCAL_ROOT_DIR}}/report.csv"]}', None),
    ],
)
def test_validate_warns_of_files_of_the_working_directory(here: "Project", inputs: str, named: str | None) -> None:
    here.write("", "report.csv")
    (here.folder / "scripts").mkdir()
    here.write("", "scripts/run.sh")
    here.write(PROCESS.replace("INPUTS", inputs))
    found = json.loads(here.cli("validate", "flow.yaml", "--json").out)
    told = [item["msg"] for item in found["warnings"]]
    assert [each for each in told if "working directory" in each] == (
        [] if named is None else [next(each for each in told if f"and {named} stands in the working directory" in each)]
    )


DATABASES = """\
version: 1
flow: {id: f, workspace: {root: work}}
resources:
  wh: {kind: db, driver: duckdb, config: {path: wh.duckdb}}
  lite: {kind: db, driver: sqlite3, config: {url: "sqlite:///{{env.LITE}}"}}
  memory: {kind: db, driver: duckdb, config: {path: ":memory:"}}
jobs: []
"""


def test_a_database_in_the_working_directory_is_told_until_it_is_moved(
    here: "Project", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LITE", "lite.db")
    here.write(DATABASES)
    assert json.loads(here.cli("validate", "flow.yaml", "--json").out)["warnings"] == []
    for name in ("wh.duckdb", "lite.db", ":memory:"):
        here.write("", name)
    found = json.loads(here.cli("validate", "flow.yaml", "--json").out)
    assert [(item["af"], item["loc"], item["line"]) for item in found["warnings"]] == [
        ("AF1217", "resources.wh.config", 4),
        ("AF1217", "resources.lite.config", 5),
    ]
    assert set(upgrade(here, "flow.yaml")) == {
        ("flow.yaml:4:42", "resources.wh.config"),
        ("flow.yaml:5:45", "resources.lite.config"),
    }
    for item in found["warnings"]:
        printed = re.search(r"mkdir -p (\S+) && mv (\S+) (\S+);", item["fix"])
        assert printed is not None
        folder, source, target = printed.groups()
        assert target.startswith(str(here.folder / "work" / "f"))
        (here.folder / folder).mkdir(parents=True, exist_ok=True)
        shutil.move(source, target)
    assert json.loads(here.cli("validate", "flow.yaml", "--json").out)["warnings"] == []
    assert upgrade(here, "flow.yaml", code=0) == {}


@pytest.mark.parametrize("document", ["flow.yaml", "aetherflow.yaml", "env-files.yaml"])
def test_lines_of_env_files_are_listed_without_their_values(here: "Project", document: str) -> None:
    lines = ["A1=plain", 'A2="quoted # s3cret" # c', "A3=s3cret #cd", "export A4=s3cret", "A5='s3cret #'", "A6=a#b"]
    here.write("\n".join([*lines, "", "# A7=x #y"]), "prod.env")
    here.write("version: 1\nenv_files: [prod.env]\n", "aetherflow.yaml")
    here.write(
        "- {type: dotenv, path: prod.env, prefix: P_}\n- {type: json, path: none.json, optional: true}\n",
        "env-files.yaml",
    )
    here.write("version: 1\nflow: {id: f, workspace: {root: work}}\njobs: []\n")
    found = here.cli("doctor", "--upgrade-from", "0.9", document)
    assert found.code == 1, found.err
    told = re.findall(r"prod\.env:(\d+):1: (\w+)", found.out)
    assert told == [("2", "A2"), ("3", "A3"), ("4", "A4")]
    assert "s3cret" not in found.out
    assert found.out.endswith("3 differences from 0.9 in 1 document\n")


def test_what_a_flow_leaves_out_is_listed_too(here: "Project") -> None:
    here.write("version: 1\nflow: {id: f, locks: {scope: flow}}\njobs: []\n")
    told = upgrade(here, "flow.yaml")
    assert told["flow.yaml:2:7", "flow"][:2] == ("the workspace root was /tmp/work", f"it is {here.work}")
    assert told["flow.yaml:2:30", "flow.locks.scope"][0] == "it was ignored"


def test_the_form_of_the_list_and_its_exit_codes(here: "Project") -> None:
    here.write(PROCESS.replace("INPUTS", "{command: [date]}"))
    found = here.cli("doctor", "--upgrade-from", "0.9", "flow.yaml")
    assert found.out.splitlines()[:2] == [
        "flow.yaml:8:27: jobs[0].steps[0].inputs.command",
        "  0.9:   the program ran in the working directory of aetherflow",
    ]
    here.write(PROCESS.replace("INPUTS", "{command: [date], cwd: .}"))
    found = here.cli("doctor", "--upgrade-from", "0.9", "flow.yaml")
    assert (found.code, found.out) == (0, "no differences from 0.9 in 1 document\n")
    here.write(PROCESS.replace("INPUTS", "{comand: [date], cwd: .}"))
    found = here.cli("doctor", "--upgrade-from", "0.x", ".")
    assert found.code == 2
    assert "flow.yaml has 2 errors; see: aetherflow validate flow.yaml" in found.out
    (here.folder / "empty").mkdir()
    for wrong in (["2.0", "flow.yaml"], ["0.9"], ["0.9", "flow.yaml", "--connect"], ["0.9", "empty"]):
        found = here.cli("doctor", "--upgrade-from", *wrong)
        assert (found.code, found.err[:7]) == (2, "AF0002 ")
    assert here.cli("doctor", "flow.yaml", "flow.yaml").code == 2
