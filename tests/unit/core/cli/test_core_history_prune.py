"""`runs prune`: what goes, what stays, and that what it takes hardly grows with the number of runs."""

import contextlib
import json
import sqlite3
import tracemalloc
from typing import TYPE_CHECKING

import pytest

from aetherflow.core.base.durable import SqliteDatabase
from aetherflow.core.runtime.adopting import adopt

if TYPE_CHECKING:
    from core_project import Project

FLOW = "version: 1\nflow: {id: f}\njobs: [{id: a, steps: [{id: s, type: check_items, inputs: {items: [1]}}]}]\n"
BY_AGE = ("--older-than", "30d")
BY_POLICY = ()


def test_a_rule_is_required(project: "Project") -> None:
    for arguments in ([], ["--older-than", "soon"], ["--keep-last", "-1"]):
        assert project.cli("runs", "prune", *arguments).code == 2


@pytest.fixture
def nightly(project: "Project") -> "Project":
    """A flow below a project file with a retention."""
    project.write(FLOW)
    project.write(json.dumps({"version": 1, "retention": {"runs": "90d", "logs": "30d"}}), "aetherflow.yaml")
    return project


def a_year_ago(project: "Project", runs: int) -> None:
    """A run of today, and so many that were like it, with rows and logs."""
    assert project.cli("run", "flow.yaml", "--run-id", f"today{runs}", "-q").code == 0
    with contextlib.closing(sqlite3.connect(project.state)) as db, db:
        for table in ("runs", "job_runs", "step_runs", "journal"):
            columns = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
            others = [name for name in columns if name not in ("run_id", "seq", "chain")]
            values = ["started_at - 31536000000 + ?" if name == "started_at" else name for name in others]
            copy = f"INSERT INTO {table} (run_id, {', '.join(others)}) SELECT ?, {', '.join(values)} FROM {table} "
            for number in range(runs):
                given = (number,) if "started_at" in others else ()
                db.execute(f"{copy} WHERE run_id=?", (f"old{number:05}", *given, f"today{runs}"))
    for number in range(runs):
        (project.states / f"f.sqlite.d/logs/f/old{number:05}.jsonl").write_text("{}\n")
    adopt(project.states, project.state)


def run_ids(project: "Project") -> list[str]:
    return [run_id for (run_id,) in project.rows("SELECT run_id FROM runs ORDER BY run_id")]


@pytest.mark.parametrize("rules", [BY_AGE, BY_POLICY], ids=["by age", "by policy"])
def test_the_memory_does_not_grow_with_the_runs(nightly: "Project", rules: tuple[str, ...]) -> None:
    peaks = []
    for number in (300, 500, 2_000):  # the first one imports what is needed
        a_year_ago(nightly, number)
        tracemalloc.start()
        try:
            done = nightly.cli("runs", "prune", *rules, "--yes")
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
        assert (done.code, f"deleted {number} runs" in done.out) == (0, True), done
    assert peaks[2] < peaks[1] + 1_500 * 1_000, peaks  # an id, say, but no row of a run, which takes thousands


@pytest.mark.parametrize("rules", [BY_AGE, BY_POLICY], ids=["by age", "by policy"])
def test_statements_are_for_many_runs(
    nightly: "Project", rules: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server is far, and it gets what a file gets."""
    a_year_ago(nightly, 1_000)
    statements, execute = list[str](), SqliteDatabase.execute

    def counted(self: SqliteDatabase, statement: str, *values: object) -> object:
        statements.append(statement)
        return execute(self, statement, *values)  # type: ignore[arg-type]

    monkeypatch.setattr(SqliteDatabase, "execute", counted)
    assert "deleted 1000 runs" in nightly.cli("runs", "prune", *rules, "--yes").out
    assert run_ids(nightly) == ["today1000"]
    assert statements.count("BEGIN IMMEDIATE") <= 10, "transactions"
    assert len(statements) <= 400
