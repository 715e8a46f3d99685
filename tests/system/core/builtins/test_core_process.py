"""`external.process`: arguments byte for byte, all of the output, nothing left behind, nothing hanging."""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from core_process import flow, outputs, run, steps
from hypothesis import example, given, settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from core_project import Project

PYTHON = sys.executable


ECHO = "import os, sys; sys.stdout.write(' '.join(os.fsencode(a).hex() or '-' for a in sys.argv[1:]))"
ARGUMENT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=25)
TRICKY = st.sampled_from(["", " ", "a b", "'", '"', "$HOME", "`id`", "*", ";", "\n", "-x", "--", "\\"])


@settings(max_examples=12 if os.environ.get("AETHERFLOW_TORTURE_TIER", "T0") == "T0" else 500)
@given(st.lists(ARGUMENT | TRICKY, max_size=6))
@example(["0E0", "1.10", "007", "12e4567", "0x1F", "0o17", "-0", "+1", ".5", ".inf", "1e3", "1_000"])
@example(["true", "True", "null", "~", "yes", "2026-01-01", "0" * 300])
def test_arguments_arrive_byte_for_byte(project: "Project", arguments: list[str]) -> None:
    # templates are searched for in inputs; what looks like one goes through !raw, tested below
    if any(bad in text for text in arguments for bad in ("{", "}")):
        return
    found = outputs(project, {"command": [PYTHON, "-c", ECHO], "args": arguments, "log": {"stdout": "capture"}})
    assert found["stdout"].split() == [text.encode().hex() or "-" for text in arguments]


def test_numbers_become_text_and_raw_text_stays(project: "Project") -> None:
    project.write(
        f"""\
        flow: {{id: f}}
        jobs:
          - id: a
            steps:
              - id: s
                type: external.process
                inputs:
                  command: ["{PYTHON}", -c, "import sys; print(sys.argv[1:])", 7, 2.5, -1, !raw "${{X}} {{{{y}}}} {{}}"]
                  log: {{stdout: capture}}
                outputs: {{out: "{{{{result.stdout}}}}"}}
        """
    )
    assert project.cli("run", "flow.yaml").code == 0
    ((text,),) = project.rows("SELECT outputs FROM job_runs")
    assert json.loads(text)["out"] == "['7', '2.5', '-1', '${X} {{y}} {}']\n"


def test_a_shell_command_is_taken_verbatim(project: "Project") -> None:
    command = 'for x in a \'b  c\' "d\\"e"; do printf \'%s|\' "$x"; done; echo $((1 + 1)) | tr 2 3 && exit 0'
    found = outputs(project, {"command": command, "shell": True, "log": {"stdout": "capture"}})
    assert found == {"exit_code": 0, "attempts": 1, "stdout": 'a|b  c|d"e|3\n'}


def test_a_list_and_args_stay_words_in_a_shell(project: "Project") -> None:
    words = ["a b", "$HOME", "it's", "*"]
    shown = "".join(f"[{word}]" for word in words)
    for inputs in (
        {"command": ["printf", "[%s]", *words]},
        {"command": "printf '[%s]'", "args": words},
        {"command": "x='[%s]'; printf \"$x\"", "args": words},
    ):
        found = outputs(project, {**inputs, "shell": True, "log": {"stdout": "capture"}})
        assert found["stdout"] == shown


def test_a_program_whose_path_has_blanks(project: "Project") -> None:
    program = project.folder / "my tools" / "say it"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho said\n")
    program.chmod(0o755)
    assert outputs(project, {"command": [str(program)], "log": {"stdout": "capture"}})["stdout"] == "said\n"


def test_the_default_folder_is_the_jobs_artifacts(project: "Project") -> None:
    flow(project, {"command": ["pwd"], "log": {"stdout": "capture"}}, outputs={"cwd": "{{result.stdout}}"})
    assert project.cli("run", "flow.yaml", "--run-id", "r").code == 0
    ((text,),) = project.rows("SELECT outputs FROM job_runs")
    assert Path(json.loads(text)["cwd"].strip()) == project.artifacts("a", "r")
    assert "No such file or directory" in run(project, {"command": ["pwd"], "cwd": "nowhere"}, 1).err


def test_environment(project: "Project", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMBIENT", "yes")
    base = {"command": ["/usr/bin/env"], "log": {"stdout": "capture"}}
    own = {"EMPTY": None, "NUMBER": 5, "TEXT": "a b\n$X"}
    inherited = outputs(project, {**base, "env": own})["stdout"]
    assert {"AMBIENT=yes", "EMPTY=", "NUMBER=5", "TEXT=a b", "$X", "AETHERFLOW_FLOW_ID=f"} <= set(
        inherited.splitlines()
    )
    assert f"AETHERFLOW_LOCAL_ROOT_DIR={project.folder}" in inherited
    clean = outputs(project, {**base, "env": own, "inherit_env": False})["stdout"]
    names = {line.partition("=")[0] for line in clean.splitlines() if "=" in line}
    ours = {"GUARD", "FLOW_ID", "RUN_ID", "IDEMPOTENCY_KEY", "OUTPUT_FILE", "STEP_MARK"}
    assert names == {*own, *(f"AETHERFLOW_{name}" for name in ours)}


@pytest.mark.parametrize(
    ("inputs", "code", "words"),
    [
        ({"command": ["sh", "-c", "exit 3"]}, 1, "AF5101 exit code 3"),
        ({"command": ["sh", "-c", "exit 3"], "success": {"exit_codes": [0, 3]}}, 0, ""),
        ({"command": ["sh", "-c", "exit 3"], "success": {"exit_codes": 3}}, 0, ""),
        ({"command": ["true"], "success": {"exit_codes": [3]}}, 1, "AF5101 exit code 0"),
        ({"command": ["sh", "-c", "kill -9 $$"]}, 1, "AF5101 ended by signal 9"),
        ({"command": ["sh", "-c", "echo one; echo last words >&2; exit 1"]}, 1, "AF5101 exit code 1: last words"),
        ({"command": ["no-such-program-here"]}, 1, "AF5101 no-such-program-here: No such file or directory"),
        ({"command": [""]}, 1, "AF5101 "),
        ({"command": ["/etc/passwd"]}, 1, "AF5101 /etc/passwd: Permission denied"),
        ({"command": ["/"]}, 1, "AF5101 /: Permission denied"),
        ({"command": ["x" * 300_000]}, 1, "AF5101 "),
        ({"command": ["true"], "success": {"require_files": "gone.txt"}}, 1, "missing_required_file:gone.txt"),
        ({"command": ["touch", "made"], "success": {"required_files": ["made"]}}, 0, ""),
    ],
)
def test_success_and_failure(project: "Project", inputs: dict[str, Any], code: int, words: str) -> None:
    result = run(project, inputs, code)
    assert words in result.err
    assert "internal error" not in result.err
    if code:
        assert "  fix: " in result.err


def test_what_a_template_brings_is_checked_before_the_start(
    project: "Project", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECONDS_TO_RUN", "soon")
    result = run(project, {"command": ["touch", "made"], "timeout_seconds": "{{env.SECONDS_TO_RUN}}"}, 1)
    assert "AF5002 timeout_seconds: " in result.err
    assert not list(project.work.rglob("made"))
    for text, found in (("false", "exit code 0"), ("no", "exit code 0")):
        monkeypatch.setenv("FLAG", text)
        result = run(
            project, {"command": ["sh", "-c", "true"], "shell": "{{env.FLAG}}", "success": {"exit_codes": [9]}}, 1
        )
        assert found in result.err


# Output


def test_five_megabytes_on_both_streams_arrive_whole(project: "Project") -> None:
    code = (
        "import sys, threading\n"
        "def put(stream, word):\n"
        "    for n in range(70_000): stream.write(f'{word} {n:06} ' + 'x' * 60 + '\\n')\n"
        "    stream.write('no newline')\n"
        "threads = [threading.Thread(target=put, args=p) for p in ((sys.stdout, 'out'), (sys.stderr, 'err'))]\n"
        "[t.start() for t in threads]; [t.join() for t in threads]\n"
    )
    log = {"stdout": "capture", "stderr": "capture", "max_capture_kb": 8_000}
    found = outputs(project, {"command": [PYTHON, "-c", code], "log": log})
    for stream in ("stdout", "stderr"):
        word = stream[3:] if stream == "stdout" else "err"
        expected = "".join(f"{word} {n:06} {'x' * 60}\n" for n in range(70_000)) + "no newline"
        assert len(expected) > 5_000_000
        assert found[stream] == expected


def test_a_long_capture_keeps_head_and_tail(project: "Project") -> None:
    code = "import sys; [sys.stdout.write(f'{n:09}\\n') for n in range(100_000)]"
    found = outputs(project, {"command": [PYTHON, "-c", code], "log": {"stdout": "capture", "max_capture_kb": 2}})
    head, note, tail = found["stdout"].partition("\n[... 997952 bytes left out ...]\n")
    assert note
    whole = "".join(f"{n:09}\n" for n in range(100_000))
    assert (len(head), len(tail)) == (1024, 1024)
    assert whole.startswith(head)
    assert whole.endswith(tail)


@pytest.mark.parametrize("size", [0, 1, 1023, 1024, 1025, 2047, 2048, 2049])
def test_captures_around_the_limit(project: "Project", size: int) -> None:
    code = f"import sys; sys.stdout.write(('0123456789' * 300)[:{size}])"
    found = outputs(project, {"command": [PYTHON, "-c", code], "log": {"stdout": "capture", "max_capture_kb": 2}})
    whole = ("0123456789" * 300)[:size]
    if size <= 2048:
        assert found["stdout"] == whole
    else:
        assert found["stdout"] == f"{whole[:1024]}\n[... {size - 2048} bytes left out ...]\n{whole[-1024:]}"


def test_output_that_is_no_text(project: "Project") -> None:
    code = "import sys; sys.stdout.buffer.write(bytes(range(256)))"
    found = outputs(project, {"command": [PYTHON, "-c", code], "log": {"stdout": "capture"}})
    assert found["stdout"] == bytes(range(256)).decode(errors="replace")


@pytest.mark.parametrize("append", [True, False])
def test_files_of_output_are_byte_exact(project: "Project", append: bool) -> None:
    code = (
        "import sys; sys.stdout.buffer.write(bytes(range(256)) * 5000); sys.stdout.flush(); sys.stderr.write('e' * 9)"
    )
    log = {"stdout": "file", "stderr": "file", "file_path": "logs/o.bin", "append": append}
    found = outputs(project, {"command": [PYTHON, "-c", code], "log": log})
    written = Path(found["log_file"]).read_bytes()
    assert written.replace(b"e" * 9, b"", 1) == bytes(range(256)) * 5000, "the streams have no order between them"
    artifacts = [] if append else [(found["log_file"], 256 * 5000 + 9)]
    assert project.rows("SELECT path, size FROM artifacts") == artifacts
    assert not list(project.states.rglob("a.s.*.log"))


def test_the_output_log_of_an_attempt_has_every_line(project: "Project") -> None:
    run(project, {"command": "seq 500; printf 'no newline'; printf 'é\\r\\nwide %070000d' 1 >&2", "shell": True})
    (log,) = (project.states / "f.sqlite.d/logs/f").rglob("*.log")
    lines = log.read_text().splitlines()
    assert [line for line in lines if line.isdigit() and len(line) < 5] == [str(n) for n in range(1, 501)]
    assert "no newline" in lines
    assert "é" in lines
    assert sum(line.count("0") for line in lines if len(line) > 1000) >= 69_999


def test_discarded_output_is_nowhere(project: "Project") -> None:
    result = run(
        project,
        {"command": "seq 100001 100500; seq 5 >&2", "shell": True, "log": {"stdout": "discard", "stderr": "discard"}},
    )
    assert "100001" not in result.err
    assert not list((project.states / "f.sqlite.d/logs/f").rglob("*.log"))


@pytest.mark.parametrize("append", [True, False])
def test_a_file_that_cannot_be_written_fails_the_step(project: "Project", append: bool) -> None:
    # the failure happens in the thread that reads the child: it must neither get lost nor stop the child's output
    inputs = {"command": ["seq", "200000"], "log": {"stdout": "file", "file_path": "o.txt", "append": append}}
    flow(project, inputs)
    names = project.folder / "points"
    env: dict[str, str]
    for run_id, env in (("first", {}), ("x", {"AETHERFLOW_TESTS_FAILPOINT": f"log:{names}"})):  # the first makes stores
        assert project.command("run", "flow.yaml", "--run-id", run_id, env=env).code == 0
    point = names.read_text().splitlines().index("write o.txt") + 1
    for kind in ("enospc", "eio"):
        result = project.command(
            "run", "flow.yaml", "--run-id", kind, env={"AETHERFLOW_TESTS_FAILPOINT": f"{point + 2}:{kind}"}
        )
        assert result.code == 1, result.err
        assert "o.txt" in result.err
        assert "Traceback" not in result.err
        assert project.rows(f"SELECT status FROM step_runs WHERE run_id='{kind}'") == [("FAILED",)]
        file = project.artifacts("a", kind) / "o.txt"
        before = file.read_text() if append else ""
        assert file.exists() is append, "a result is whole or not there"
        assert project.command("run", "flow.yaml", "--run-id", kind).code == 0
        assert file.read_text() == before + "".join(f"{n}\n" for n in range(1, 200_001))


# Time limits and what children leave behind


def test_the_time_limit_ends_the_whole_tree(
    project: "Project", lives: Callable[[int], bool], wait_for: Callable[..., None]
) -> None:
    command = "sh -c 'sleep 60 & echo $! >> $EFFECTS; wait' & echo $! >> $EFFECTS; echo begun; wait"
    started = time.monotonic()
    result = run(project, {"command": command, "shell": True, "timeout_seconds": 0.6, "kill_grace_seconds": 1}, 1)
    assert time.monotonic() - started < 40
    assert "AF5101 still running after 0.6 s" in result.err
    assert "    begun" in result.err
    pids = [int(line) for line in project.lines()]
    assert len(pids) == 2
    wait_for(lambda: not any(map(lives, pids)))


def test_what_ignores_the_time_limit_is_killed(project: "Project", lives: Callable[[int], bool]) -> None:
    command = 'trap "" TERM; echo $$ >> $EFFECTS; while :; do sleep 0.1; done'
    started = time.monotonic()
    run(project, {"command": command, "shell": True, "timeout_seconds": 0.3, "kill_grace_seconds": 0.3}, 1)
    assert time.monotonic() - started < 40
    assert not lives(int(project.lines()[0]))


def test_a_child_that_stays_behind_is_ended_and_holds_nothing_up(
    project: "Project", lives: Callable[[int], bool], wait_for: Callable[..., None]
) -> None:
    started = time.monotonic()
    found = outputs(
        project, {"command": "sleep 60 & echo $! >> $EFFECTS; echo done", "shell": True, "log": {"stdout": "capture"}}
    )
    assert time.monotonic() - started < 40
    assert found["stdout"] == "done\n"
    wait_for(lambda: not lives(int(project.lines()[0])))


def test_a_daemon_that_holds_the_pipe_does_not_hang_the_step(
    project: "Project", monkeypatch: pytest.MonkeyPatch, reap: list[int]
) -> None:
    from aetherflow.core.builtins import process_child

    monkeypatch.setattr(process_child, "DRAIN_SECONDS", 0.5, raising=True)
    started = time.monotonic()
    command = "setsid sh -c 'echo $$ >> $EFFECTS; exec sleep 120' & sleep 0.2; echo done"
    found = outputs(project, {"command": command, "shell": True, "log": {"stdout": "capture"}})
    reap += map(int, project.lines())
    assert time.monotonic() - started < 60
    assert found["stdout"] == "done\n"


def test_no_descriptor_reaches_the_child(project: "Project") -> None:
    found = outputs(project, {"command": ["ls", "/proc/self/fd"], "log": {"stdout": "capture"}})
    assert found["stdout"].split() == ["0", "1", "2", "3"], "3 is the listing itself"
    found = outputs(project, {"command": ["readlink", "/proc/self/fd/0"], "log": {"stdout": "capture"}})
    assert found["stdout"] == "/dev/null\n"


# Files that the child is to write


@pytest.mark.parametrize(
    ("command", "success", "reason"),
    [
        ("touch a.csv b", {"require_files": ["a.csv", "b"], "require_glob": "*.csv", "forbid_files": "error"}, ""),
        ("touch a.csv", {"require_files": ["a.csv", "b"]}, "missing_required_file:b"),
        ("touch a.txt", {"require_glob": ["*.txt", "*.csv"]}, "missing_required_glob:*.csv"),
        ("mkdir -p x/y; touch x/y/z.csv", {"required_globs": ["**/z.csv", "x/*/z.*", "x/y/[z].csv", "x/y/z.csv"]}, ""),
        ("mkdir x", {"require_glob": "x/*"}, "missing_required_glob:x/*"),
        ("true", {"require_glob": "no/such/*"}, "missing_required_glob:no/such/*"),
        ("true", {"require_glob": "plain"}, "missing_required_glob:plain"),
        ("touch error.log", {"forbidden_files": ["x", "error.log"]}, "forbidden_file_present:error.log"),
        ("touch DONE", {"marker_file": "DONE"}, ""),
        ("true", {"marker_file": "DONE"}, "missing_required_file:DONE"),
    ],
)
def test_success_rules(project: "Project", command: str, success: dict[str, Any], reason: str) -> None:
    inputs = {"command": command, "shell": True, "success": success}
    result = run(project, inputs, 1 if reason else 0)
    assert (f"AF5101 external.process outputs invalid: {reason}\n" in result.err) is bool(reason)


@pytest.mark.parametrize(
    ("success", "word"),
    [({"require_glob": "/etc/*"}, "outside"), ({"require_glob": "*/" + "../" * 20 + "etc/pass*"}, "outside"),
     ({"forbid_files": "../../../../../../../x"}, "outside")],
)  # fmt: skip
def test_success_rules_stay_inside(project: "Project", success: dict[str, Any], word: str) -> None:
    result = run(project, {"command": ["mkdir", "d"], "success": success}, 1)
    assert "AF5003" in result.err
    assert word in result.err


def test_a_marker_saves_the_work(project: "Project") -> None:
    shared = project.work / "shared"
    inputs = {
        "command": f"echo ran >> $EFFECTS; touch {shared}/done {shared}/a.csv", "shell": True,
        "success": {"marker_file": str(shared / "done"), "require_glob": f"{shared}/*.csv"},
        "idempotency": {"strategy": "marker"},
    }  # fmt: skip
    shared.mkdir(parents=True)
    run(project, inputs)
    run(project, inputs)
    assert project.lines() == ["ran"]
    marker = str(shared / "done")
    output = {"skipped": True, "marker": marker, "reason": "marker_present"}
    assert steps(project) == [("SKIPPED", output, "marker_present")]
    (shared / "a.csv").unlink()
    run(project, inputs)
    assert project.lines() == ["ran", "ran"], "a marker whose rules do not hold counts for nothing"
    inputs["idempotency"] = {"strategy": "marker", "marker_path": str(shared / "a.csv")}
    run(project, inputs)
    assert project.lines() == ["ran", "ran"]


def test_a_folder_is_swapped_in_whole(project: "Project") -> None:
    final, temp = project.work / "out/final", project.work / "out/temp"
    inputs: dict[str, Any] = {
        "command": "cd $AETHERFLOW_OUTPUT_DIR && ls -A >> $EFFECTS && {{env.WORK}}", "shell": True,
        "env": {"AETHERFLOW_OUTPUT_DIR": "mine"},
        "success": {"require_files": str(final / "new.csv"), "forbid_files": str(final / "bad")},
        "idempotency": {"strategy": "atomic_dir", "temp_output_dir": str(temp), "final_output_dir": str(final)},
    }  # fmt: skip
    final.mkdir(parents=True)
    (final / "old.csv").touch()
    temp.mkdir()
    (temp / "rest").touch()
    for work, code in (("touch half; exit 3", 1), ("touch new.csv bad", 1), ("touch new.csv", 0)):
        inputs["command"] = f"cd $AETHERFLOW_OUTPUT_DIR && ls -A >> $EFFECTS && {{ {work}; }}"
        run(project, {**inputs, "command": inputs["command"].replace("{ ", "(").replace("; }", ")")}, code)
        names = sorted(path.name for path in final.iterdir())
        assert names == (["new.csv"] if code == 0 else ["old.csv"])
    assert project.lines() == [], "the folder is emptied before each try"
    assert not temp.exists()


def test_files_are_put_into_the_final_folder(project: "Project") -> None:
    final, temp = project.work / "out/final", project.work / "out/temp"
    final.mkdir(parents=True)
    (final / "old.csv").write_text("old")
    (final / "both.csv").write_text("old")
    folders = {"temp_output_dir": str(temp), "final_output_dir": str(final), "atomic_rename": False}
    command = "cd $AETHERFLOW_OUTPUT_DIR && mkdir sub && echo new | tee both.csv sub/deep.csv"
    run(project, {"command": command, "shell": True, "idempotency": {"strategy": "atomic_dir", **folders}})
    found = {str(path.relative_to(final)): path.read_text() for path in final.rglob("*") if path.is_file()}
    assert found == {"old.csv": "old", "both.csv": "new\n", "sub/deep.csv": "new\n"}
    assert list(temp.iterdir()) == []


# Tries


COUNT = "echo x >> $EFFECTS; n=$(wc -l < $EFFECTS); echo try $n; "


def test_an_exit_code_that_is_tried_again(project: "Project") -> None:
    inputs = {
        "command": COUNT + "[ $n -ge 3 ] || exit 75", "shell": True, "log": {"stdout": "capture"},
        "retry": {"max_attempts": 5, "backoff_seconds": 0.1, "backoff_multiplier": 2, "retry_on_exit_codes": 75},
    }  # fmt: skip
    started = time.monotonic()
    assert outputs(project, inputs) == {"exit_code": 0, "attempts": 3, "stdout": "try 3\n"}
    assert time.monotonic() - started >= 0.3


def test_all_tries_are_in_one_log(project: "Project") -> None:
    inputs = {
        "command": COUNT + "exit 75", "shell": True, "log": {"stdout": "file", "file_path": "o.txt"},
        "retry": {"max_attempts": 2, "retry_on_exit_codes": [75]},
    }  # fmt: skip
    result = run(project, inputs, 1)
    assert "AF5101 exit code 75 (try 2 of 2)" in result.err
    (log,) = project.work.rglob("o.txt")
    assert log.read_text() == "try 1\ntry 2\n"


@pytest.mark.parametrize(
    ("more", "tries"),
    [
        ({"command": COUNT + "exit 4"}, 1),
        ({"command": COUNT + "exit 75", "success": {"exit_codes": [0, 75]}}, 1),
        ({"command": COUNT + "true", "success": {"require_files": "gone"}}, 1),
        ({"command": COUNT + "sleep 60", "timeout_seconds": 0.1, "kill_grace_seconds": 1}, 1),
    ],
)
def test_what_is_not_tried_again(project: "Project", more: dict[str, Any], tries: int) -> None:
    inputs = {"shell": True, "retry": {"max_attempts": 3, "retry_on_exit_codes": [75]}, **more}
    run(project, inputs, 0 if "exit_codes" in more.get("success", {}) else 1)
    assert len(project.lines()) == tries


def test_the_time_limit_is_one_of_each_try(project: "Project") -> None:
    inputs = {
        "command": COUNT + "[ $n -ge 2 ] || sleep 60", "shell": True, "timeout_seconds": 0.3,
        "kill_grace_seconds": 1, "retry": {"max_attempts": 2, "retry_on_timeout": True},
    }  # fmt: skip
    run(project, inputs)
    assert len(project.lines()) == 2


def test_a_stop_does_not_wait_for_the_next_try(project: "Project", wait_for: Callable[..., None]) -> None:
    inputs = {
        "command": COUNT + "exit 75", "shell": True,
        "retry": {"max_attempts": 2, "backoff_seconds": 60, "retry_on_exit_codes": [75]},
    }  # fmt: skip
    flow(project, inputs)
    process = project.start("run", "flow.yaml", "--run-id", "r")
    log = project.states / "f.sqlite.d/logs/f/r.jsonl"
    wait_for(lambda: log.exists() and "try 2 of 2" in log.read_text())
    process.terminate()
    process.communicate(timeout=40)
    assert process.returncode == 143
    assert project.rows("SELECT status FROM step_runs") == [("INTERRUPTED",)]
