"""What version 0.x left: its state files and bundle stores are told as such, and what is printed against them works."""

import json
import re
import shlex
import shutil
import sqlite3
from typing import TYPE_CHECKING

import pytest
from core_bundle_store import FLOW, MANIFEST, TREE, publish, store

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


@pytest.fixture
def old_store(project: "Project", monkeypatch: pytest.MonkeyPatch) -> "Project":
    """A bundle whose store is one of 0.x."""
    project.enter(monkeypatch)
    publish(project, TREE)
    project.write(MANIFEST, "bundle.yaml")
    root = store(project)
    shutil.copytree(project.folder / "release", root / "active")
    (root / "cache").mkdir()
    (root / "fingerprints").mkdir()
    snapshot = {"version": 1, "bundle_id": "nightly", "fingerprint": "ab" * 32, "created_at": 1.5, "files": []}
    (root / "fingerprints" / f"{'ab' * 32}.json").write_text(json.dumps(snapshot))
    latest = {"fingerprint": "ab" * 32, "snapshot": f"{'ab' * 32}.json", "updated_at": 1.5}
    (root / "fingerprints" / "latest.json").write_text(json.dumps(latest))
    return project


@pytest.mark.parametrize(
    "command",
    ["run", "validate", "bundle sync", "bundle status", "bundle diff active latest", "bundle prune", "doctor"],
)
@pytest.mark.parametrize("latest", [True, False])
def test_an_old_store_is_told_and_the_fix_mends_it(old_store: "Project", command: str, latest: bool) -> None:
    if not latest:  # as the fix of 1.0 said
        (store(old_store) / "fingerprints" / "latest.json").unlink()
    argv = [*command.split(), "--bundle-manifest", "bundle.yaml"]
    found = old_store.cli(*argv)
    told = found.out + found.err
    assert found.code == 4, told
    assert "AF7003" in told
    assert str(store(old_store)) in told
    assert "a bundle store of AetherFlow 0.x" in told
    assert "damaged" not in told
    printed = re.search(r"do the same again: (mv .+)", told)
    assert printed is not None
    _, source, target = shlex.split(printed[1])
    shutil.move(source, target)
    assert old_store.cli("bundle", "sync", "--bundle-manifest", "bundle.yaml").code == 0
    again = old_store.cli(*argv)
    assert again.code == 0, again.out + again.err
