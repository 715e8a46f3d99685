"""`for_each` with `max_parallel`: runs side by side, each in a process of its own."""

import json
import os
import signal
import sqlite3
import threading
from collections import defaultdict
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from core_run_flow import SIDE_BY_SIDE, lay_side_by_side

from aetherflow.core.base.durable.database import FileDatabase

if TYPE_CHECKING:
    from collections.abc import Callable

    from core_project import Project

MEET = (
    "echo $$ > $EFFECTS.pid.{{params.n}}; until test -e $EFFECTS.go; do sleep 0.02; done; "
    "echo second {{params.n}} >> $EFFECTS"
)
"""A step that waits until the test lets it go on."""


def lay(
    project: "Project", items: str = "[x, y, z]", most: int = 3, second: str = MEET, parent: str = SIDE_BY_SIDE
) -> None:
    lay_side_by_side(project, items, most, second, parent)


def waiting(project: "Project") -> dict[str, int]:
    """Item to the process of its step that waits."""
    files = project.folder.glob("effects.pid.*")
    return {path.suffix[1:]: int(text) for path in files if (text := path.read_text().strip())}


def let_go(project: "Project") -> None:
    project.effects.with_name("effects.go").touch()


def children(project: "Project") -> dict[str, tuple[Any, ...]]:
    """Status, generation and parent of the runs inside, by their parameter."""
    with closing(sqlite3.connect(project.states / "c.sqlite")) as connection:
        rows = connection.execute("SELECT params, status, generation, parent FROM runs").fetchall()
    return {json.loads(params)["n"]: tuple(rest) for params, *rest in rows}


def statuses(project: "Project") -> dict[str, str]:
    query = "SELECT label, status FROM step_runs WHERE label IS NOT NULL ORDER BY attempt"
    return dict(project.rows(query))


def test_items_run_at_the_same_time_and_their_results_stand_in_the_order_of_the_list(
    project: "Project", wait_for: "Callable[..., None]"
) -> None:
    lay(project, items="[x, y, x]", most=2, second="echo {{params.n}}; " + MEET)
    process = project.start("run", "flow.yaml", "--run-id", "r")
    wait_for(lambda: len(waiting(project)) == 2)
    assert sorted(project.lines()) == ["first x", "first y"], "two at a time, the first two of the list"
    let_go(project)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    (outputs,) = project.rows("SELECT outputs FROM job_runs")[0]
    found = json.loads(outputs)["all"]
    assert [each["jobs"]["load"]["outputs"]["said"].strip() for each in found] == ["x", "y", "x"]
    assert len({each["run_id"] for each in found}) == 3
    lines = err.splitlines()
    assert "a.sub[y] | load.second: y" in lines
    assert "a.sub[x] | load.first SUCCESS" in lines
    shown = project.cli("runs", "show", "r", "--json")
    assert {each["status"] for each in json.loads(shown.out)["flows"]} == {"SUCCESS"}
    assert {parent for _, _, parent in children(project).values()} == {"f/r"}


def test_only_the_thread_of_the_run_uses_its_connection(project: "Project", monkeypatch: pytest.MonkeyPatch) -> None:
    """Two threads that send one statement at the same time get "bad parameter or other API misuse" from SQLite."""
    threads = defaultdict[int, set[str]](set)
    execute = FileDatabase.execute

    def noted(database: FileDatabase, statement: str, *values: Any) -> sqlite3.Cursor:
        threads[id(database)].add(threading.current_thread().name)
        return execute(database, statement, *values)

    monkeypatch.setattr(FileDatabase, "execute", noted)
    lay(project, second="echo {{params.n}}")
    assert project.cli("run", "flow.yaml", "--run-id", "r").code == 0
    assert threads
    assert [names for names in threads.values() if len(names) > 1] == []


def test_after_a_failure_those_that_run_end_and_no_other_begins(
    project: "Project", wait_for: "Callable[..., None]"
) -> None:
    second = f"test {{{{params.n}}}} = y && test ! -e $EFFECTS.ok && exit 7; {MEET}"
    lay(project, items="[x, y, z]", most=2, second=second)
    process = project.start("run", "flow.yaml", "--run-id", "r", "--json")
    wait_for(lambda: waiting(project) and statuses(project).get("y") == "FAILED")
    let_go(project)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    error = json.loads(out)["error"]
    assert error["code"] == "AF5008"
    assert error["items"] == ["y"]
    assert error["message"].startswith(
        "1 of 3 items failed: y; 1 not begun\n    y: AF5001 flow c ended FAILED in load.second"
    )
    assert statuses(project) == {"x": "SUCCESS", "y": "FAILED"}
    project.effects.with_name("effects.ok").touch()
    resumed = project.cli("resume", "r")
    assert resumed.code == 0, resumed.err
    assert sorted(project.lines()) == sorted(f"{step} {n}" for step in ("first", "second") for n in "xyz")
    assert {n: generation for n, (_, generation, _) in children(project).items()} == {"x": 1, "y": 2, "z": 1}


def test_a_stop_reaches_all_and_a_resume_repeats_what_is_not_done(
    project: "Project", wait_for: "Callable[..., None]", lives: "Callable[[int], bool]"
) -> None:
    lay(project, items="[x, y, z]", most=2, second=f"test {{{{params.n}}}} = x || {{ {MEET}; }}")
    process = project.start("run", "flow.yaml", "--run-id", "r")
    wait_for(lambda: len(waiting(project)) == 2)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130
    assert not any(map(lives, waiting(project).values()))
    assert statuses(project) == {"x": "SUCCESS", "y": "INTERRUPTED", "z": "INTERRUPTED"}
    assert {n: status for n, (status, *_) in children(project).items()} == statuses(project)
    let_go(project)
    assert project.cli("resume", "r").code == 0
    assert sorted(project.lines()) == ["first x", "first y", "first z", "second y", "second z"]


def test_after_a_kill_what_is_left_is_ended_before_it_runs_again(
    project: "Project", wait_for: "Callable[..., None]", lives: "Callable[[int], bool]"
) -> None:
    lay(project, items="[x, y]", second="trap '' TERM; " + MEET)
    process = project.start("run", "flow.yaml", "--run-id", "r")
    wait_for(lambda: len(waiting(project)) == 2)
    before = waiting(project)
    owners = [int(path.read_text().split()[1]) for path in project.states.glob("c.sqlite.d/runs/c/*.lock")]
    for pid in _guards(process.pid):
        os.kill(pid, signal.SIGKILL)
    process.kill()
    process.communicate(timeout=20)
    assert all(map(lives, owners)), "nobody has ended them"
    for path in project.folder.glob("effects.pid.*"):
        path.unlink()
    again = project.start("run", "flow.yaml", "--run-id", "r")
    wait_for(lambda: len(waiting(project)) == 2)
    assert not any(map(lives, [*before.values(), *owners]))
    let_go(project)
    _, err = again.communicate(timeout=60)
    assert again.returncode == 0, err
    assert sorted(project.lines()) == ["first x", "first y", "second x", "second y"]


def _guards(parent: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if b"guard_program" in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue
    mine = [pid for pid in found if _parent(pid) == parent]
    return [*mine, *(pid for pid in found if _parent(pid) in mine)]


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


LOCKED = SIDE_BY_SIDE.replace("    steps:", "    lock: {key: k}\n    steps:", 1)
UNDER_LOCK = """\
version: 1
flow: {id: c, params: {n: {type: string}}}
jobs:
  - id: load
    steps:
      - id: l
        type: with_lock
        inputs:
          lock_key: k
          step:
            type: external.process
            inputs: {shell: true, command: "echo {{lock.token}} $AETHERFLOW_LOCK_TOKEN >> $EFFECTS; WAIT"}
      - {id: other, type: with_lock, inputs: {lock_key: "own-{{params.n}}", step: {type: sleep, inputs: {seconds: 0}}}}
"""


def test_locks_that_are_held_are_shared(project: "Project") -> None:
    lay(project, items="[x, y]", parent=LOCKED)
    other = " ".join(project.argv("wrap", "--id", "o", "--lock", "k")) + " -- true; echo $? >> $EFFECTS"
    project.write(UNDER_LOCK.replace("WAIT", other.replace('"', '\\"')), "child.yaml")
    found = project.cli("run", "flow.yaml", "--run-id", "r")
    assert found.code == 0, found.err
    assert sorted(project.lines()) == ["1 1", "1 1", "3", "3"], "others are kept out"
    assert project.cli("locks", "list", "--json").out.count('"key"') == 0


@pytest.mark.parametrize("most", [1, 2])
def test_a_number_arrives_as_it_is_written(project: "Project", most: int) -> None:
    """The process of a run beside others gets its parameters as JSON, which knows no 1.10."""
    parent = SIDE_BY_SIDE.replace('n: "{{item}}"', "n: 1.10")
    lay(project, "[x]" if most == 1 else "[x, y]", most, "true", parent)
    done = project.cli("run", "flow.yaml", "-q")
    assert done.code == 0, done.err
    assert set(children(project)) == {"1.10"}


def test_text_that_is_not_unicode_is_refused_by_the_run_inside(
    project: "Project", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ODD", os.fsdecode(b"a\xff"))
    lay(project, "[x, y]", 2, "true", SIDE_BY_SIDE.replace('n: "{{item}}"', 'n: "{{env.ODD}}"'))
    done = project.cli("run", "flow.yaml", "-q")
    assert (done.code, "AF5004 an output holds text that is not valid Unicode" in done.err) == (1, True), done.err
    assert "Pydantic" not in done.err
