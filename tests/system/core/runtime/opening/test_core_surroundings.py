"""A run in the surroundings of real life: cron, several processes, several flows on one state."""

import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from warm import true_start

if TYPE_CHECKING:
    from core_project import Project

GOOD = "jobs: [{id: a, steps: [{id: s, type: external.process, inputs: {command: [echo, hello]}}]}]"
BAD = "jobs: [{id: a, steps: [{id: s, type: external.process, inputs: {command: [sh, -c, 'echo oh; exit 3']}}]}]"


def cron(project: "Project") -> "subprocess.CompletedProcess[str]":
    """`run -q` as cron starts it: a bare PATH, no LANG, no terminal, the home folder as the working directory."""
    env = {"PATH": "/usr/bin:/bin", "SHELL": "/bin/sh", "LOGNAME": "root", "HOME": str(project.folder)}
    env |= {name: project.env[name] for name in ("AETHERFLOW_WORK_ROOT", "AETHERFLOW_STATE_ROOT")}
    return true_start("as cron starts it: a bare environment, no terminal").run(
        project.argv("run", str(project.folder / "flow.yaml"), "-q", "--run-id", "r"),
        cwd=project.folder,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        start_new_session=True,
    )


def test_cron_hears_nothing_of_a_success(project: "Project") -> None:
    project.flow(GOOD)
    done = cron(project)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    again = cron(project)
    assert (again.returncode, again.stdout) == (0, "")
    assert again.stderr.startswith("nothing to do: run r of flow f ended SUCCESS at ")


def test_cron_gets_one_block_of_a_failure(project: "Project") -> None:
    project.flow(BAD)
    done = cron(project)
    assert (done.returncode, done.stdout) == (1, "")
    lines = done.stderr.splitlines()
    assert lines[0] == f"FAILED a.s at {project.folder}/flow.yaml:3:24"
    assert lines[1].startswith("  AF5101 exit code 3")
    assert lines[-1] == "next: aetherflow resume r"
    assert "    oh" in lines


def test_two_flows_with_the_same_ids_on_one_state_and_one_lock(project: "Project") -> None:
    for flow_id in ("one", "two"):
        project.write(
            f"""\
            flow: {{id: {flow_id}, state: {{path: state/both.sqlite}}}}
            jobs:
              - id: a
                steps:
                  - id: s
                    type: with_lock
                    inputs:
                      lock_key: shared
                      wait_seconds: 30
                      step:
                        type: external.process
                        inputs:
                          shell: true
                          command: exec >> {project.effects}; echo in {flow_id}; sleep 0.3; echo out {flow_id}
            """,
            f"{flow_id}.yaml",
        )
    started = [project.start("run", f"{flow_id}.yaml", "--run-id", "r") for flow_id in ("one", "two")]
    for process in started:
        _, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
    one, two = ["in one", "out one"], ["in two", "out two"]
    assert project.lines() in (one + two, two + one)


def json_lines(text: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [json.loads(line) for line in text.splitlines()]
    assert all({"ts_ms", "level", "event"} <= line.keys() for line in found)
    return found


def test_in_json_mode_every_line_is_an_object_with_level_and_ids(
    project: "Project", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AETHERFLOW_LOG_FORMAT", "json")
    project.flow(BAD)
    lines = json_lines(project.cli("run", "flow.yaml", "--run-id", "r").err)
    assert all((line["flow_id"], line["run_id"]) == ("f", "r") for line in lines)
    assert [line["event"] for line in lines if line["level"] == "ERROR"] == ["step_end", "job_end", "run_summary"]
    assert "output" in {line["event"] for line in lines}
    project.flow(GOOD)
    project.cli("run", "flow.yaml", "--run-id", "good")
    (line,) = json_lines(project.cli("run", "flow.yaml", "--run-id", "good").err)
    assert (line["event"], line["run_id"]) == ("nothing_to_do", "good")
    project.flow("jobs: [{id: a, steps: [{id: s, type: nope}]}]")
    (line,) = json_lines(project.cli("run", "flow.yaml").err)
    assert (line["event"], line["level"], line["problems"][0]["af"]) == ("refused", "ERROR", "AF2101")
