"""`runs prune`: what goes, what stays, and that a crash half-way loses nothing that was to stay."""

import contextlib
import errno
import json
import os
import pty
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import warm
from aetherflow.core.base.durable import failpoint
from aetherflow.core.records import pruning
from aetherflow.core.testing.failpoints import Action
from chained import chain_again

if TYPE_CHECKING:
    from core_project import Project

BIG = """\
jobs:
  - id: a
    steps:
      - id: s
        type: external.process
        outputs: {text: '{{result.stdout}}'}
        inputs:
          shell: true
          command: 'head -c 400000 /dev/zero | tr "\\0" "{{run.id}}"; test "{{env.WELL:yes}}" = yes'
          log: {stdout: capture}
"""


def blobs(project: "Project") -> set[str]:
    folder = project.states / "f.sqlite.d/blobs"
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def run_ids(project: "Project", table: str = "runs") -> list[str]:
    return [row[0] for row in project.rows(f"SELECT DISTINCT run_id FROM {table} ORDER BY run_id")]


def files_of(project: "Project", run_id: str) -> list[str]:
    side = project.states / "f.sqlite.d"
    return sorted(path.name for path in side.rglob("*") if path.name.split(".")[0] == run_id)


@pytest.fixture
def three(project: "Project") -> "Project":
    """Runs 1, 2 and 3 of flow f, started a day apart, the last one now."""
    project.flow(BIG)
    for number in "123":
        assert project.cli("run", "flow.yaml", "--run-id", number, "-q").code == 0
        time.sleep(0.005)
    with contextlib.closing(sqlite3.connect(project.state)) as db:
        db.execute("UPDATE runs SET started_at = started_at - 86400000 * (3 - CAST(run_id AS INTEGER))")
        db.commit()
    chain_again(project.state)
    assert len(blobs(project)) >= 3
    return project


def test_rows_logs_locks_and_outputs_go_and_the_rest_stays(three: "Project") -> None:
    before = blobs(three)
    result = three.cli("runs", "prune", "--keep-last", "1")
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith("deleted 2 runs: ")
    for table in ("runs", "job_runs", "step_runs", "journal"):
        assert run_ids(three, table) == ["3"]
    assert [files_of(three, number) for number in "12"] == [[], []]
    assert files_of(three, "3") == ["3", "3", "3.jsonl", "3.lock"]
    assert blobs(three) < before
    assert blobs(three)
    assert three.cli("state", "check", "--flow", "f", "--read-data").code == 0
    assert three.cli("runs", "show", "1").code == 2
    assert three.rows("SELECT count(*) FROM definitions")[0][0] > 0
    again = json.loads(three.cli("runs", "prune", "--keep-last", "1", "--json").out)
    assert (again["runs"], again["files"], again["rows"]) == ([], 0, 0)


def test_a_dry_run_changes_nothing(three: "Project") -> None:
    before = three.state.read_bytes(), blobs(three)
    document = json.loads(three.cli("runs", "prune", "--keep-last", "0", "--dry-run", "--json").out)
    assert (document["schema"], document["dry_run"]) == (1, True)
    assert [run["run_id"] for run in document["runs"]] == ["1", "2", "3"]
    assert three.cli("runs", "prune", "--keep-last", "0", "--dry-run").out.endswith("3 runs would be deleted\n")
    assert (three.state.read_bytes(), blobs(three)) == before


@pytest.mark.parametrize(
    ("rules", "left"),
    [
        (["--older-than", "36h"], "23"),
        (["--older-than", "1s"], "3"),
        (["--older-than", "36h", "--keep-last", "3"], "123"),
        (["--older-than", "36h", "--keep-last", "0"], "23"),
        (["--keep-last", "2"], "23"),
        (["--keep-last", "0"], ""),
    ],
)
def test_rules(three: "Project", rules: list[str], left: str) -> None:
    assert three.cli("runs", "prune", *rules).code == 0
    assert run_ids(three) == list(left)
    if not left:
        assert blobs(three) == set()
        assert json.loads(three.cli("status", "--json").out)["flows"][0]["status"] == "never"


def test_unfinished_runs_stay_unless_asked_for(three: "Project") -> None:
    with contextlib.closing(sqlite3.connect(three.state)) as db:
        db.execute("UPDATE runs SET status='RUNNING' WHERE run_id='1'")  # as kill -9 leaves it
        db.execute("UPDATE runs SET status='UNKNOWN' WHERE run_id='2'")
        db.commit()
    assert three.cli("runs", "prune", "--keep-last", "0").code == 0
    assert run_ids(three) == ["1", "2"]
    assert three.cli("runs", "prune", "--keep-last", "0", "--include-unfinished").code == 0
    assert run_ids(three) == []


def test_a_living_run_stays_whatever_is_asked(three: "Project", wait_for: Callable[..., None], reap: list[int]) -> None:
    waits = BIG.replace("id: s\n", "id: first\n", 1).replace(
        "log: {stdout: capture}\n",
        "log: {stdout: capture}\n      - {id: wait, type: external.process, "
        "inputs: {shell: true, command: 'echo $$ > $EFFECTS.pid; exec sleep 60'}}\n",
    )
    three.flow(waits)
    process = three.start("run", "flow.yaml", "--run-id", "4", "-q")
    pid = three.effects.with_name("effects.pid")
    wait_for(lambda: pid.exists() and pid.read_text().strip())
    reap += [process.pid, int(pid.read_text())]
    before = blobs(three)
    result = three.cli("runs", "prune", "--keep-last", "0", "--include-unfinished")
    assert result.code == 0
    assert run_ids(three) == ["4"]
    assert blobs(three) == {name for name in before if name.startswith("f/4/")} != set()
    assert three.rows("SELECT count(*) FROM definitions")[0][0] > 2, "steps that are still to come have theirs"
    process.kill()
    process.communicate()
    assert three.cli("runs", "prune", "--keep-last", "0", "--include-unfinished").code == 0
    assert blobs(three) == set()
    assert three.cli("state", "check", "--flow", "f", "--read-data").code == 0


def test_kill_9_at_every_point_of_pruning(three: "Project") -> None:
    saved = three.folder / "saved"
    subprocess.run(["cp", "-a", str(three.states), str(saved)], check=True)
    names = three.folder / "points"
    command = ("runs", "prune", "--keep-last", "1")
    assert three.command(*command, env={"AETHERFLOW_TESTS_FAILPOINT": f"log:{names}"}).code == 0
    expected = sorted(path.relative_to(three.states) for path in three.states.rglob("*"))
    count = len(names.read_text().splitlines())
    assert count > 15
    for point in range(1, count + 1, 3):
        subprocess.run(["rm", "-rf", str(three.states)], check=True)
        subprocess.run(["cp", "-a", str(saved), str(three.states)], check=True)
        assert three.command(*command, env={"AETHERFLOW_TESTS_FAILPOINT": str(point)}).code == -signal.SIGKILL
        assert run_ids(three)[-1] == "3"
        assert three.cli("state", "check", "--flow", "f", "--read-data").code == 0, point
        assert three.cli(*command).code == 0
        assert run_ids(three) == ["3"]
        found = sorted(path.relative_to(three.states) for path in three.states.rglob("*"))
        assert found == expected, point


def on_terminal(project: "Project", answer: str, *arguments: str) -> tuple[int, str]:
    ours, theirs = pty.openpty()
    process = warm.Popen(
        project.argv(*arguments), cwd=project.folder, env=project.env, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    os.write(ours, answer.encode())
    seen = b""
    with contextlib.suppress(OSError):
        while chunk := os.read(ours, 4096):
            seen += chunk
    os.close(ours)
    return process.wait(), seen.decode()


def test_many_runs_go_in_one_transaction(project: "Project", monkeypatch: pytest.MonkeyPatch) -> None:
    """A commit, and a sync, for each run would take most of the time of a pruning."""
    project.write(
        "version: 1\nflow: {id: f}\njobs: [{id: a, steps: [{id: s, type: check_items, inputs: {items: [1]}}]}]\n"
    )
    for number in range(6):
        assert project.cli("run", "flow.yaml", "--run-id", f"r{number}").code == 0
    names = project.folder / "points"
    monkeypatch.setattr(pruning, "PAGE", 2)
    monkeypatch.setattr(failpoint, "act", Action(f"log:{names}"))
    pruned = project.cli("runs", "prune", "--keep-last", "1", "--yes")
    monkeypatch.setattr(failpoint, "act", None)
    assert (pruned.code, "deleted 5 runs" in pruned.out) == (0, True), pruned.err
    points = names.read_text().splitlines()
    assert [name for name in points if name.startswith("commit delete")] == [
        *["commit delete runs"] * 3,
        "commit delete definitions",
    ]
    assert [run for (run,) in project.rows("SELECT run_id FROM runs")] == ["r5"]
    left = {path.stem for kind in ("logs", "runs") for path in (project.states / "f.sqlite.d" / kind / "f").iterdir()}
    assert left == {"r5"}
    assert project.cli("state", "check", "--flow", "f").code == 0


def test_on_a_terminal_it_asks(three: "Project") -> None:
    code, seen = on_terminal(three, "n\n", "runs", "prune", "--keep-last", "1")
    assert (code, "Delete 2 runs? [y/N]" in seen) == (130, True), seen
    assert run_ids(three) == ["1", "2", "3"]
    code, seen = on_terminal(three, "", "runs", "prune", "--keep-last", "2", "--yes")
    assert (code, "[y/N]" in seen) == (0, False), seen
    code, seen = on_terminal(three, "y\n", "runs", "prune", "--keep-last", "1")
    assert code == 0, seen
    assert run_ids(three) == ["3"]


def test_two_flows_on_one_state_file(project: "Project", tmp_path: Path) -> None:
    shared: dict[str, Any] = {}
    for flow_id in ("f", "g"):
        shared[flow_id] = project.write(
            f"version: 1\nflow: {{id: {flow_id}, state: {{path: '{project.state}'}}}}\n{BIG}", f"{flow_id}.yaml"
        )
        for number in "12":
            assert project.cli("run", f"{flow_id}.yaml", "--run-id", number, "-q").code == 0
            time.sleep(0.005)
    assert project.cli("runs", "prune", "--keep-last", "1", "--flow", "f").code == 0
    assert project.rows("SELECT flow_id, run_id FROM runs ORDER BY 1, 2") == [("f", "2"), ("g", "1"), ("g", "2")]
    assert project.cli("state", "check", str(project.state), "--read-data").code == 0, "g still needs its outputs"


def test_a_state_that_cannot_be_read_does_not_keep_the_others(three: "Project") -> None:
    three.write(f"version: 1\nflow: {{id: broken}}\n{BIG}", "broken.yaml")
    assert three.cli("run", "broken.yaml", "-q").code == 0
    (three.states / "broken.sqlite").write_text("no database " * 500)
    result = three.cli("runs", "prune", "--keep-last", "1")
    assert (result.code, "AF4001" in result.err, "broken.sqlite" in result.err) == (4, True, True)
    assert run_ids(three) == ["3"]


def test_a_file_that_cannot_be_removed_goes_with_the_next_pruning(
    three: "Project", monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows of its run are gone by then: the run index forgets it all the same."""

    def act(name: str, *_: object) -> None:
        if name == "clear 1.jsonl":
            raise OSError(errno.EIO, os.strerror(errno.EIO), name)

    monkeypatch.setattr(failpoint, "act", act)
    failed = three.cli("runs", "prune", "--keep-last", "1")
    monkeypatch.setattr(failpoint, "act", None)
    assert (failed.code, "deleted 2 runs" in failed.out, "Input/output error" in failed.err) == (4, True, True), failed
    assert (run_ids(three), files_of(three, "1")[-1]) == (["3"], "1.lock")
    shown = three.cli("runs", "show", "1")
    assert (shown.code, "run index" in shown.err) == (2, False), shown
    assert three.cli("runs", "prune", "--keep-last", "1").code == 0
    assert [files_of(three, number) for number in "12"] == [[], []]
