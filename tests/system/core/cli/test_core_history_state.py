"""`state`, `locks` and completion: housekeeping of state files, and what a shell is offered."""

import contextlib
import json
import shutil
import sqlite3
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from aetherflow.core.base import durable
from chained import chain_again
from core_project import Result
from old_data import unpack

if TYPE_CHECKING:
    from core_project import Project

JOBS = """\
jobs:
  - id: a
    steps:
      - {id: s, type: external.process, inputs: {shell: true, command: 'head -c 400000 /dev/zero | tr "\\\\0" x',
         log: {stdout: capture}}}
      - id: file
        type: external.process
        inputs: {command: [echo, '1'], log: {stdout: file, file_path: out.txt, append: false}}
"""


def sql(path: Path, *statements: str) -> None:
    with contextlib.closing(sqlite3.connect(path)) as db:
        for statement in statements:
            db.execute(statement)
        db.commit()


@pytest.fixture
def ran(project: "Project") -> "Project":
    """Flow f, which ran once as `r` and stored a large output."""
    project.write(f"version: 1\nflow: {{id: f, workspace: {{cleanup_policy: never}}}}\n{JOBS}")
    assert project.cli("run", "flow.yaml", "--run-id", "r", "-q").code == 0
    return project


def checked(project: "Project", *arguments: str) -> tuple[int, list[str]]:
    result = project.cli("state", "check", "--flow", "f", "--json", *arguments)
    document = json.loads(result.out)
    assert document["ok"] is (result.code == 0)
    return result.code, [
        finding["what"] for finding in document["findings"] if "what was written" not in finding["what"]
    ]


def test_nothing_is_found_in_a_flow_with_inner_steps(project: "Project") -> None:
    inner = "{type: external.process, inputs: {command: ['true']}}"
    project.flow(f"jobs: [{{id: a, steps: [{{id: s, type: with_lock, inputs: {{lock_key: k, step: {inner}}}}}]}}]\n")
    assert project.cli("run", "flow.yaml", "-q").code == 0
    assert checked(project, "--read-data") == (0, [])


def test_three_ways_to_name_a_state(ran: "Project") -> None:
    for arguments in (["flow.yaml"], ["--flow", "f"], [str(ran.state)]):
        document = json.loads(ran.cli("state", "info", *arguments, "--json").out)
        assert document["schema"] == 1
        found = document["state"]
        assert (found["path"], found["flows"], found["live"]) == (str(ran.state), {"f": 1}, [])
        assert found["blobs"] >= 1
    text = ran.cli("state", "info", "flow.yaml").out
    assert "flows    f (1 run)" in text
    ran.write("not: a flow")
    assert ran.cli("state", "info", "flow.yaml").code == 0, "a flow that is being repaired has a history all the same"
    for arguments, words in (
        ([], "no state is named"),
        (["flow.yaml", "--flow", "f"], "named twice"),
        (["--flow", "g"], "no run of a flow 'g' is known"),
        (["nowhere.sqlite"], "there is no file nowhere.sqlite"),
    ):
        result = ran.cli("state", "info", *arguments)
        assert (result.code, words in result.err) == (2, True), result


def test_check_finds_what_is_wrong(ran: "Project") -> None:
    assert checked(ran, "--read-data") == (0, [])
    sql(ran.state, "UPDATE step_runs SET status='DONE' WHERE step_id='s'")
    assert checked(ran)[1] == ["1 rows of step_runs have the status DONE, which they cannot have"]
    sql(ran.state, "UPDATE step_runs SET status='RUNNING' WHERE step_id='s'")
    assert checked(ran)[1] == ["a job that ended well while a step of it is RUNNING"]
    sql(ran.state, "UPDATE step_runs SET status='SUCCESS', finished_at=NULL WHERE step_id='s'")
    assert checked(ran)[1] == ["an end without its time"]
    sql(ran.state, "UPDATE step_runs SET finished_at=1", "DELETE FROM job_runs")
    assert checked(ran)[1] == ["a step without its job"] * 2
    result = ran.cli("state", "check", "flow.yaml")
    assert result.out.splitlines()[-2:] == [
        "f/r: a row of the run is not what was written (row 1 of heads has the hash of all)",
        f"FAIL: {ran.state} (3 findings)",
    ]


def test_check_reads_outputs_and_artifacts(ran: "Project") -> None:
    artifact = Path(ran.rows("SELECT path FROM artifacts")[0][0])
    artifact.write_text("2\n")
    assert checked(ran) == (0, [])
    assert checked(ran, "--read-data")[1] == ["an artifact is not what the step left"]
    artifact.unlink()
    assert checked(ran, "--read-data")[1] == ["an artifact is gone, and nothing recorded removed it"]
    sql(ran.state, "UPDATE artifacts SET gone_by='b.move'")
    chain_again(ran.state)
    assert checked(ran, "--read-data") == (0, [])
    for blob in (ran.states / "f.sqlite.d/blobs/f/r").iterdir():
        blob.write_bytes(b"damaged")
    assert checked(ran) == (0, [])
    assert all(what.endswith("is damaged") for what in checked(ran, "--read-data")[1])
    shutil.rmtree(ran.states / "f.sqlite.d/blobs")
    code, findings = checked(ran)
    assert (code, all(what.endswith("is missing") for what in findings)) == (1, True)


def test_check_of_a_damaged_file(ran: "Project") -> None:
    data = bytearray(ran.state.read_bytes())
    data[4096 * 3 : 4096 * 6] = b"\xff" * 4096 * 3
    ran.state.write_bytes(data)
    result = ran.cli("state", "check", str(ran.state))
    assert result.code in (1, 4), result
    ran.state.write_text("no database " * 999)
    result = ran.cli("state", "check", str(ran.state))
    assert (result.code, "AF4001 " in result.err) == (4, True)


def test_backup_and_restore(ran: "Project") -> None:
    result = ran.cli("state", "backup", "flow.yaml", "--to", "b.tar")
    assert (result.code, result.out.startswith("wrote b.tar: 1 run, ")) == (0, True), result
    assert (ran.folder / "b.tar").stat().st_mode & 0o777 == 0o600
    with tarfile.open(ran.folder / "b.tar") as tar:
        assert tar.getnames()[:2] == ["manifest.json", "state.sqlite"]
    assert ran.cli("state", "backup", "flow.yaml", "--to", "b.tar").code == 2, "no backup is overwritten"
    assert ran.cli("run", "flow.yaml", "--run-id", "later", "-q").code == 0
    result = ran.cli("state", "restore", "flow.yaml", "--from", "b.tar")
    assert result.code == 0, result
    assert ran.rows("SELECT run_id FROM runs") == [("r",)]
    (kept,) = ran.states.glob("f.sqlite.replaced-*")
    with contextlib.closing(sqlite3.connect(kept)) as db:
        assert db.execute("SELECT count(*) FROM runs").fetchone() == (2,)
    assert not list(ran.folder.rglob("*.part"))
    shutil.rmtree(ran.states)
    assert ran.cli("state", "restore", "flow.yaml", "--from", "b.tar").code == 0
    assert checked(ran, "--read-data") == (0, [])
    assert json.loads(ran.cli("status", "--json").out)["flows"][0]["status"] == "ok"
    assert ran.cli("run", "flow.yaml", "--run-id", "r").err.startswith("nothing to do")


def test_backups_of_long_names_share_no_scratch_file(ran: "Project") -> None:
    """The names were cut at 100 characters: one backup replaced and removed the file that another was writing."""
    others = ran.folder / f".aetherflow-{'n' * 100}.db.part"
    others.write_text("of another backup")
    assert ran.cli("state", "backup", "flow.yaml", "--to", f"{'n' * 120}-1.tar").code == 0
    assert others.read_text() == "of another backup"
    assert [path.name for path in ran.folder.glob(".aetherflow-*")] == [others.name]


def test_a_damaged_state_is_restored_and_kept_aside(ran: "Project") -> None:
    assert ran.cli("state", "backup", "flow.yaml", "--to", "b.tar").code == 0
    ran.state.write_text("no database " * 999)
    assert ran.cli("state", "restore", "flow.yaml", "--from", "b.tar").code == 0
    assert ran.rows("SELECT run_id FROM runs") == [("r",)]
    (kept,) = ran.states.glob("f.sqlite.replaced-*")
    assert kept.read_text().startswith("no database")


@pytest.mark.parametrize("damage", ["cut", "text", "byte", "missing"])
def test_a_backup_that_is_not_whole_changes_nothing(ran: "Project", damage: str) -> None:
    assert ran.cli("state", "backup", "flow.yaml", "--to", "b.tar").code == 0
    path = ran.folder / "b.tar"
    data = bytearray(path.read_bytes())
    if damage == "cut":
        path.write_bytes(data[: len(data) // 2])
    elif damage == "text":
        path.write_text("no tar")
    elif damage == "missing":
        path.unlink()
    else:
        data[5000] ^= 1
        path.write_bytes(data)
    before = ran.state.read_bytes()
    result = ran.cli("state", "restore", "flow.yaml", "--from", "b.tar")
    assert result.code in (2, 4), result
    assert "internal error" not in result.err
    assert ran.state.read_bytes() == before
    assert not list(ran.states.glob("*.replaced-*"))


def test_backup_while_a_run_goes_on_and_no_restore_under_it(
    ran: "Project", wait_for: Callable[..., None], reap: list[int]
) -> None:
    ran.flow(
        "jobs: [{id: a, steps: [{id: s, type: external.process, "
        "inputs: {shell: true, command: 'echo $$ > $EFFECTS.pid; exec sleep 60'}}]}]\n"
    )
    process = ran.start("run", "flow.yaml", "--run-id", "live")
    pid = ran.effects.with_name("effects.pid")
    wait_for(lambda: pid.exists() and pid.read_text().strip())
    reap += [process.pid, int(pid.read_text())]
    assert ran.cli("state", "backup", "flow.yaml", "--to", "b.tar").code == 0
    result = ran.cli("state", "restore", "flow.yaml", "--from", "b.tar")
    assert (result.code, "run live of flow f is live" in result.err) == (3, True), result
    process.kill()
    process.communicate()
    assert ran.cli("state", "restore", "flow.yaml", "--from", "b.tar").code == 0
    assert json.loads(ran.cli("runs", "show", "live", "--json").out)["status"] == "INTERRUPTED"


def test_no_run_begins_while_a_state_is_restored(ran: "Project", monkeypatch: pytest.MonkeyPatch) -> None:
    """One that began between the look for live runs and the exchange of the rows had no row any more."""
    assert ran.cli("state", "backup", "flow.yaml", "--to", "b.tar").code == 0
    began: list[Result] = []
    restore = durable.restore_database

    def beside(*databases: sqlite3.Connection) -> None:
        began.append(ran.command("run", "flow.yaml", "--run-id", "new"))
        restore(*databases)

    monkeypatch.setattr(durable, "restore_database", beside)
    assert ran.cli("state", "restore", "flow.yaml", "--from", "b.tar").code == 0
    (refused,) = began
    assert (refused.code, "the state is being restored" in refused.err) == (3, True), refused
    assert ran.rows("SELECT run_id FROM runs") == [("r",)]
    assert ran.command("run", "flow.yaml", "--run-id", "new").code == 0


def test_migrate(ran: "Project") -> None:
    result = ran.cli("state", "migrate", "flow.yaml")
    assert (result.code, result.out) == (0, f"nothing to do: {ran.state} has schema 3\n")
    sql(ran.state, "PRAGMA user_version=9")
    assert ran.cli("state", "migrate", "flow.yaml").code == 4
    other = ran.folder / "mine.sqlite"
    sql(other, "CREATE TABLE mine (x)")
    assert ran.cli("state", "migrate", str(other)).code == 4


def test_migrate_a_state_of_an_older_version(project: "Project", tmp_path: Path) -> None:
    state = unpack(tmp_path / "old").states / "failed.sqlite"
    result = project.cli("state", "info", str(state))
    assert (result.code, f"fix: aetherflow state migrate {state}" in result.err) == (4, True)
    document = json.loads(project.cli("state", "migrate", str(state), "--json").out)
    assert (document["from"], document["to"]) == (2, 3)
    assert Path(document["backup"]).exists()
    assert project.cli("state", "info", str(state)).code == 0


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(project: "Project", shell: str) -> None:
    result = project.cli("completion", shell)
    assert result.code == 0
    assert f"_AETHERFLOW_COMPLETE=complete_{shell}" in result.out
    if shutil.which(shell) and shell != "fish":
        subprocess.run([shell, "-n"], input=result.out, text=True, check=True)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("aetherflow sta", ["status", "state"]),
        ("aetherflow runs ", ["list", "show", "ack", "diff", "export", "logs", "resolve", "prune"]),
        ("aetherflow runs show ", ["r"]),
        ("aetherflow runs list --flow ", ["f"]),
        ("aetherflow resume r", ["r"]),
        ("aetherflow runs list --sta", ["--status"]),
        ("aetherflow runs list --status su", ["success"]),
        ("aetherflow completion z", ["zsh"]),
    ],
)
def test_what_a_shell_is_offered(ran: "Project", words: str, expected: list[str]) -> None:
    index = len(words.split()) - (not words.endswith(" "))
    env = {"_AETHERFLOW_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(index)}
    result = ran.command(env=env)
    assert result.code == 0, result
    assert result.out.split() == expected


def test_nothing_is_offered_where_there_is_nothing(project: "Project") -> None:
    env = {"_AETHERFLOW_COMPLETE": "complete_bash", "COMP_WORDS": "aetherflow runs show ", "COMP_CWORD": "3"}
    result = project.command(env=env)
    assert (result.code, result.out.strip(), result.err) == (0, "", "")
    assert not project.states.exists()
