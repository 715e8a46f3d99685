"""`external.process`: logs and results, outputs from a file, what a try took, tries, plans, folders in one step."""

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from core_process_results import content, fill, flow, outputs, run

from aetherflow.core.base import durable

if TYPE_CHECKING:
    from core_project import Project

PYTHON = sys.executable
COUNT = "echo x >> $EFFECTS; n=$(wc -l < $EFFECTS); echo try $n; "


# Logs and results


def test_a_log_grows_with_every_attempt_of_every_step(project: "Project") -> None:
    log = project.work / "shared.log"
    inputs = {
        "command": COUNT + "[ $n = 3 ]", "shell": True, "log": {"stdout": "file", "file_path": str(log)},
        "retry": {"max_attempts": 2, "retry_on": "exit_codes"},
    }  # fmt: skip
    result = run(project, inputs, 1)
    assert f"  fix: look at its output in {log}, or run the command by hand" in result.err
    run(project, inputs)
    assert log.read_text() == "try 1\ntry 2\ntry 3\n"
    assert log.stat().st_mode & 0o777 == 0o600


def test_a_log_grows_with_every_attempt_of_one_run(project: "Project", wait_for: Callable[..., None]) -> None:
    """Attempts that the engine repeats, and those after kill -9: each appends to the same file, none begins it anew."""
    command = COUNT + "if [ $n = 3 ]; then sleep 60; fi; [ $n = 4 ]"
    inputs = {"command": command, "shell": True, "log": {"stdout": "file", "stderr": "file", "file_path": "o.log"}}
    flow(project, inputs, retry={"max_attempts": 3})
    process = project.start("run", "flow.yaml", "--run-id", "r")
    log = project.artifacts("a", "r") / "o.log"
    wait_for(lambda: log.exists() and log.read_text() == "try 1\ntry 2\ntry 3\n")
    process.kill()
    process.communicate(timeout=60)
    assert project.command("run", "flow.yaml", "--run-id", "r").code == 0
    assert log.read_text() == "try 1\ntry 2\ntry 3\ntry 4\n"
    statuses = project.rows("SELECT attempt, status FROM step_runs ORDER BY attempt")
    assert statuses == [(1, "FAILED"), (2, "FAILED"), (3, "INTERRUPTED"), (4, "SUCCESS")]


def test_a_log_can_be_read_while_the_child_runs(project: "Project", wait_for: Callable[..., None]) -> None:
    log = project.work / "live.log"
    flow(project, {"command": "echo one; sleep 60", "shell": True, "log": {"stdout": "file", "file_path": str(log)}})
    process = project.start("run", "flow.yaml", "--run-id", "r")
    wait_for(lambda: log.exists() and log.read_text() == "one\n")
    process.kill()
    process.communicate(timeout=60)
    assert log.read_text() == "one\n", "kill -9 takes nothing back"


def test_a_result_holds_the_last_try_and_stands_only_if_it_went_well(project: "Project") -> None:
    file = project.work / "result.txt"
    log = {"stdout": "file", "file_path": str(file), "append": False}
    retry = {"max_attempts": 2, "retry_on": "exit_codes"}
    run(project, {"command": COUNT + "[ $n = 2 ]", "shell": True, "log": log, "retry": retry})
    assert file.read_text() == "try 2\n"
    run(project, {"command": COUNT + "exit 1", "shell": True, "log": log}, 1)
    assert file.read_text() == "try 2\n"
    success = {"require_files": str(file), "require_glob": str(file.with_name("*.txt"))}
    run(project, {"command": ["echo", "new"], "log": log, "success": success})
    assert file.read_text() == "new\n", "it stands before the rules are checked"


def test_limits_of_a_capture_in_bytes(project: "Project") -> None:
    command = ["printf", "abcdefghij"]
    found = outputs(project, {"command": command, "log": {"stdout": "capture", "max_capture_bytes": 5}})
    assert found["stdout"] == "abc\n[... 5 bytes left out ...]\nij"
    same = {"stdout": "capture", "max_capture_kb": 2, "max_capture_bytes": 2048}
    assert outputs(project, {"command": command, "log": same})["stdout"] == "abcdefghij"
    result = run(project, {"command": command, "log": {**same, "max_capture_kb": 1}}, 2)
    assert "max_capture_kb and max_capture_bytes differ; keep one of them" in result.err


def test_the_error_ends_with_the_last_line_of_either_stream(project: "Project") -> None:
    for mode in ("inherit", "capture", "file"):
        log = {"stdout": mode, "stderr": mode, "file_path": "o.log"}
        assert (
            "exit code 3: bad luck\n"
            in run(project, {"command": "echo bad luck; exit 3", "shell": True, "log": log}, 1).err
        )
        both = {"command": "echo out; echo '  bad luck ' >&2; exit 3", "shell": True, "log": log}
        assert "exit code 3: bad luck\n" in run(project, both, 1).err


def test_a_slow_reader_of_the_output_loses_nothing(project: "Project", monkeypatch: pytest.MonkeyPatch) -> None:
    from aetherflow.core.builtins import process_child
    from aetherflow.core.runtime.processes.output import OutputLog

    real = OutputLog.feed

    def slow(self: OutputLog, stream: Any, data: bytes) -> None:
        time.sleep(0.3)  # a terminal that is slower than the patience with a silent pipe
        real(self, stream, data)

    monkeypatch.setattr(OutputLog, "feed", slow)
    monkeypatch.setattr(process_child, "DRAIN_SECONDS", 0.1)
    code = "import os; [os.write(1, b'x' * 65536) for _ in range(3)]"
    found = outputs(project, {"command": [PYTHON, "-c", code], "log": {"stdout": "capture"}})
    assert len(found["stdout"]) == 3 * 65536


# What the child writes to AETHERFLOW_OUTPUT_FILE


def test_outputs_that_the_child_writes(project: "Project") -> None:
    written = {"rows": 3, "ratio": 0.25, "files": ["a", "ü"], "nested": {"none": None}, "yes": True}
    code = f"import os; open(os.environ['AETHERFLOW_OUTPUT_FILE'], 'w').write({json.dumps(written)!r})"
    inputs = {"command": [PYTHON, "-c", code], "outputs": {"own": 1}}
    flow(project, inputs, outputs={"n": "{{result.rows}}", "first": "{{result.files}}"})
    assert project.cli("validate", "flow.yaml").code == 0
    assert project.cli("run", "flow.yaml").code == 0
    ((text,), (promoted,)) = (project.rows(f"SELECT outputs FROM {table}")[0] for table in ("step_runs", "job_runs"))
    found = json.loads(text)
    assert {name: found[name] for name in written} == written
    assert (found["own"], found["exit_code"]) == (1, 0)
    assert json.loads(promoted) == {"n": 3, "first": ["a", "ü"]}
    assert not list(project.work.rglob("*.outputs.json")), "it is removed once it was read"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "AETHERFLOW_OUTPUT_FILE: not JSON: empty"),
        ("{\n\"a\": 1,}", "AETHERFLOW_OUTPUT_FILE: not JSON: line 2, column"),
        ("rows=3", "AETHERFLOW_OUTPUT_FILE: not JSON: line 1, column 1"),
        ("[1]", "AETHERFLOW_OUTPUT_FILE: a JSON list, where an object is needed"),
        ("null", "AETHERFLOW_OUTPUT_FILE: a JSON null"),
        ("true", "AETHERFLOW_OUTPUT_FILE: a JSON boolean"),
        ('{"a": NaN}', "AETHERFLOW_OUTPUT_FILE: not JSON: NaN is no number there"),
        ('{"a": 1, "b": {"c": 1, "c": 2}}', "AETHERFLOW_OUTPUT_FILE: the key 'c' is there twice"),
        ('{"exit_code": 1}', "AETHERFLOW_OUTPUT_FILE: 'exit_code' is an output already"),
        ('{"own": 1, "stdout": 2}', "AETHERFLOW_OUTPUT_FILE: 'own', 'stdout' are outputs already"),
        ("[" * 100_000, "AETHERFLOW_OUTPUT_FILE: nested too deeply"),
    ],
)  # fmt: skip
def test_what_is_no_set_of_outputs(project: "Project", text: str, words: str) -> None:
    source = project.folder / "source"
    source.write_text(text)
    result = run(project, {"command": f"cp {source} $AETHERFLOW_OUTPUT_FILE", "shell": True, "outputs": {"own": 1}}, 1)
    assert f"AF5101 {words}" in result.err
    assert "  fix: " in result.err


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ('printf \'{"a": "\\377"}\' > $AETHERFLOW_OUTPUT_FILE', "not UTF-8 at byte 7"),
        ("mkdir $AETHERFLOW_OUTPUT_FILE", "it is no file"),
        ("mkfifo $AETHERFLOW_OUTPUT_FILE", "it is no file"),
        ("head -c 16777217 /dev/zero > $AETHERFLOW_OUTPUT_FILE", "16,777,217 bytes, more than 16,777,216"),
    ],
)
def test_what_is_no_file_of_outputs(project: "Project", command: str, words: str) -> None:
    assert f"AF5101 AETHERFLOW_OUTPUT_FILE: {words}" in run(project, {"command": command, "shell": True}, 1).err


def test_outputs_of_a_failed_try_are_forgotten(project: "Project") -> None:
    command = COUNT + "if [ $n = 1 ]; then echo '{\"old\": 1}' > $AETHERFLOW_OUTPUT_FILE; exit 1; fi"
    inputs = {"command": command, "shell": True, "retry": {"max_attempts": 2, "retry_on": ["exit_codes"]}}
    assert "old" not in outputs(project, inputs)


def test_a_secret_among_the_outputs_is_not_stored(project: "Project", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DB_PASSWORD", "hunter2hunter2")
    command = 'printf \'{"n": 1, "word": "%s"}\' $DB_PASSWORD > $AETHERFLOW_OUTPUT_FILE'
    found = outputs(project, {"command": command, "shell": True})
    assert found["n"] == 1
    assert "hunter2" not in json.dumps(found)


# What a try took


def test_resource_use(project: "Project") -> None:
    code = "import time; data = bytearray(400 * 2**20)\nwhile time.process_time() < 0.4: pass"
    found = outputs(project, {"command": f'"{PYTHON}" -c "$CODE"; sleep 0.2', "shell": True, "env": {"CODE": code}})
    assert 0.5 <= found["wall_seconds"] < 20
    assert 0.4 <= found["cpu_seconds"] < 5, "that of a grandchild counts"
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # until its exec a child counts with its parent's
    assert 400 * 2**20 <= found["peak_memory_bytes"] < 2**30 + own


def _wait(child: durable.ChildProcess, codes: list[int | None]) -> None:
    codes.append(child.wait())


def test_a_child_is_waited_for_from_several_threads() -> None:
    for timeout in (None, 0.001):
        child = durable.spawn(["sleep", "0.1"], cwd=Path("/"), env=dict(os.environ))
        codes: list[int | None] = []
        threads = [threading.Thread(target=_wait, args=(child, codes)) for _ in range(3)]
        for thread in threads:
            thread.start()
        if timeout:
            with pytest.raises(subprocess.TimeoutExpired):
                child.wait(timeout)
        for thread in threads:
            thread.join(60)
        assert codes == [0, 0, 0]
        assert child.usage is not None
        child.stdout.close()  # type: ignore[union-attr]
        child.stderr.close()  # type: ignore[union-attr]


# Tries


@pytest.mark.parametrize(
    ("more", "retry_on", "again"),
    [
        ({"command": COUNT + "exit 4"}, "exit_codes", True),
        ({"command": COUNT + "exit 4"}, "any", True),
        ({"command": COUNT + "exit 4"}, ["timeout", "invalid_output"], False),
        ({"command": COUNT, "success": {"require_files": "gone"}}, "invalid_output", True),
        ({"command": COUNT + "echo x > $AETHERFLOW_OUTPUT_FILE"}, "any", True),
        ({"command": COUNT, "success": {"require_files": "gone"}}, ["exit_codes", "timeout"], False),
        ({"command": COUNT + "sleep 60", "timeout_seconds": 0.1, "kill_grace_seconds": 1}, "timeout", True),
        ({"command": COUNT + "sleep 60", "timeout_seconds": 0.1, "kill_grace_seconds": 1}, "exit_codes", False),
    ],
)
def test_after_what_it_is_tried_again(project: "Project", more: dict[str, Any], retry_on: Any, again: bool) -> None:
    run(project, {"shell": True, "retry": {"max_attempts": 2, "retry_on": retry_on}, **more}, 1)
    assert len(project.lines()) == (2 if again else 1)


def test_listed_exit_codes_narrow_the_condition(project: "Project") -> None:
    retry = {"max_attempts": 3, "retry_on": ["exit_codes", "timeout"], "retry_on_exit_codes": 75}
    run(project, {"command": COUNT + "exit 4", "shell": True, "retry": retry}, 1)
    assert len(project.lines()) == 1


def test_a_program_that_cannot_be_started_is_tried_again_on_request(project: "Project") -> None:
    for retry_on, count in (("any", 2), ("exit_codes", 0)):
        inputs = {"command": ["no-such-program"], "retry": {"max_attempts": 3, "retry_on": retry_on}}
        result = run(project, inputs, 1)
        assert result.err.count("no-such-program: No such file or directory; try") == count
        assert 'error="no-such-program: No such file or directory' in result.err, "told as the end of the step"


# Events


def test_events_of_programs_have_the_ids_of_their_attempt(project: "Project", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AETHERFLOW_LOG_LEVEL", "DEBUG")
    retry = {"max_attempts": 3, "retry_on": "any"}
    command = COUNT + "[ $n != 1 ] || sleep 60; [ $n = 3 ] || exit 1; true"
    more = {"timeout_seconds": 0.5, "kill_grace_seconds": 1, "retry": retry}
    run(project, {"command": command, "shell": True, "args": ["s3cret-argument"], **more})
    (log,) = (project.states / "f.sqlite.d/logs/f").glob("*.jsonl")
    text = log.read_text()
    events = [event for event in map(json.loads, text.splitlines()) if event["event"].startswith("external_process_")]
    ids = {"flow_id": "f", "job_id": "a", "step_id": "s", "step_type": "external.process", "attempt": 1}
    assert all(event.items() >= ids.items() and event["level"] == "DEBUG" for event in events)
    assert {event["run_id"] for event in events} == {log.stem}
    told = [(event["event"].removeprefix("external_process_"), event["try"]) for event in events]
    assert told == [
        ("start", 1), ("timeout", 1), ("start", 2), ("exit", 2), ("start", 3), ("exit", 3), ("success", 3),
    ]  # fmt: skip
    assert (events[0]["program"], events[1]["timeout_seconds"], events[3]["exit_code"]) == ("/bin/sh", 0.5, 1)
    assert "s3cret-argument" not in "".join(line for line in text.splitlines() if "external_process" in line)
    monkeypatch.setenv("AETHERFLOW_LOG_LEVEL", "INFO")
    assert "external_process" not in run(project, {"command": ["true"]}).err


def test_given_outputs_win_and_hiding_others_is_warned_about(project: "Project") -> None:
    inputs = {"command": ["true"], "outputs": {"exit_code": "none", "rows": 3}}
    found = outputs(project, inputs)
    assert (found["exit_code"], found["rows"]) == ("none", 3)
    flow(project, inputs)
    result = project.cli("validate", "flow.yaml")
    assert result.code == 0
    assert "AF1216 warning: jobs[0].steps[0].inputs: outputs replaces exit_code, which then says nothing" in result.out


# Spellings


SPELLINGS: list[tuple[str, str, str, Any, Any, int]] = [
    # where, the two names, a value that each takes, another value, exit code of the run with the first
    ("", "command", "cmd", ["true"], ["false"], 0),
    ("success", "require_files", "required_files", "gone", "other", 1),
    ("success", "require_glob", "required_globs", "*.gone", "*.other", 1),
    ("success", "forbid_files", "forbidden_files", "gone", "other", 0),
    ("retry", "backoff_seconds", "sleep_seconds", 0, 1, 0),
    ("log", "max_capture_kb", "max_capture_bytes", 1, 3, 0),
]


@pytest.mark.parametrize(("block", "one", "two", "value", "other", "code"), SPELLINGS)
@pytest.mark.parametrize("inside", [False, True], ids=["alone", "inside with_lock"])
def test_both_spellings_of_a_key(
    project: "Project", block: str, one: str, two: str, value: Any, other: Any, code: int, inside: bool
) -> None:
    def step(**given: Any) -> dict[str, Any]:
        inputs = {"command": ["true"], block: given} if block else given
        inner = {"id": "s", "type": "external.process", "inputs": inputs}
        return {"id": "s", "type": "with_lock", "inputs": {"lock_key": "k", "step": inner}} if inside else inner

    def write(**given: Any) -> None:
        project.write(yaml.safe_dump({"flow": {"id": "f"}, "jobs": [{"id": "a", "steps": [step(**given)]}]}))

    for name in (one, two):
        write(**{name: value})
        assert project.cli("run", "flow.yaml").code == code, name
    write(**{one: value, two: other})
    result = project.cli("validate", "flow.yaml")
    assert result.code == 2
    assert two in result.out
    assert "twice, under two of its names" in result.out or "differ; keep one of them" in result.out


# What the child gets


def test_an_allowlist_of_variables(project: "Project", monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DBT_ONE", "DBT_TWO", "OTHER"):
        monkeypatch.setenv(name, "1")
    inputs = {"command": ["/usr/bin/env"], "inherit_env": ["DBT_*", "PATH"], "log": {"stdout": "capture"}}
    names = {line.partition("=")[0] for line in outputs(project, inputs)["stdout"].splitlines()}
    assert {name for name in names if not name.startswith("AETHERFLOW_")} == {"DBT_ONE", "DBT_TWO", "PATH"}


def test_the_ids_of_an_outer_run_do_not_reach_the_child(project: "Project", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AETHERFLOW_FLOW_ID", "outer")
    monkeypatch.setenv("AETHERFLOW_RUN_ID", "outer")
    found = outputs(project, {"command": "echo $AETHERFLOW_FLOW_ID", "shell": True, "log": {"stdout": "capture"}})
    assert found["stdout"] == "f\n"
    inputs = {"command": "echo $AETHERFLOW_FLOW_ID", "shell": True, "log": {"stdout": "capture"}}
    assert outputs(project, {**inputs, "env": {"AETHERFLOW_FLOW_ID": "mine"}})["stdout"] == "mine\n"


def test_a_step_that_must_not_be_repeated_is_a_question_after_its_time_limit(project: "Project") -> None:
    for effect, status in (("repeatable", "FAILED"), ("once", "INTERRUPTED")):
        run(project, {"command": ["sleep", "60"], "timeout_seconds": 0.1, "kill_grace_seconds": 1}, 1, effect=effect)
        assert project.rows("SELECT status FROM step_runs ORDER BY started_at DESC LIMIT 1") == [(status,)]
    assert project.rows("SELECT status FROM runs ORDER BY started_at DESC LIMIT 1") == [("UNKNOWN",)]


def test_null_bytes_from_a_template_are_an_error_of_the_step(project: "Project") -> None:
    steps = [
        {
            "id": "one",
            "type": "external.process",
            "inputs": {"command": ["printf", "a\\000b"], "log": {"stdout": "capture"}},
        },
        {"id": "two", "type": "external.process", "inputs": {"command": ["echo", "{{steps.one.stdout}}"]}},
    ]
    project.write(yaml.safe_dump({"flow": {"id": "f"}, "jobs": [{"id": "a", "steps": steps}]}, width=10**6))
    result = project.cli("run", "flow.yaml")
    assert result.code == 1
    assert "AF5002 command: " in result.err
    assert "null byte" in result.err


def test_scripts_that_cannot_start_say_why(project: "Project") -> None:
    script = project.folder / "script"
    for text, mode, words in (
        ("echo", 0o755, "give the script a first line such as #!/bin/sh"),
        ("#!/no/such/shell\n", 0o755, "the interpreter in the first line of a script"),
        ("#!/bin/sh\n", 0o644, "make it executable (chmod +x)"),
    ):
        script.write_text(text)
        script.chmod(mode)
        assert words in run(project, {"command": [str(script)]}, 1).err


def test_the_working_directory_may_be_the_flows_folder_or_an_allowed_one(project: "Project", tmp_path: Path) -> None:
    inside, outside = project.folder / "scripts", tmp_path / "project"
    inside.mkdir()
    outside.mkdir()
    (project.folder / "aetherflow.yaml").write_text(f"version: 1\npaths: {{read: ['{outside}']}}\n")
    for folder in ("{{env.AETHERFLOW_LOCAL_ROOT_DIR}}/scripts", str(outside)):
        found = outputs(project, {"command": ["pwd"], "cwd": folder, "log": {"stdout": "capture"}})
        assert found["stdout"].strip() in (str(inside), str(outside))
    (project.folder / "aetherflow.yaml").unlink()
    assert "AF5003" in run(project, {"command": ["pwd"], "cwd": str(outside)}, 1).err


def test_patterns_in_every_rule(project: "Project") -> None:
    command = "mkdir -p out/deep; touch out/deep/a.csv 'out/b[1].csv'"
    good = {"require_files": ["out/*/a.csv", "out/b[1].csv"], "require_glob": "out/**", "forbid_files": "**/*.err"}
    run(project, {"command": command, "shell": True, "success": good})
    bad = {"forbid_files": "out/**/*.csv"}
    assert (
        "forbidden_file_present:out/**/*.csv"
        in run(project, {"command": command, "shell": True, "success": bad}, 1).err
    )
    empty = {"command": ["mkdir", "out"], "success": {"require_glob": "out/**"}}
    assert "missing_required_glob:out/**" in run(project, empty, 1).err


# What an earlier attempt left running


def test_a_new_attempt_begins_without_the_programs_of_the_old_one(
    project: "Project", wait_for: Callable[..., None], lives: Callable[[int], bool], reap: list[int]
) -> None:
    command = "setsid sh -c 'echo $$ >> $EFFECTS; exec sleep 60' & echo $$ >> $EFFECTS; exec sleep 60"
    flow(project, {"command": command, "shell": True})
    process = project.start("run", "flow.yaml", "--run-id", "r")
    wait_for(lambda: len(project.lines()) == 2)
    reap += map(int, project.lines())
    wait_for(lambda: len(_guards(process.pid)) == 2)  # the programs may be faster than the second guard
    # all that would end them stand still before the first is killed; the runner first: it would start another guard
    process.send_signal(signal.SIGSTOP)
    wait_for(lambda: _stands_still(process.pid))
    everybody = [*_guards(process.pid), process.pid]
    for pid in everybody:
        os.kill(pid, signal.SIGSTOP)
    wait_for(lambda: all(map(_stands_still, everybody)))
    for pid in everybody:
        os.kill(pid, signal.SIGKILL)
    process.wait()
    for pipe in (process.stdout, process.stderr):
        pipe.close()  # type: ignore[union-attr]
    assert all(map(lives, reap))
    flow(project, {"command": ["true"]})
    assert project.command("run", "flow.yaml", "--run-id", "r").code == 0
    assert not any(map(lives, reap))


def test_a_new_attempt_leaves_the_programs_of_another_state_alone(
    project: "Project", wait_for: Callable[..., None], lives: Callable[[int], bool], reap: list[int]
) -> None:
    """A run of the same flow, id, job and step is under way elsewhere on this machine: in production, say."""
    flow(project, {"command": "echo $$ >> $EFFECTS; exec sleep 60", "shell": True})
    process = project.start("run", "flow.yaml", "--run-id", "r")
    wait_for(lambda: len(project.lines()) == 1)
    reap += map(int, project.lines())
    flow(project, {"command": ["false"], "retry": {"max_attempts": 2, "retry_on_exit_codes": 1}})
    env = {"AETHERFLOW_STATE_ROOT": str(project.folder / "test"), "AETHERFLOW_WORK_ROOT": str(project.folder / "there")}
    assert project.command("run", "flow.yaml", "--run-id", "r", env=env).code == 1
    assert project.command("run", "flow.yaml", "--run-id", "r", env=env).code == 1
    assert all(map(lives, reap))
    process.terminate()
    process.communicate(timeout=20)


def _stands_still(pid: int) -> bool:
    states = [path.read_text().rpartition(")")[2].split()[0] for path in Path(f"/proc/{pid}/task").glob("*/stat")]
    return set(states) == {"T"}


def _guards(runner: int) -> list[int]:
    """The guard and its twin."""
    found = [runner]
    for _ in range(2):
        for path in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                parent = int(path.read_text().rpartition(")")[2].split()[1])
                if parent in found and b"guard_program" in (path.parent / "cmdline").read_bytes():
                    found.append(int(path.parent.name))
    return sorted(set(found) - {runner})


def test_a_folder_that_was_left_aside_comes_back_before_the_next_try(project: "Project") -> None:
    final = project.work / "out/final"
    fill(project.work / "out/.aetherflow-final.0123456789ab.old", "old")
    folders_ = {"temp_output_dir": str(project.work / "out/temp"), "final_output_dir": str(final)}
    run(project, {"command": ["false"], "idempotency": {"strategy": "atomic_dir", **folders_}}, 1)
    assert content(final) == {"old"}
