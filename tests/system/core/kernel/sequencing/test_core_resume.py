"""The same run id again: what is done is not repeated, also after kill -9; one process per run; stops by signal."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from warm import true_start

if TYPE_CHECKING:
    from core_project import Project


def sh(step: str, command: str, more: str = "") -> str:
    return f"      - {{id: {step}, type: external.process, inputs: {{shell: true, command: '{command}'{more}}}}}\n"


def note(text: str) -> str:
    return f"echo {text} >> $EFFECTS"


THREE = (
    "jobs:\n  - id: a\n    steps:\n"
    "      - id: one\n        type: external.process\n        outputs: {word: '{{result.stdout}}'}\n"
    "        inputs: {shell: true, command: 'echo one >> $EFFECTS; printf word', log: {stdout: capture}}\n"
    + sh("two", "echo two >> $EFFECTS; echo $$ > $EFFECTS.pid; {{env.TWO:true}}")
    + sh("three", "echo three {{steps.one.stdout}} {{job.outputs.word}} >> $EFFECTS")
    + "  - id: b\n    depends_on: [a]\n    when: jobs.a.outputs.word == \"word\"\n    steps:\n"
    + sh("four", "echo four {{jobs.a.outputs.word}} >> $EFFECTS")
)  # fmt: skip
ALL = ["one", "two", "three word word", "four word"]


def child(project: "Project") -> int:
    return int((project.effects.with_name("effects.pid")).read_text())


def step_is_running(project: "Project") -> Callable[[], object]:
    path = project.effects.with_name("effects.pid")
    return lambda: path.exists() and path.read_text().strip()


def test_finished_steps_are_not_repeated_after_a_failure(project: "Project", monkeypatch: pytest.MonkeyPatch) -> None:
    project.flow(THREE)
    monkeypatch.setenv("TWO", "exit 9")
    assert project.cli("run", "flow.yaml", "--run-id", "r").code == 1
    monkeypatch.delenv("TWO")
    result = project.cli("run", "flow.yaml", "--run-id", "r")
    assert result.code == 0
    assert project.lines() == ["one", "two", "two", "three word word", "four word"]
    assert "reused from attempt 1" in result.out
    assert "attempt 2" in result.out
    assert project.rows("SELECT step_id, attempt, status FROM step_runs ORDER BY 1, 2") == [
        ("four", 1, "SUCCESS"),
        ("one", 1, "SUCCESS"),
        ("three", 1, "SUCCESS"),
        ("two", 1, "FAILED"),
        ("two", 2, "SUCCESS"),
    ]
    assert project.rows("SELECT generation, status FROM runs") == [(2, "SUCCESS")]


def test_an_ended_run_has_nothing_to_do(project: "Project") -> None:
    project.flow(THREE)
    assert project.cli("run", "flow.yaml", "--run-id", "r").code == 0
    before = project.state.read_bytes()
    for quiet in ((), ("-q",)):
        result = project.cli("run", "flow.yaml", "--run-id", "r", *quiet)
        assert (result.code, result.out) == (0, "")
        assert result.err.startswith("nothing to do: run r of flow f ended SUCCESS at 20")
    assert project.lines() == ALL
    assert project.state.read_bytes() == before
    assert project.cli("run", "flow.yaml", "--run-id", "s").code == 0
    assert project.lines() == ALL * 2


def test_after_kill_9_in_the_middle_of_a_step(
    project: "Project", wait_for: Callable[..., None], reap: list[int]
) -> None:
    project.flow(THREE)
    process = project.start("run", "flow.yaml", "--run-id", "r", env={"TWO": "sleep 30"})
    wait_for(step_is_running(project))
    reap.append(child(project))
    process.kill()
    process.communicate(timeout=60)
    os.kill(child(project), signal.SIGKILL)
    assert project.rows("SELECT status FROM runs") == [("RUNNING",)]
    result = project.command("run", "flow.yaml", "--run-id", "r")
    assert result.code == 0, result.err
    assert "step_id=two step_type=external.process attempt=2" in result.err
    assert project.lines() == ["one", "two", "two", "three word word", "four word"]
    assert project.rows("SELECT attempt, status, error FROM step_runs WHERE step_id='two' ORDER BY 1") == [
        (1, "INTERRUPTED", "the process that ran it ended"),
        (2, "SUCCESS", None),
    ]


def test_short_circuits_and_skips_are_restored(project: "Project", monkeypatch: pytest.MonkeyPatch) -> None:
    project.flow(
        "jobs:\n  - id: a\n    steps:\n"
        "      - id: s\n        type: check_items\n        inputs: {items: []}\n        on_no_data: skip_job\n"
        "        outputs: {n: '{{result.count}}'}\n"
        + sh("never", note("never"))
        + "  - {id: off, when: 'jobs.a.outputs.n == 1', steps: [{id: s, type: check_items, inputs: {items: [1]}}]}\n"
        "  - id: c\n    when: 'jobs.a.outputs.n == 0 and jobs.a.status == \"SKIPPED\"'\n    steps:\n"
        + sh("s", "echo c >> $EFFECTS; {{env.TWO:true}}")
        + "  - {id: d, depends_on: [a], steps: []}\n"
    )
    monkeypatch.setenv("TWO", "exit 9")
    assert project.cli("run", "flow.yaml", "--run-id", "r").code == 1
    monkeypatch.delenv("TWO")
    assert project.cli("run", "flow.yaml", "--run-id", "r").code == 0
    assert project.lines() == ["c", "c"]
    assert project.rows("SELECT job_id, status, skip_reason, blocked_by FROM job_runs ORDER BY 1") == [
        ("a", "SKIPPED", "count(0) < min_count(1)", None),
        ("c", "SUCCESS", None, None),
        ("d", "BLOCKED", None, "a"),
        ("off", "SKIPPED", "condition=false", None),
    ]
    assert project.rows("SELECT max(attempt) FROM step_runs WHERE job_id='a'") == [(1,)]


def test_large_outputs_go_to_a_blob_and_come_back(project: "Project", monkeypatch: pytest.MonkeyPatch) -> None:
    code = 'import sys; sys.stdout.write(chr(228) + "x" * 300_000 + "end")'
    project.write(
        f"""\
        flow: {{id: f}}
        jobs:
          - id: a
            steps:
              - id: big
                type: external.process
                inputs: {{command: [python3, -c, '{code}'], log: {{stdout: capture}}, env: {{PYTHONUTF8: "1"}}}}
                outputs: {{big: "{{{{result.stdout}}}}"}}
              - {{id: stop, type: external.process, inputs: {{command: ["{{{{env.TWO:true}}}}"]}}}}
              - id: use
                type: check_items
                inputs: {{items: ["{{{{steps.big.stdout}}}}", "{{{{job.outputs.big}}}}"]}}
                outputs: {{same: "{{{{steps.big.stdout}}}}"}}
        """
    )
    monkeypatch.setenv("TWO", "false")
    assert project.cli("run", "flow.yaml", "--run-id", "r").code == 1
    ((text, blob),) = project.rows("SELECT outputs, blob FROM step_runs WHERE step_id='big'")
    assert text is None
    blobs = project.states / "f.sqlite.d/blobs"
    assert (blobs / blob).stat().st_size < 10_000, "compressed"
    monkeypatch.delenv("TWO")
    damaged = (blobs / blob).read_bytes()
    (blobs / blob).write_bytes(damaged[:-5] + b"wrong")
    result = project.cli("run", "flow.yaml", "--run-id", "r")
    assert result.code == 4
    assert "its content does not match its name" in result.err
    (blobs / blob).unlink()
    assert project.cli("run", "flow.yaml", "--run-id", "r").code == 4
    (blobs / blob).write_bytes(damaged)
    seen: list[object] = []
    from aetherflow.core.runner import run_flow

    assert run_flow("flow.yaml", run_id="r", observers=[lambda *event: seen.append(event)]).status == "SUCCESS"
    import json
    import zlib

    ((blob,),) = project.rows("SELECT blob FROM job_runs")
    outputs = json.loads(zlib.decompress((blobs / blob).read_bytes()))
    assert outputs["big"] == outputs["same"] == "ä" + "x" * 300_000 + "end"


def test_a_second_process_is_told_who_has_the_run(project: "Project", wait_for: Callable[..., None]) -> None:
    project.flow(THREE)
    process = project.start("run", "flow.yaml", "--run-id", "r", env={"TWO": "sleep 30"})
    wait_for(step_is_running(project))
    result = project.cli("run", "flow.yaml", "--run-id", "r")
    assert (result.code, result.out) == (3, "")
    assert result.err.startswith(f"AF3101 run r is being executed by pid {process.pid} on ")
    assert project.cli("run", "flow.yaml", "--run-id", "other").code == 0, "another run of the flow is free to go"
    process.terminate()
    assert process.wait(60) == 143
    assert project.cli("run", "flow.yaml", "--run-id", "r").code == 0
    process.communicate()


def test_many_starters_one_executor(project: "Project") -> None:
    project.flow(THREE)
    processes = [project.start("run", "flow.yaml", "--run-id", "r", "-q", env={"TWO": "sleep 0.4"}) for _ in range(3)]
    told = [process.communicate(timeout=60)[1] for process in processes]
    codes = [process.returncode for process in processes]
    assert sorted(set(codes)) in ([0], [0, 3]), (codes, told)
    assert project.lines() == ALL
    assert project.rows("SELECT max(attempt) FROM step_runs") == [(1,)]


def test_runs_of_one_flow_share_a_new_state_file(project: "Project") -> None:
    project.flow(THREE)
    processes = [project.start("run", "flow.yaml", "-q") for _ in range(4)]
    for process in processes:
        _, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
    assert sorted(project.lines()) == sorted(ALL * 4)


# Signals


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT])
def test_a_signal_stops_the_run_and_its_processes(
    project: "Project", number: signal.Signals, wait_for: Callable[..., None], lives: Callable[[int], bool]
) -> None:
    project.flow(THREE)
    tree = "sh -c 'sleep 60 & echo $! > $EFFECTS.deep; wait' & sleep 60; true"
    process = true_start("signals: the handlers of the interpreter itself come first").Popen(
        project.argv("run", "flow.yaml", "--run-id", "r", "--json"),
        cwd=project.folder, env={**project.env, "TWO": tree}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),
    )  # fmt: skip
    wait_for(step_is_running(project))
    wait_for(lambda: project.lines("effects.deep"))
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert not lives(child(project))
    assert not lives(int(project.lines("effects.deep")[0]))
    assert f"INTERRUPTED by signal {int(number)}" in err
    assert "next: aetherflow resume r" in err
    assert '"status": "INTERRUPTED"' in out
    assert "Traceback" not in err
    assert project.rows("SELECT status FROM runs") == [("INTERRUPTED",)]
    assert project.rows("SELECT status FROM job_runs") == [("INTERRUPTED",)]
    assert project.rows("SELECT status FROM step_runs WHERE step_id='two'") == [("INTERRUPTED",)]
    assert project.work.joinpath("f/a/r").exists(), "an interrupted run is not cleaned"
    assert project.cli("run", "flow.yaml", "--run-id", "r").code == 0
    assert project.lines() == ["one", "two", "two", "three word word", "four word"]


@pytest.mark.parametrize("more", ["", ", timeout_seconds: 0.2, kill_grace_seconds: 60"])
def test_a_child_that_ignores_the_signal_is_killed(
    project: "Project", more: str, wait_for: Callable[..., None], lives: Callable[[int], bool], reap: list[int]
) -> None:
    command = 'trap "touch $EFFECTS.asked" TERM; echo $$ > $EFFECTS.pid; while :; do sleep 0.1; done'
    project.flow("jobs:\n  - id: a\n    steps:\n" + sh("s", command, more))
    process = project.start("run", "flow.yaml", "--run-id", "r", env={"AETHERFLOW_STOP_GRACE_SECONDS": "0.5"})
    wait_for(step_is_running(project))
    reap.append(child(project))
    if more:  # past the step's own time limit: its grace of a minute has begun
        wait_for(project.effects.with_name("effects.asked").exists)
    started = time.monotonic()
    process.terminate()
    process.communicate(timeout=60)
    assert process.returncode == 143
    assert 0.4 < time.monotonic() - started < 40
    assert not lives(child(project))
    assert project.rows("SELECT status FROM step_runs") == [("INTERRUPTED",)]


def test_a_second_signal_does_not_wait_for_the_grace(project: "Project", wait_for: Callable[..., None]) -> None:
    command = 'trap "touch $EFFECTS.asked" TERM; echo $$ > $EFFECTS.pid; while :; do sleep 0.1; done'
    project.flow("jobs:\n  - id: a\n    steps:\n" + sh("s", command))
    process = project.start("run", "flow.yaml", "--run-id", "r", env={"AETHERFLOW_STOP_GRACE_SECONDS": "600"})
    wait_for(step_is_running(project))
    process.terminate()
    wait_for(project.effects.with_name("effects.asked").exists)
    process.terminate()
    process.communicate(timeout=60)
    assert process.returncode == 143


def test_nohup_outlives_the_terminal(project: "Project", wait_for: Callable[..., None]) -> None:
    project.flow(THREE)
    process = true_start("as nohup starts it: SIGHUP is ignored when the interpreter begins").Popen(
        project.argv("run", "flow.yaml", "--run-id", "r", "-q"),
        cwd=project.folder, env={**project.env, "TWO": "sleep 0.5"},
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    )  # fmt: skip
    wait_for(step_is_running(project))
    process.send_signal(signal.SIGHUP)
    assert process.wait(60) == 0
    assert project.lines() == ALL


def test_run_flow_works_in_a_thread(project: "Project") -> None:
    from aetherflow.core.runner import run_flow

    path: Path = project.flow(THREE)
    statuses: list[str] = []
    thread = threading.Thread(target=lambda: statuses.append(run_flow(path).status))
    thread.start()
    thread.join(60)
    assert statuses == ["SUCCESS"]
