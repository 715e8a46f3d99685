"""A state that was replaced by an older copy: it is red, nothing runs in it, and nothing is repeated afterwards."""

import json
import shutil
import signal
import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from db_places import new_database
from old_data import DATA
from server_project import end_leases, keep_states_in, state_of
from server_stores import SERVERS, place_of

if TYPE_CHECKING:
    from core_project import Project, Result
    from services import Database

FLOW = """\
version: 1
flow: {id: f}
jobs:
  - id: a
    steps:
      - {id: pay, type: external.process, effect: once, inputs: {command: [sh, -c, "echo paid >> $EFFECTS; test ! -e $HANG || sleep 60"]}}
      - {id: check, type: external.process, inputs: {command: [test, "!", -e, "{{env.BAD}}"]}}
"""  # noqa: E501 one step in a line
TABLES = (
    "runs", "job_runs", "step_runs", "artifacts", "journal", "ledger", "definitions", "claims", "acts", "outbox",
    "heads", "meta",
)  # fmt: skip


class Kept:
    """A project, and a copy of its state to put back."""

    def __init__(self, project: "Project", server: "Database | None") -> None:
        self.project, self.server = project, server
        self.state = str(project.state) if server is None else state_of(server)
        self.hang, self.bad = project.folder / "hang", project.folder / "bad"
        project.env |= {"HANG": str(self.hang), "BAD": str(self.bad)}
        project.write(FLOW)

    def run(self, run_id: str, *more: str) -> "Result":
        """Start a run."""
        return self.project.command("run", "flow.yaml", "--run-id", run_id, *more)

    def asks(self, run_id: str) -> None:
        """A run that was killed in its payment, and asks since."""
        paid = len(self.paid())
        self.hang.touch()
        run = self.project.start("run", "flow.yaml", "--run-id", run_id)
        deadline = time.monotonic() + 30
        while len(self.paid()) == paid:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        run.send_signal(signal.SIGKILL)
        run.communicate()
        self.hang.unlink()
        if self.server is not None:
            end_leases(self.server)
        assert self.project.command("resume", run_id).code == 1

    def paid(self) -> list[str]:
        """What was paid so far."""
        return self.project.lines()

    def copy(self) -> None:
        """Copy the state."""
        if self.server is None:
            shutil.copy(self.project.state, self.project.folder / "copy")
            return
        place = place_of(self.server)
        for table in TABLES:
            place.within("state", f"CREATE TABLE kept_{table} AS SELECT * FROM {table}")

    def put_back(self) -> None:
        """Put the copy in the place of the state."""
        if self.server is None:
            shutil.copy(self.project.folder / "copy", self.project.state)
            return
        place = place_of(self.server)
        for table in TABLES:
            place.within("state", f"DELETE FROM {table}", f"INSERT INTO {table} SELECT * FROM kept_{table}")

    def status(self) -> tuple[int, list[tuple[str, str | None]]]:
        """Exit code of `status`, and status and run of what needs attention."""
        done = self.project.command("status", "--json")
        needs: list[dict[str, Any]] = json.loads(done.out)["needs_person"]
        return done.code, sorted((need["status"], need["run_id"]) for need in needs)


@pytest.fixture(params=["file", *SERVERS])
def kept(request: pytest.FixtureRequest, project: "Project") -> Kept:
    if request.param == "file":
        return Kept(project, None)
    server = new_database(request.getfixturevalue(request.param), "older")
    keep_states_in(project, server)
    return Kept(project, server)


def test_an_older_state_is_red_refused_and_repeats_nothing(kept: Kept) -> None:
    project = kept.project
    assert kept.run("r1").code == 0
    kept.copy()
    assert kept.run("r2").code == 0
    kept.asks("r3")
    kept.put_back()
    paid = kept.paid()

    assert kept.status() == (1, [("OLDER", None), ("UNKNOWN", "r3")])
    accept = f"aetherflow state accept {kept.state} --reason TEXT"
    text = " ".join(project.command("status").out.split())
    assert "is older than the run index knows: the end of run r3 of flow f at 20" in text
    assert accept in text
    for run_id in ("r2", "r4"):
        refused = kept.run(run_id)
        assert (refused.code, "AF4005" in refused.err, accept in refused.err) == (4, True, True), refused.err
    assert kept.paid() == paid

    accepted = project.command("state", "accept", kept.state, "--reason", "the disk was lost", "--json")
    assert accepted.code == 0, accepted.err
    told = json.loads(accepted.out)
    assert (told["accepted"], [run["run_id"] for run in told["lost"]]) == (True, ["r2", "r3"])
    refused = kept.run("r2")
    assert (refused.code, "AF4005" in refused.err) == (4, True)
    assert "run r2 of flow f isn't executed again: the run index knows that it ended SUCCESS" in refused.err
    assert "start it under another --run-id" in refused.err
    assert kept.run("r3").code == 4
    assert "the run index knows that one of flow f ended UNKNOWN" in project.command("resume", "r3").err
    assert kept.paid() == paid
    assert kept.run("r4").code == 0
    assert kept.paid() == [*paid, "paid"]

    assert ("UNKNOWN", "r3") in kept.status()[1]
    closed = project.command("runs", "resolve", "r3", "--as", "done", "--reason", "the bank says so")
    assert closed.code == 0, closed.err
    assert ("UNKNOWN", "r3") not in kept.status()[1]
    assert project.command("state", "check", kept.state).out == f"OK: {kept.state}\n"
    assert (
        json.loads(project.command("state", "accept", kept.state, "--reason", "x", "--json").out)["accepted"] is False
    )


def test_who_accepted_it_is_recorded_in_the_state_and_in_the_index(kept: Kept) -> None:
    kept.run("r1")
    kept.copy()
    kept.run("r2")
    kept.put_back()
    assert kept.project.command("state", "accept", kept.state).code == 2
    assert kept.project.command("state", "accept", "flow.yaml", "--reason", "ticket 4711").code == 0
    queries = {"state": "SELECT value FROM meta WHERE name LIKE 'accepted%'", "registry": "SELECT value FROM shared"}
    for store, query in queries.items():
        if kept.server is not None:
            rows = place_of(kept.server).within(store, query)
        else:
            file = kept.project.state if store == "state" else kept.project.states / "engine/registry.sqlite"
            with closing(sqlite3.connect(file)) as db:
                rows = db.execute(query).fetchall()
        (told,) = [json.loads(value) for (value,) in rows if value.startswith("{")]
        assert (told["reason"], bool(told["actor"]), told["at"] > 0) == ("ticket 4711", True, True)
    kept.put_back()
    assert kept.run("r3").code == 4, "accepted once is not accepted for good"


def test_a_run_that_goes_on_in_the_older_state_is_not_repeated(kept: Kept) -> None:
    """The copy was made before it was resumed, and so before it paid the second time."""
    kept.asks("r1")
    kept.copy()
    assert kept.project.command("resume", "r1", "--decide", "a.pay=done").code == 0
    kept.put_back()
    paid = kept.paid()
    assert ("OLDER", None) in kept.status()[1]
    assert kept.project.command("resume", "r1", "--decide", "a.pay=again").code == 4
    assert kept.project.command("state", "accept", kept.state, "--reason", "x").code == 0
    refused = kept.project.command("resume", "r1", "--decide", "a.pay=again")
    assert (refused.code, "ended SUCCESS" in refused.err) == (4, True), refused.err
    assert kept.paid() == paid
    assert [status for status, _ in kept.status()[1]] in ([], ["REFUSED"])


def test_a_state_that_is_begun_again_knows_what_was_done(project: "Project") -> None:
    """A state file that somebody removed: new runs begin in a new one, those that ended are not repeated."""
    kept = Kept(project, None)
    kept.run("r1")
    project.state.unlink()
    refused = kept.run("r1")
    assert (refused.code, "AF4005" in refused.err) == (4, True)
    assert kept.run("r2").code == 0
    assert kept.paid() == ["paid", "paid"]
    assert kept.status() == (0, [])


def test_a_backup_that_is_older_is_accepted_by_its_restore(project: "Project") -> None:
    kept = Kept(project, None)
    kept.run("r1")
    backup = project.folder / "backup.tar"
    assert project.command("state", "backup", "flow.yaml", "--to", str(backup)).code == 0
    kept.run("r2")
    kept.asks("r3")
    restored = project.command("state", "restore", "flow.yaml", "--from", str(backup), "--yes")
    assert restored.code == 0, restored.err
    assert "f  r2  SUCCESS at 20" in restored.out
    assert "f  r3  UNKNOWN at 20" in restored.out
    assert kept.run("r2").code == 4
    assert kept.run("r4").code == 0
    assert ("UNKNOWN", "r3") in kept.status()[1]
    with closing(sqlite3.connect(project.state)) as db:
        (row,) = db.execute("SELECT value FROM meta WHERE name LIKE 'accepted%'").fetchall()
    assert json.loads(row[0])["reason"] == "restored from backup.tar"


def test_the_newer_state_that_was_found_needs_no_acceptance(project: "Project") -> None:
    kept = Kept(project, None)
    kept.run("r1")
    kept.copy()
    kept.run("r2")
    shutil.copy(project.state, project.folder / "newer")
    kept.put_back()
    assert kept.run("r3").code == 4
    shutil.copy(project.folder / "newer", project.state)
    assert kept.run("r3").code == 0
    assert kept.status() == (0, [])


def test_an_older_copy_of_an_older_version_is_not_adopted_by_its_migration(project: "Project") -> None:
    kept = Kept(project, None)
    project.states.mkdir()
    kept.run("r1")
    with closing(sqlite3.connect(project.state)) as db:
        heads = db.execute("SELECT count(*) FROM heads").fetchone()[0]
    assert heads == 1
    shutil.copy(DATA / "home/.local/state/aetherflow/state/failed.sqlite", project.state)
    assert project.command("state", "migrate", str(project.state)).code == 0
    refused = kept.run("r2")
    assert (refused.code, "AF4005" in refused.err) == (4, True), refused.err


def test_what_is_no_older_state_is_not_taken_for_one(project: "Project") -> None:
    """An index that is behind, or built again; runs that were acknowledged, pruned, forgotten, copied."""
    kept = Kept(project, None)
    index = project.states / "engine/registry.sqlite"
    kept.run("r1")
    behind = index.read_bytes()
    kept.run("r2")
    index.write_bytes(behind)
    assert kept.run("r3").code == 0, "as after a crash between the two commits"
    assert kept.status() == (0, [])
    kept.asks("r4")
    assert project.command("runs", "ack", "r4", "--reason", "x").code == 0
    assert kept.run("r5").code == 0, "the state was amended since"
    assert project.command("resume", "r4", "--decide", "a.pay=done").code == 0
    index.unlink()
    assert kept.run("r6").code == 0
    assert project.command("runs", "prune", "--keep-last", "1", "--yes").code == 0
    assert kept.run("r1").code == 0, "it was pruned"
    for _ in range(2):
        assert project.command("state", "copy", str(project.states), "elsewhere").code == 0
        there = {"AETHERFLOW_STATE_ROOT": str(project.folder / "elsewhere")}
        assert project.command("run", "flow.yaml", env=there).code == 0
        (project.folder / "elsewhere/f.sqlite").unlink()
    project.state.unlink()
    assert project.command("state", "forget", "--reason", "x").code == 0
    assert kept.run("r1").code == 0, "it was forgotten"
    assert kept.status() == (0, [])


def test_an_older_state_is_red_however_long_ago_it_was(project: "Project") -> None:
    kept = Kept(project, None)
    kept.run("r1")
    kept.copy()
    kept.run("r2")
    kept.put_back()
    for more in ("--since", "2099-01-01"), ("--flow", "f"):
        shown = project.command("status", "--json", *more)
        assert (shown.code, [need["status"] for need in json.loads(shown.out)["needs_person"]]) == (1, ["OLDER"])
