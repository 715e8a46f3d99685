"""`runs prune` by the retention of the project file: what goes on day 400, and what never goes."""

import contextlib
import json
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from aetherflow.core.cli import retaining
from aetherflow.core.records.pruning import Freed
from aetherflow.core.runtime.adopting import adopt
from aetherflow.core.runtime.retention import remove_workspaces
from claiming import flow as claiming_flow
from claiming import run as claiming_run
from claiming import running

if TYPE_CHECKING:
    from core_project import Project

DAY = 86_400_000
NIGHTLY = """\
version: 1
flow: {id: f}
jobs:
  - id: main
    steps:
      - {id: write, type: file_write, inputs: {path: note.txt, content: told}}
      - {id: after, type: test_fail_after}
      - {id: use, type: file_hash, inputs: {path: "{{steps.write.path}}"}}
"""
POLICY = {"runs": "90d", "logs": "30d", "failed_workspaces": "7d"}


def policy(project: "Project", **spans: str) -> None:
    project.write(json.dumps({"version": 1, "retention": spans}), "aetherflow.yaml")


def pruned(project: "Project", *options: str, code: int = 0) -> dict[str, Any]:
    result = project.cli("runs", "prune", "--json", *options)
    assert result.code == code, result
    found: dict[str, Any] = json.loads(result.out)
    return found


def ids(rows: list[dict[str, Any]]) -> set[str]:
    return {each["run_id"] for each in rows}


def why(found: dict[str, Any]) -> dict[str, str]:
    return {each["run_id"]: each["reason_code"] for each in found["kept"]}


def ran(project: "Project", run_id: str, *more: str, well: bool = True) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FAIL", "" if well else "after")
        done = project.cli("run", "f.yaml", "--run-id", run_id, "-q", *more)
        assert done.code == (0 if well else 1), done


def change(project: "Project", *statements: str) -> None:
    """Change the state of flow `f`, and let the registry say what it says."""
    with contextlib.closing(sqlite3.connect(project.state)) as db, db:
        for statement in statements:
            db.execute(statement)
    adopt(project.states, project.state)


def ago(run_id: str, days: float) -> str:
    past = int(days * DAY)
    return f"UPDATE runs SET started_at=started_at-{past}, finished_at=finished_at-{past} WHERE run_id='{run_id}'"


@pytest.fixture
def nightly(project: "Project") -> "Project":
    """A flow that fails where FAIL says `after`, below a project file with a retention."""
    project.write(NIGHTLY, "f.yaml")
    policy(project, **POLICY)
    return project


def logs(project: "Project") -> set[str]:
    return {path.stem for path in (project.states / "f.sqlite.d/logs/f").iterdir()}


def folders(project: "Project") -> set[str]:
    return {path.name for path in (project.work / "f/main").iterdir()}


def test_day_400(nightly: "Project") -> None:
    """A run each night for 400 days, some of which failed: those go that should, and no other."""
    nights = {f"d{day:03}": day for day in range(400, 0, -1)}
    bad = {
        "healed": (300, True), "open": (200, False), "resolved": (150, False), "late": (20, True), "new": (5, True),
    }  # fmt: skip
    statements = []
    for number, (run_id, (days, healed)) in enumerate(bad.items(), 1):
        slot = ("--slot", f"2026-01-0{number}T02:00Z")
        ran(nightly, run_id, *slot, well=False)
        statements.append(ago(run_id, days))
        if healed:
            ran(nightly, f"{run_id}-again", *slot)
            statements.append(ago(f"{run_id}-again", days - 0.5))
    ran(nightly, "d001")
    columns = [row[1] for row in nightly.rows("PRAGMA table_info(runs)") if row[1] not in ("run_id", "slot")]
    others = ", ".join(columns)
    for run_id, day in nights.items():
        if run_id != "d001":  # as if it had run: its row, and its log
            again = f"SELECT '{run_id}', '2025-01-01T{day:03}', {others} FROM runs WHERE run_id='d001'"
            statements.append(f"INSERT INTO runs (run_id, slot, {others}) {again}")
            log = nightly.states / f"f.sqlite.d/logs/f/{run_id}.jsonl"
            log.write_text("{}\n")
        statements.append(ago(run_id, day))
    statements.append("UPDATE runs SET parent='f/open', trigger='flow' WHERE run_id='d180'")
    change(nightly, *statements)
    assert nightly.cli("runs", "resolve", "resolved", "--as", "abandoned", "--reason", "done by hand").code == 0

    told = pruned(nightly, "--dry-run")
    gone = {run_id for run_id, day in nights.items() if day >= 90} - {"d180"}
    gone |= {"healed", "healed-again", "resolved"}
    without_log = {run_id for run_id, day in nights.items() if 30 <= day < 90}
    assert (ids(told["runs"]), ids(told["logs"])) == (gone, without_log)
    assert ids(told["workspaces"]) == {"healed", "resolved", "late"}
    assert why(told) == {"open": "needs_person", "d180": "part"}
    assert told["retention"] == POLICY
    before = {row[0] for row in nightly.rows("SELECT run_id FROM runs")}
    assert gone < before == logs(nightly), "a dry run changes nothing"

    done = pruned(nightly, "--yes")
    assert {name: done[name] for name in ("runs", "logs", "workspaces", "kept")} == {
        name: told[name] for name in ("runs", "logs", "workspaces", "kept")
    }
    assert {row[0] for row in nightly.rows("SELECT run_id FROM runs")} == before - gone
    assert logs(nightly) == before - gone - without_log
    assert folders(nightly) == {"open", "new"}
    checked = nightly.cli("state", "check", str(nightly.state), "--read-data").out.splitlines()[:-1]
    own = ("is not what was written", "the journal has no entry of the run")
    assert [line for line in checked if not any(words in line for words in own)] == [], "what the test itself has made"
    twice = pruned(nightly, "--yes")
    assert (twice["runs"], twice["logs"], twice["workspaces"]) == ([], [], [])


def test_what_a_process_executes_or_a_step_asks_stays(nightly: "Project") -> None:
    for run_id in ("alive", "killed", "asks"):
        ran(nightly, run_id)
    ran(nightly, "last")
    change(
        nightly,
        "UPDATE runs SET status='RUNNING', finished_at=NULL WHERE run_id IN ('alive', 'killed')",
        "UPDATE runs SET status='UNKNOWN' WHERE run_id='asks'",
        *(ago(run_id, 100) for run_id in ("alive", "killed", "asks")),
    )
    with running(nightly, "alive"):
        found = pruned(nightly, "--yes")
    assert why(found) == {"alive": "live", "asks": "needs_person"}
    assert ids(found["runs"]) == {"killed"}, "the run of today was of the same, and ended well"


def test_open_claims_stay(project: "Project", inbox: Path) -> None:
    project.write(claiming_flow())
    policy(project, **POLICY)
    claiming_run(project, "one", fail="load")
    project.cli("runs", "ack", "one", "--reason", "seen")
    change(project, ago("one", 100))
    found = pruned(project, "--yes")
    assert (found["runs"], found["workspaces"], why(found)) == ([], [], {"one": "claims"})
    text = project.cli("runs", "prune", "--yes").out
    assert "kept 1 run: has open claims: aetherflow claims list" in text
    assert "a.txt" in project.cli("claims", "list").out


def test_the_last_run_of_a_flow_stays(nightly: "Project") -> None:
    ran(nightly, "only")
    change(nightly, ago("only", 395))
    found = pruned(nightly, "--yes")
    assert (found["runs"], found["logs"], why(found)) == ([], [], {"only": "last"})


def test_runs_of_other_projects_stay(nightly: "Project") -> None:
    """The state root is shared, and another project has another retention, or none."""
    for run_id in ("theirs", "old", "last"):
        ran(nightly, run_id)
    (nightly.folder / "theirs").mkdir()
    theirs = nightly.write("{version: 1}", "theirs/aetherflow.yaml")
    change(
        nightly,
        f"UPDATE runs SET config='{theirs}' WHERE run_id='theirs'",
        "UPDATE runs SET config=NULL WHERE run_id='old'",  # of 1.0: the file beside the flow
        ago("theirs", 100),
        ago("old", 100),
    )
    found = pruned(nightly, "--yes")
    assert (ids(found["runs"]), found["kept"]) == ({"old"}, [])


def test_a_part_of_a_run_of_another_flow_stays(nightly: "Project") -> None:
    """Though only its own flow is asked for, and the run between both belongs to another project."""
    nightly.write(NIGHTLY.replace("id: f}", "id: g}"), "g.yaml")
    for run_id in ("part", "last"):
        assert nightly.cli("run", "g.yaml", "--run-id", run_id, "-q").code == 0
    ran(nightly, "open", "--slot", "2026-01-01T00:00Z", well=False)
    ran(nightly, "between")
    ran(nightly, "end")
    (nightly.folder / "theirs").mkdir()
    theirs = nightly.write("{version: 1}", "theirs/aetherflow.yaml")
    between = f"UPDATE runs SET parent='f/open', trigger='flow', config='{theirs}' WHERE run_id='between'"
    change(nightly, between, ago("open", 102), ago("between", 101))
    with contextlib.closing(sqlite3.connect(nightly.states / "g.sqlite")) as db, db:
        db.execute("UPDATE runs SET parent='f/between', trigger='flow' WHERE run_id='part'")
        db.execute(ago("part", 100))
    for options in (("--flow", "g"), ()):
        found = pruned(nightly, "--yes", *options)
        assert (found["runs"], why(found).get("part")) == ([], "part"), options


def test_what_cannot_be_deleted_keeps_its_run_and_no_other(nightly: "Project") -> None:
    nightly.write(NIGHTLY.replace("id: f}", "id: g}"), "g.yaml")
    for run_id in ("one", "gone", "last"):
        assert nightly.cli("run", "g.yaml", "--run-id", run_id, "-q").code == 0
    ran(nightly, "bad", "--slot", "2026-01-01T00:00Z", well=False)
    ran(nightly, "good", "--slot", "2026-01-01T00:00Z")
    change(
        nightly,
        ago("bad", 100),
        "CREATE TRIGGER full BEFORE UPDATE ON artifacts BEGIN SELECT RAISE(ABORT, 'the disk is full'); END",
    )
    with contextlib.closing(sqlite3.connect(nightly.states / "g.sqlite")) as db, db:
        db.execute(ago("gone", 100))
    result = nightly.cli("runs", "prune", "--json", "--yes")
    assert result.code == 4, result
    assert (f"{nightly.state}: the disk is full" in result.err, "Traceback" in result.err) == (True, False)
    found = json.loads(result.out)
    assert (ids(found["runs"]), found["workspaces"], folders(nightly)) == ({"gone"}, [], {"bad"})
    change(nightly, "DROP TRIGGER full")
    found = pruned(nightly, "--yes")
    assert (ids(found["runs"]), ids(found["workspaces"])) == ({"bad"}, {"bad"})


def test_a_run_that_was_resumed_since_it_was_judged_stays(nightly: "Project", monkeypatch: pytest.MonkeyPatch) -> None:
    ran(nightly, "bad", "--slot", "2026-01-01T00:00Z", well=False)
    ran(nightly, "good", "--slot", "2026-01-01T00:00Z")
    change(nightly, ago("bad", 100))

    def resumed(*given: Any) -> Freed:
        assert nightly.cli("resume", "bad", "-q").code == 0
        return remove_workspaces(*given)

    monkeypatch.setattr(retaining, "remove_workspaces", resumed)
    found = pruned(nightly, "--yes")
    assert (found["runs"], found["workspaces"], found["busy"]) == ([], [], ["f/bad"])
    assert ("bad",) in nightly.rows("SELECT run_id FROM runs")


def test_a_run_whose_folder_went_makes_its_files_anew(nightly: "Project") -> None:
    ran(nightly, "bad", well=False)
    change(nightly, ago("bad", 8))
    nightly.cli("runs", "resolve", "bad", "--as", "abandoned", "--reason", "later")
    found = pruned(nightly, "--yes")
    assert (ids(found["workspaces"]), folders(nightly)) == ({"bad"}, set())
    assert nightly.rows("SELECT gone_by FROM artifacts") == [("cleanup retention",)]
    assert nightly.cli("resume", "bad", "-q").code == 0
    attempts = nightly.rows("SELECT step_id, max(attempt) FROM step_runs GROUP BY step_id")
    assert dict(attempts) == {"write": 2, "after": 2, "use": 1}


def test_a_folder_that_somebody_else_has_made_stays(nightly: "Project") -> None:
    ran(nightly, "bad", "--slot", "2026-01-01T00:00Z", well=False)
    ran(nightly, "good", "--slot", "2026-01-01T00:00Z")
    change(nightly, ago("bad", 8))
    theirs = nightly.work / "f/other/bad"
    theirs.mkdir(parents=True)
    (theirs / "mine.txt").touch()
    assert ids(pruned(nightly, "--yes")["workspaces"]) == {"bad"}
    assert (folders(nightly), (theirs / "mine.txt").exists()) == (set(), True)
    assert pruned(nightly, "--yes")["workspaces"] == []


def test_a_workspace_with_a_rendered_root_is_found(project: "Project", tmp_path: Path) -> None:
    root = f"workspace: {{root: '{tmp_path}/{{{{params.country}}}}'}}, params: {{country: {{default: no}}}}"
    project.write(NIGHTLY.replace("{id: f}", f"{{id: f, {root}}}"), "f.yaml")
    policy(project, **POLICY)
    ran(project, "bad", "--param", "country=de", well=False)
    ran(project, "good", "--param", "country=de")
    change(project, ago("bad", 8))
    assert (tmp_path / "de/f/main/bad").is_dir()
    assert ids(pruned(project, "--yes")["workspaces"]) == {"bad"}
    assert not (tmp_path / "de/f/main/bad").exists()


def test_what_is_told(nightly: "Project") -> None:
    for run_id in ("old", "older", "last"):
        ran(nightly, run_id)
    change(nightly, ago("old", 40), ago("older", 100))
    text = nightly.cli("runs", "prune", "--dry-run").out
    going = "1 run, the logs of 1 run, the job folders of 0 runs that ended badly"
    assert text.endswith(f"would be deleted: {going}\n"), text
    lines = nightly.cli("runs", "prune", "--yes").out.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["deleted 1 run", "deleted the logs of 1 run"]
    shown = nightly.cli("runs", "logs", "old")
    assert (shown.code, "it was removed" in shown.err) == (2, True)
    assert nightly.cli("runs", "show", "old").code == 0


def test_the_command_that_shows_what_needs_a_person_is_named(nightly: "Project") -> None:
    ran(nightly, "open", "--slot", "2026-01-01T00:00Z", well=False)
    ran(nightly, "last")
    change(nightly, ago("open", 100))
    assert "kept 1 run: needs a person: aetherflow status\n" in nightly.cli("runs", "prune", "--yes").out
    assert "aetherflow resume open" in nightly.cli("status").out


def test_without_a_retention_nothing_goes(nightly: "Project") -> None:
    for text in ("{version: 1}", "{version: 1, retention: {slots: 400d}}"):
        nightly.write(text, "aetherflow.yaml")
        done = nightly.cli("runs", "prune")
        assert (done.code, "nothing says which runs may go" in done.err) == (2, True)
        assert "`retention: {runs: 90d}`" in done.err
    policy(nightly, **POLICY)
    assert nightly.cli("runs", "prune", "--include-unfinished").code == 2


@pytest.mark.parametrize(
    ("text", "place", "said"),
    [
        ("{runs: 90}", "1:32", "is no span"),
        ("{runs: soon}", "1:32", "'soon' is no span such as 30m, 12h or 2d"),
        ("{slots: 12h}", "1:33", "'12h' is less than a day"),
        ("{run: 90d}", "1:26", "runs"),
    ],
)
def test_a_wrong_retention_is_told_with_its_place(nightly: "Project", text: str, place: str, said: str) -> None:
    nightly.write(f"{{version: 1, retention: {text}}}", "aetherflow.yaml")
    done = nightly.cli("validate", "aetherflow.yaml")
    assert (done.code, f"aetherflow.yaml:{place}" in done.err + done.out) == (2, True), done
    assert said in done.err + done.out
