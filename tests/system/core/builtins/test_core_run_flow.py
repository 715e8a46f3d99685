"""A flow as a step: its outputs, its failures, how it is resumed, stopped, checked; what the history shows."""

import json
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest
from core_run_flow import CHILD, PARENT, lay, run

if TYPE_CHECKING:
    from collections.abc import Callable

    from core_project import Project


def children(project: "Project") -> list[tuple[Any, ...]]:
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(project.states / "c.sqlite")) as connection:
        return connection.execute("SELECT run_id, status, parent, generation, trigger FROM runs ORDER BY 1").fetchall()


def test_the_outputs_of_its_jobs_come_back(project: "Project") -> None:
    lay(project)
    summary = run(project)
    assert [job["status"] for job in summary["jobs"]] == ["SUCCESS", "SUCCESS"]
    assert project.lines() == ["one 3", "two", "after SUCCESS"]
    ((child, status, parent, generation, trigger),) = children(project)
    assert (status, parent, generation, trigger) == ("SUCCESS", "f/r", 1, "flow")
    assert child.startswith("r.a.sub.")
    (outputs,) = project.rows("SELECT outputs FROM step_runs WHERE step_id='sub'")[0]
    assert json.loads(outputs) == {
        "flow_id": "c", "run_id": child, "jobs": {"load": {"status": "SUCCESS", "outputs": {"rows": 3}}},
    }  # fmt: skip
    log = next((project.states / "f.sqlite.d/logs/f/r/a").glob("sub.1.log")).read_text().splitlines()
    assert log == ["load.one: seen", "load.one SUCCESS", "load.two SUCCESS", "load.n SUCCESS"]


def test_a_failure_names_the_step_and_its_log_and_a_resume_goes_down(project: "Project") -> None:
    lay(project, second="test -e ok || { echo trouble >&2; exit 7; }; echo two >> $EFFECTS")
    project.write(
        CHILD.replace("SECOND", "test -e $EFFECTS.ok || { echo trouble >&2; exit 7; }; echo two >> $EFFECTS"),
        "child.yaml",
    )
    found = project.cli("run", "flow.yaml", "--run-id", "r")
    assert found.code == 1
    child = children(project)[0][0]
    assert f"AF5001 flow c ended FAILED in load.two at {project.folder}/child.yaml:" in found.err
    assert "AF5101 exit code 7" in found.err
    log = project.states / f"c.sqlite.d/logs/c/{child}/load/two.1.log"
    assert f"its log: {log}" in found.err
    assert log.read_text() == "trouble\n"
    assert f"aetherflow runs show {child}" in found.err
    assert "    load.two: trouble\n" in found.err, "the last lines of output are those of the child"
    project.effects.with_name("effects.ok").touch()
    run(project)
    assert project.lines() == ["one 3", "two", "after SUCCESS"]
    assert [row[:2] + row[3:4] for row in children(project)] == [(child, "SUCCESS", 2)]


def test_one_that_was_finished_by_hand_is_taken_as_it_is(project: "Project") -> None:
    lay(project, second="test -e $EFFECTS.ok; echo two >> $EFFECTS; test -e $EFFECTS.ok")
    run(project, code=1)
    child = children(project)[0][0]
    project.effects.with_name("effects.ok").touch()
    assert project.cli("resume", child).code == 0
    run(project)
    assert project.lines().count("one 3") == 1
    assert project.lines()[-1] == "after SUCCESS"


def test_what_is_done_again_on_purpose_is_a_new_run(project: "Project") -> None:
    lay(
        project,
        parent=PARENT.replace("rows > 2", "rows > 3")
        + "  - {id: z, steps: [{id: s, type: fail, inputs: {message: x}}]}\n",
    )
    run(project, code=1)
    run(project, "--from-step", "a.sub", code=1)
    assert project.lines().count("one 3") == 2
    first, second = (row[0] for row in children(project))
    assert second == f"{first}-2"


def test_items_are_runs_of_their_own(project: "Project") -> None:
    lay(project, parent="""\
        version: 1
        flow: {id: f}
        jobs:
          - id: a
            steps:
              - {id: sub, type: run_flow, for_each: [1, 2], inputs: {flow: child.yaml, params: {n: "{{item}}"}}}
        """)  # fmt: skip
    run(project)
    assert project.lines() == ["one 1", "two", "one 2", "two"]
    assert len({row[0] for row in children(project)}) == 2


def test_a_lock_that_is_held_is_shared(project: "Project") -> None:
    locked = """\
        version: 1
        flow: {id: f}
        jobs:
          - id: a
            steps:
              - id: sub
                type: with_lock
                inputs: {lock_key: k, step: {type: run_flow, inputs: {flow: child.yaml}}}
        """
    project.write(locked)
    project.write("""\
        version: 1
        flow: {id: c}
        jobs:
          - id: a
            steps:
              - id: l
                type: with_lock
                inputs:
                  lock_key: k
                  step: {type: external.process, inputs: {command: [sh, -c, "echo {{lock.token}} >> $EFFECTS"]}}
              - id: env
                type: external.process
                inputs: {shell: true, command: "echo $AETHERFLOW_LOCK_TOKEN >> $EFFECTS"}
              - {id: none, type: with_lock, inputs: {lock_key: other, step: {type: sleep, inputs: {seconds: 0}}}}
        """, "child.yaml")  # fmt: skip
    run(project)
    assert project.lines() == ["1", "1"]
    assert project.cli("locks", "list", "--json").out.count('"key"') == 0


def test_a_lock_is_shared_three_flows_deep_and_others_wait(project: "Project") -> None:
    other = " ".join(project.argv("wrap", "--id", "o", "--lock", "k")) + " -- true; echo $? >> $EFFECTS"
    project.write("""\
        version: 1
        flow: {id: f}
        jobs:
          - id: a
            steps:
              - id: s
                type: with_lock
                inputs: {lock_key: k, step: {type: run_flow, inputs: {flow: b.yaml}}}
        """)
    project.write("""\
        version: 1
        flow: {id: b, locks: {scope: flow}}
        jobs: [{id: a, steps: [{id: s, type: run_flow, inputs: {flow: child.yaml}}]}]
        """, "b.yaml")  # fmt: skip
    project.write("""\
        version: 1
        flow: {id: c, locks: {scope: job}}
        jobs:
          - id: a
            steps:
              - id: s
                type: with_lock
                inputs: {lock_key: k, step: {type: external.process, inputs: {command: OTHER, shell: true}}}
        """.replace("OTHER", json.dumps(other)), "child.yaml")  # fmt: skip
    run(project)
    assert project.lines() == ["3"], "another run is kept out as long as the outermost one holds the lock"
    assert [row[1] for row in children(project)] == ["SUCCESS"]


def test_a_question_inside_is_answered_inside(project: "Project") -> None:
    lay(project)
    project.write("""\
        version: 1
        flow: {id: c, params: {n: {type: integer}}}
        jobs:
          - id: load
            steps:
              - {id: mail, type: sleep, effect: once, timeout_seconds: 0.2, inputs: {seconds: 9}}
              - {id: n, type: check_items, inputs: {items: [1, 2, 3]}, outputs: {rows: "{{result.count}}"}}
        """, "child.yaml")  # fmt: skip
    found = project.cli("run", "flow.yaml", "--run-id", "r")
    assert found.code == 1
    child = children(project)[0][0]
    assert "ended UNKNOWN in load.mail" in found.err
    decide = f"aetherflow resume {child} --decide load.mail"
    assert f"if so: {decide}=done; if not: {decide}=again" in found.err
    assert project.cli("resume", child, "--decide", "load.mail=done").code == 0
    run(project)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_goes_down(
    project: "Project", number: int, wait_for: "Callable[..., None]", lives: "Callable[[int], bool]"
) -> None:
    lay(project, second="echo $$ > $EFFECTS.pid; test -e $EFFECTS.ok || sleep 60; echo two >> $EFFECTS")
    process = project.start("run", "flow.yaml", "--run-id", "r")
    wait_for(lambda: project.lines("effects.pid"))
    process.send_signal(number)
    process.communicate(timeout=20)
    assert process.returncode == 128 + number
    assert not lives(int(project.lines("effects.pid")[0]))
    assert children(project)[0][1] == "INTERRUPTED"
    assert project.rows("SELECT status FROM runs") == [("INTERRUPTED",)]
    project.effects.with_name("effects.ok").touch()
    run(project)
    assert project.lines() == ["one 3", "two", "after SUCCESS"]
    assert len(children(project)) == 1


def test_a_kill_leaves_nothing(
    project: "Project", wait_for: "Callable[..., None]", lives: "Callable[[int], bool]"
) -> None:
    lay(project, second="trap '' TERM; echo $$ > $EFFECTS.pid; test -e $EFFECTS.ok || sleep 60; echo two >> $EFFECTS")
    process = project.start("run", "flow.yaml", "--run-id", "r")
    wait_for(lambda: project.lines("effects.pid"))
    process.kill()
    process.wait(20)
    assert process.stdout
    assert process.stderr
    process.stdout.close()
    process.stderr.close()
    wait_for(lambda: not lives(int(project.lines("effects.pid")[0])), 20)
    project.effects.with_name("effects.ok").touch()
    run(project)
    assert project.lines() == ["one 3", "two", "after SUCCESS"]


@pytest.mark.xdist_group("timing")
def test_a_step_that_will_not_stop_does_not_outlive_the_grace(
    project: "Project", wait_for: "Callable[..., None]", lives: "Callable[[int], bool]"
) -> None:
    project.env["AETHERFLOW_STOP_GRACE_SECONDS"] = "3"
    lay(project, second="trap '' TERM; echo $$ > $EFFECTS.pid; while :; do sleep 0.1; done")
    process = project.start("run", "flow.yaml", "--run-id", "r")
    wait_for(lambda: project.lines("effects.pid"))
    process.terminate()
    started = time.monotonic()
    process.communicate(timeout=60)
    assert process.returncode == 143
    assert time.monotonic() - started < 2 * 3, "the grace of the run, not one more per flow inside"
    assert not lives(int(project.lines("effects.pid")[0]))
    assert children(project)[0][1] == "INTERRUPTED"
    assert [status for (status,) in project.rows("SELECT status FROM step_runs")] == ["INTERRUPTED"]


def test_a_time_limit_goes_down(project: "Project") -> None:
    lay(
        project,
        second="sleep 60",
        parent=PARENT.replace("type: run_flow", "type: run_flow\n        timeout_seconds: 1"),
    )
    found = project.cli("run", "flow.yaml", "--run-id", "r")
    assert found.code == 1
    assert "still running after 1 s, the step's time limit" in found.err
    assert children(project)[0][1] == "INTERRUPTED"


def test_the_history_shows_both(project: "Project") -> None:
    lay(project, second="exit 1")
    run(project, code=1)
    child = children(project)[0][0]
    shown = project.cli("runs", "show", "r").out
    assert f"a.sub       c     {child}  FAILED" in shown, shown
    found = json.loads(project.cli("runs", "show", "r", "--json").out)
    assert [
        (each["job_id"], each["step_id"], each["flow_id"], each["run_id"], each["status"]) for each in found["flows"]
    ] == [("a", "sub", "c", child, "FAILED")]
    shown = project.cli("runs", "show", child, "--flow", "c").out
    assert "parent   f/r" in shown
    assert "next: aetherflow resume r" in shown
    status = json.loads(project.cli("status", "--json").out)
    assert {flow["flow_id"]: flow["next"] for flow in status["flows"]} == {
        "c": "aetherflow resume r", "f": "aetherflow resume r",
    }  # fmt: skip
    assert {flow["flow_id"]: flow["parent"] for flow in status["flows"]} == {"c": "f/r", "f": None}
