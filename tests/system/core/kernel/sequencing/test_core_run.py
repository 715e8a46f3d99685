"""Running flows: statuses, outputs, gates, exit codes, what goes to which stream, cleanup."""

import json
import os
import re
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import core_run  # noqa: F401 registers the steps of these flows
import pytest

from aetherflow.core.runner import run_flow

if TYPE_CHECKING:
    from core_project import Project


# Streams


def test_stdout_has_the_answer_and_stderr_the_events(project: "Project") -> None:
    project.flow(
        """\
        jobs:
          - id: a
            steps:
              - {id: s, type: external.process, inputs: {command: "echo out; echo err >&2", shell: true}}
              - id: t
                type: external.process
                inputs: {command: [echo, x], log: {stdout: file, file_path: log.txt, append: false}}
        """
    )
    result = project.command("run", "flow.yaml", "--run-id", "r")
    assert result.code == 0
    assert result.out.startswith("run r of flow f: SUCCESS in ")
    assert str(project.artifacts("a", "r") / "log.txt") in result.out
    assert "(removed: on_success)" in result.out
    assert "out\n" in result.err
    assert "err\n" in result.err
    events = [line.split()[0] for line in result.err.splitlines() if "=" in line]
    assert events == ["run_start", "job_start", "step_start", "step_end", "step_start", "step_end", "job_end"]
    quiet = project.command("run", "flow.yaml", "-q", "--run-id", "q")
    assert (quiet.code, quiet.out, quiet.err) == (0, "", "")
    log = project.states / "f.sqlite.d/logs/f/q.jsonl"
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["event"] for line in lines] == [*events, "run_summary"]
    assert all(isinstance(line["ts_ms"], int) for line in lines)
    assert lines[-1]["status"] == "SUCCESS"


def test_the_failure_block_says_all_and_its_command_works(project: "Project") -> None:
    project.write(
        """\
        version: 1
        flow: {id: f}
        jobs:
          - id: load
            steps:
              - id: make
                type: external.process
                inputs:
                  command: "echo x >> $EFFECTS; echo y"
                  shell: true
                  log: {stdout: file, file_path: kept.txt, append: false}
              - id: count
                type: external.process
                inputs:
                  shell: true
                  command: for i in $(seq 30); do echo line $i; done; test -e ok || { echo went wrong >&2; exit 7; }
        """,
        "my flow.yaml",
    )
    for quiet in ((), ("-q",)):
        result = project.command("run", "my flow.yaml", "--run-id", "r", *quiet)
        assert result.code == 1
        block = result.err[result.err.index("FAILED load.count at my flow.yaml:12:9") :].splitlines()
        assert block[1] == "  AF5101 exit code 7: went wrong"
        assert block[2].startswith("  fix: ")
        assert re.fullmatch(r"  last (20 )?lines of output:", block[3])
        tail = block[4:24]
        assert len(tail) == 20
        assert set(tail) <= {"    went wrong", *(f"    line {n}" for n in range(10, 31))}
        fields = dict(line.strip().split(": ", 1) for line in block[24:])
        assert Path(fields["output log"]).read_text().count("\n") == 31
        assert Path(fields["run log"]).is_file()
        assert fields["kept"].startswith(str(project.artifacts("load", "r") / "kept.txt"))
        assert fields["next"] == "aetherflow resume r"
    (project.artifacts("load", "r") / "ok").touch()
    program, *arguments = shlex.split(fields["next"])
    assert program == "aetherflow"
    assert (Path(sys.executable).parent / program).exists()
    assert project.command(*arguments).code == 0
    assert project.lines() == ["x"], "the finished step was not repeated"
    assert project.rows("SELECT max(attempt) FROM step_runs WHERE step_id='count'") == [(3,)]


def test_a_reader_that_goes_away_does_not_stop_the_run(project: "Project") -> None:
    project.flow(
        """\
        jobs:
          - id: a
            steps:
              - id: s
                type: external.process
                inputs: {command: "sleep 0.2; seq 20000; echo x >> $EFFECTS", shell: true}
              - {id: t, type: external.process, inputs: {command: "echo y >> $EFFECTS", shell: true}}
        """
    )
    process = project.start("run", "flow.yaml", "--run-id", "r", "-q", "--json")
    assert process.stdout
    assert process.stderr
    process.stdout.close()
    process.stderr.close()
    process.wait(20)
    noisy = project.start("run", "flow.yaml", "--run-id", "n")
    assert noisy.stderr
    assert noisy.stdout
    noisy.stderr.close()
    noisy.stdout.close()
    noisy.wait(20)
    assert project.lines() == ["x", "y"] * 2
    assert project.rows("SELECT status FROM runs") == [("SUCCESS",)] * 2


def test_the_longest_ids_work(project: "Project") -> None:
    name, run = "x" * 128, "r" * 128
    step = f"{{id: {name}, type: external.process, inputs: {{command: [echo, x]}}}}"
    project.write(f"flow: {{id: {name}}}\njobs: [{{id: {name}, steps: [{step}]}}]\n")
    result = project.cli("run", "flow.yaml", f"--run-id={run}")
    assert result.code == 0, result.err


# Cleanup


@pytest.mark.parametrize(
    ("policy", "fails", "kept"),
    [
        ("on_success", False, False), ("on_success", True, True), ("always", False, False), ("always", True, False),
        ("never", False, True), ("never", True, True),
    ],
)  # fmt: skip
def test_cleanup_policies(project: "Project", policy: str, fails: bool, kept: bool) -> None:
    project.write(
        f"""\
        flow: {{id: f, workspace: {{cleanup_policy: {policy}}}}}
        jobs:
          - id: a
            steps:
              - id: s
                type: external.process
                inputs: {{command: [echo, x], log: {{stdout: file, file_path: out.txt, append: false}}}}
          - {{id: b, steps: [{{id: s, type: {"test_fail" if fails else "check_items"}, inputs: {{items: [1]}}}}]}}
        """
    )
    other = project.work / "f/a/other/artifacts/keep.txt"
    other.parent.mkdir(parents=True)
    other.write_text("another run's")
    result = project.cli("run", "flow.yaml", "--run-id", "r")
    assert result.code == int(fails)
    assert (project.work / "f/a/r").exists() is kept
    assert (f"(removed: {policy})" in result.out) is not kept
    assert ("kept: " in result.err) is (fails and kept)
    assert other.read_text() == "another run's"
    assert project.state.exists()


def test_links_out_of_the_workspace_are_not_followed(project: "Project") -> None:
    outside = project.folder / "outside"
    outside.mkdir()
    (outside / "precious.txt").write_text("mine")
    step = f"{{id: s, type: external.process, inputs: {{command: [ln, -s, {outside}, link]}}}}"
    project.flow(f"jobs: [{{id: a, steps: [{step}]}}]\n")
    assert project.cli("run", "flow.yaml", "--run-id", "r").code == 0
    assert not (project.work / "f/a/r").exists()
    assert (outside / "precious.txt").read_text() == "mine"


# Modes, secrets


def test_nothing_is_open_to_others(project: "Project") -> None:
    project.write(
        """\
        flow: {id: f, workspace: {cleanup_policy: never}}
        jobs:
          - id: a
            steps:
              - id: s
                type: external.process
                inputs: {command: [echo, x], log: {stdout: file, file_path: a/b/out.txt, append: false}}
              - id: t
                type: external.process
                inputs: {command: [python3, -c, "print('x' * 400_000)"], log: {stdout: capture}}
        """
    )
    result = project.command("run", "flow.yaml", "--run-id", "r", umask=0)
    assert result.code == 0, result.err
    paths = [path for root in (project.work, project.states) for path in (root, *root.rglob("*"))]
    assert len(paths) > 12
    assert any("blobs" in path.parts for path in paths)
    for path in paths:
        assert path.lstat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path


def test_secrets_of_the_environment_reach_no_sink(project: "Project") -> None:
    canary = "c4n4ry-s3cr3t"
    project.flow(
        """\
        jobs:
          - id: a
            steps:
              - id: prints
                type: external.process
                inputs: {command: "echo out $MY_PASSWORD; echo err $MY_PASSWORD >&2", shell: true}
              - {id: skips, type: check_items, inputs: {items: []}}
          - {id: fails, steps: [{id: s, type: external.process, inputs: {command: ["{{env.MY_PASSWORD}}"]}}]}
          - id: exits
            steps:
              - {id: s, type: external.process, inputs: {command: "echo $MY_PASSWORD >&2; exit 3", shell: true}}
          - {id: path, steps: [{id: s, type: external.process, inputs: {command: [x], cwd: "/{{env.MY_PASSWORD}}"}}]}
          - {id: unknown, steps: [{id: s, type: check_items, inputs: {items: "[{{env.MY_PASSWORD}}"}}]}
        """
    )
    env = {"MY_PASSWORD": canary}
    outputs: list[str] = []
    for arguments in (("--json",), (), ("-q",)):
        result = project.command("run", "flow.yaml", "--run-id", f"r{len(outputs)}", *arguments, env=env)
        assert result.code == 1
        outputs += [result.out, result.err]
    assert any("***" in text for text in outputs)
    assert not any(canary in text for text in outputs)
    for path in (p for p in project.states.rglob("*") if p.is_file()):
        assert canary.encode() not in path.read_bytes(), path


# Places


def test_state_and_work_stand_where_the_flow_says(project: "Project") -> None:
    project.write(
        """\
        flow:
          id: "f_{{env.STAGE:dev}}"
          workspace: {root: "{{env.AETHERFLOW_WORK_ROOT}}/own", cleanup_policy: never, layout: {artifacts: results}}
          state: {path: "{{env.AETHERFLOW_STATE_ROOT}}/deep/own.sqlite"}
        jobs: [{id: a, steps: [{id: s, type: external.process, inputs: {command: [touch, here]}}]}]
        """
    )
    result = project.cli("run", "flow.yaml", "--run-id", "r")
    assert result.code == 0, result.err
    assert (project.work / "own/f_dev/a/r/results/here").exists()
    assert (project.states / "deep/own.sqlite").exists()


def test_the_environment_of_the_process_is_not_changed(project: "Project") -> None:
    before = dict(os.environ)
    path = project.flow("jobs: [{id: a, steps: [{id: s, type: external.process, inputs: {command: [env]}}]}]\n")
    seen: list[str] = []
    run_flow(path, env={"PATH": os.environ["PATH"], "ONLY": "this", "AETHERFLOW_STATE_ROOT": str(project.states),
                        "AETHERFLOW_WORK_ROOT": str(project.work)},
             observers=[lambda event, fields: seen.append(fields.get("text", ""))])  # fmt: skip
    assert dict(os.environ) == before
    assert "ONLY=this" in seen
    assert not any(line.startswith("EFFECTS=") for line in seen)
