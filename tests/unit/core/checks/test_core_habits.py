"""`run:` and `command:` on a step, as other tools have them: the answer is lines that can be pasted in their place."""

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
import yaml

if TYPE_CHECKING:
    from core_project import Project

HEAD = "version: 1\nflow: {id: f}\njobs:\n  - id: main\n    steps:\n"
OTHER = "      - id: before\n        type: check_items\n        inputs: {items: [1]}\n"
CASES = {
    "run: echo hello": {"shell": True, "command": "echo hello"},
    "run: ./load.sh 'a b' | tee \"log\"": {"shell": True, "command": "./load.sh 'a b' | tee \"log\""},
    "run: 'echo {a}: b # no comment'": {"shell": True, "command": "echo {a}: b # no comment"},
    "run: |\n          cd data\n\n          ls *.csv": {"shell": True, "command": "set -e\ncd data\n\nls *.csv\n"},
    'command: [echo, "a b", 3]': {"command": ["echo", "a b", 3]},
    "command:\n          - echo\n          - '3'": {"command": ["echo", "3"]},
    "cmd: date -u": {"shell": True, "command": "date -u"},
}


def answer(project: "Project", steps: str) -> list[dict[str, Any]]:
    project.write(HEAD + steps, "flow.yaml")
    errors: list[dict[str, Any]] = json.loads(project.cli("validate", "flow.yaml", "--json").out)["errors"]
    return errors


@pytest.mark.parametrize("typed", [False, True], ids=["without a type", "with the type"])
@pytest.mark.parametrize("written", CASES, ids=lambda text: text.partition("\n")[0])
def test_the_lines_of_the_fix_stand_for_the_key(project: "Project", written: str, typed: bool) -> None:
    head = OTHER + "      - id: load\n" + "        type: external.process\n" * typed
    errors = answer(project, f"{head}        {written}\n        timeout_seconds: 60\n")
    (error,) = errors
    key = written.partition(":")[0]
    assert (error["af"], error["code"]) == ("AF1101", "schema:extra_forbidden")
    assert (error["line"], error["col"]) == (10 + typed, 9)
    first, _, lines = error["fix"].partition("\n")
    assert first == f"did you mean a program? instead of `{key}:` write"
    assert ("type:" in lines) is not typed

    project.write(f"{HEAD}{head}{lines}\n        timeout_seconds: 60\n", "flow.yaml")
    assert project.cli("validate", "flow.yaml").out == "OK: flow.yaml\n"
    step = yaml.safe_load((project.folder / "flow.yaml").read_text())["jobs"][0]["steps"][1]
    assert (step["type"], step["inputs"]) == ("external.process", CASES[written])


def test_a_step_in_one_line_gets_one_line(project: "Project") -> None:
    (error,) = answer(project, "      - {id: load, run: make all}\n")
    assert error["fix"] == (
        "did you mean a program? instead of `run:` write: "
        "type: external.process, inputs: {shell: true, command: make all}"
    )
    line = error["fix"].partition("write: ")[2]
    assert answer(project, f"      - {{id: load, {line}}}\n") == []


def test_inputs_that_are_there_stay(project: "Project") -> None:
    steps = "      - id: load\n        inputs: {timeout_seconds: 3, log: {stdout: capture}}\n        run: ls\n"
    (error,) = answer(project, steps)
    first, _, lines = error["fix"].partition("\n")
    assert first.endswith("instead of `run:` and `inputs:` write")
    assert answer(project, f"      - id: load\n{lines}\n") == []
    assert "timeout_seconds: 3" in lines
    assert "stdout: capture" in lines


def test_what_is_wrong_inside_is_found_too_where_it_stands(project: "Project") -> None:
    cat = '      - id: load\n        run: "cat {{steps.nix.file}}"\n'
    send = '      - id: send\n        command: [send, "{{steps.nix.file}}"]\n'
    errors = answer(project, cat + send)
    assert [(error["af"], error["line"], error["col"]) for error in errors] == [
        ("AF1101", 7, 9),
        ("AF1208", 7, 19),
        ("AF1101", 9, 9),
        ("AF1208", 9, 26),
    ]


def test_a_long_script_is_not_repeated(project: "Project") -> None:
    script = "".join(f"          echo line {number}\n" for number in range(40))
    (error,) = answer(project, f"      - id: load\n        run: |\n{script}")
    assert re.findall(r"echo line \d+", error["fix"]) == ["echo line 0", "echo line 1", "echo line 2"]
    assert "# … the other 37 lines" in error["fix"]


@pytest.mark.parametrize(
    "step",
    [
        "      - id: load\n        run: {a: b}\n",
        "      - id: load\n        run:\n",
        "      - id: load\n        run: ''\n",
        "      - id: load\n        command: []\n",
        "      - id: load\n        type: sleep\n        inputs: {seconds: 1}\n        run: ls\n",
    ],
)
def test_what_is_no_program_is_an_unknown_key(project: "Project", step: str) -> None:
    (error,) = [each for each in answer(project, step) if each["af"] == "AF1101"]
    assert error["fix"].startswith("known keys: ")


def test_a_run_is_refused_with_the_same_words(project: "Project") -> None:
    project.write(HEAD + "      - id: load\n        run: echo hello\n", "flow.yaml")
    result = project.cli("run", "flow.yaml")
    assert result.code == 2
    assert (
        "flow.yaml:7:9: AF1101 unknown key 'run' in jobs[0].steps[0]\n"
        "  fix: did you mean a program? instead of `run:` write\n"
        "        type: external.process\n        inputs:\n          shell: true\n          command: echo hello\n"
    ) in result.err
