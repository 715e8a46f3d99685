"""What is changed in a state behind the engine's back is found by its chain, at the first place of each run."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from aetherflow.core.api import Step, register_step
from aetherflow.core.host import catalog
from aetherflow.core.kernel.state.chain import digest_of
from aetherflow.core.runtime.proof.chains import check_chain
from core_project import Project

FLOW = """
version: 1
flow: {id: f, params: {ok: {type: string, default: "true"}}}
jobs:
  - id: a
    steps:
      - {id: s, type: test_keeps}
      - {id: t, type: assert, inputs: {condition: params.ok == "true"}}
"""
WRITTEN = "is not what was written"
LAST = "seq=(SELECT max(seq) FROM {0} WHERE run_id='bad')"


class Keeps(Step[Any]):
    """It writes what all runs share, and claims what is its own."""

    def run(self) -> None:
        self.ctx.ledger("marks").put("latest", self.ctx.run_id)
        self.ctx.ledger("taken").claim(self.ctx.run_id, 1)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state with a run that was pruned, one that ended well, and one that failed."""
    project = Project(tmp_path_factory.mktemp("chains"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(catalog, "_registered", {group: dict(each) for group, each in catalog._registered.items()})
        register_step("test_keeps")(Keeps)
        project.enter(patch)
        project.write(FLOW)
        for run_id, ok, code in (("old", "true", 0), ("good", "true", 0), ("bad", "false", 1)):
            done = project.cli("run", "flow.yaml", "-q", "--run-id", run_id, "--param", f"ok={ok}")
            assert done.code == code, done
        assert project.cli("runs", "prune", "--flow", "f", "--keep-last", "2").code == 0
    return project.states / "f.sqlite"


@pytest.fixture
def state(kept: Path, tmp_path: Path) -> Path:
    found = tmp_path / "f.sqlite"
    with closing(sqlite3.connect(kept)) as source, closing(sqlite3.connect(found)) as copy:
        source.backup(copy)
    return found


@pytest.mark.parametrize(
    ("edit", "where", "what"),
    [
        ("UPDATE heads SET facts='x' WHERE seq=1", "f/old", f"row 1 of heads (amended) {WRITTEN}"),
        (
            "DELETE FROM heads WHERE seq=1",
            "f/old",
            f"row 2 of heads (ended) {WRITTEN}, or one before it was taken out",
        ),
        ("INSERT INTO meta VALUES ('migrated_at', '1')", "meta", f"the time of the migration, in meta, {WRITTEN}"),
        ("UPDATE journal SET detail='{}' WHERE run_id='bad'", "f/bad", f"(run_start) {WRITTEN}"),
        ("DELETE FROM journal WHERE run_id='bad'", "f/bad", "the journal has no entry of the run"),
        (f"DELETE FROM journal WHERE {LAST.format('journal')}", "f/bad", "the end of its journal is cut off: row "),
        ("DELETE FROM journal WHERE run_id='old'", "f/old", f"what the journal keeps of the pruned run {WRITTEN}"),
        ("DELETE FROM runs WHERE run_id='bad'", "f/bad", "the run is not there, and nothing says that it was pruned"),
        ("UPDATE runs SET actor='x' WHERE run_id='bad'", "f/bad", f"a row of the run {WRITTEN} (row "),
        ("UPDATE ledger SET value='1' WHERE key='latest'", "f/bad", f"'latest' of ledger marks {WRITTEN}"),
        ("DELETE FROM ledger WHERE key='latest'", "f", "'latest' of ledger marks was taken out"),
        ("UPDATE claims SET value='2' WHERE run_id='good'", "f/good", f"a row of the run {WRITTEN} (row "),
    ],
)
def test_an_edit_is_found(state: Path, edit: str, where: str, what: str) -> None:
    assert check_chain(state) == []
    with closing(sqlite3.connect(state)) as db, db:
        assert db.execute(edit).rowcount > 0
    found = check_chain(state)
    assert any(what in each.what for each in found if each.where == where), found


@pytest.mark.parametrize(
    ("event", "what"),
    [
        ("step_start", "its journal goes on after its end (step_start)"),
        ("run_start", f"the row of the run {WRITTEN}: "),
    ],
)
def test_a_journal_that_goes_on_after_the_end(state: Path, event: str, what: str) -> None:
    with closing(sqlite3.connect(state)) as db, db:
        (tail,) = db.execute(f"SELECT chain FROM journal WHERE {LAST.format('journal')}").fetchone()
        entry = ("f", "bad", 1, event, "{}")
        db.execute(
            "INSERT INTO journal (flow_id, run_id, at, event, detail, chain) VALUES (?, ?, ?, ?, ?, ?)",
            (*entry, digest_of((tail, *entry))),
        )
    assert [(each.where, each.what[: len(what)]) for each in check_chain(state)] == [("f/bad", what)]


def test_a_run_that_has_ended_without_a_row_that_says_so(state: Path) -> None:
    with closing(sqlite3.connect(state)) as db, db:
        db.execute("DELETE FROM heads WHERE event='pruned'")
        db.execute("DELETE FROM heads WHERE run_id='bad'")
    found = {each.where: each.what for each in check_chain(state)}
    assert found["f/bad"] == "the run has ended, and no row of heads says so"
