"""`aetherflow validate`: every mistake in one go, each at its place with a fix; never a traceback."""

import json
import re
import sys
from typing import TYPE_CHECKING, Any, get_args

import pytest
import yaml
from core_validate import check, job
from misspelt import in_block_style, misspelt
from pydantic import BaseModel

from aetherflow.core.api import (
    FlowMetaSpec,
    FlowSpec,
    JobSpec,
    LocksSpec,
    ResourceSpec,
    StateSpec,
    StepSpec,
    WorkspaceSpec,
    get_step,
)
from aetherflow.core.host import first_party
from aetherflow.core.kernel.yaml.binder import known_keys
from aetherflow.core.kernel.yaml.flow import (
    DataDateSpec,
    DefaultsSpec,
    ForEachSpec,
    JobLockSpec,
    ParamSpec,
    RetrySpec,
    VerifySpec,
)
from aetherflow.core.validation import validate_flow_yaml

if TYPE_CHECKING:
    from core_project import Project


def test_a_good_flow_is_ok(project: "Project") -> None:
    project.flow("jobs:\n  - id: a\n    steps: []\n")
    for arguments in (("flow.yaml",), ("--flow-yaml", "flow.yaml")):
        result = project.cli("validate", *arguments)
        assert (result.code, result.out, result.err) == (0, "OK: flow.yaml\n", "")


def test_no_flow_and_two_flows(project: "Project") -> None:
    project.flow("jobs: []\n")
    for command in ("validate", "run"):
        result = project.cli(command)
        assert (result.code, result.out) == (2, "")
        assert result.err.startswith("AF0002 no flow is named\n  fix: ")
        result = project.cli(command, "flow.yaml", "--flow-yaml", "flow.yaml")
        assert (result.code, result.out) == (2, "")
        assert "twice" in result.err


@pytest.mark.parametrize(
    ("make", "af"),
    [
        (lambda path: None, "AF1001"),
        (lambda path: path.mkdir(), "AF1002"),
        (lambda path: path.write_text(""), "AF1007"),
        (lambda path: path.write_text("a: [1\n"), "AF1004"),
        (lambda path: path.write_text("- 1\n"), "AF1103"),
        (lambda path: path.write_text("just text\n"), "AF1103"),
        (lambda path: path.write_text("---\n"), "AF1103"),
    ],
)
@pytest.mark.parametrize("command", ["validate", "run"])
def test_what_is_no_flow_at_all(project: "Project", make: Any, af: str, command: str) -> None:
    make(project.folder / "flow.yaml")
    result = project.cli(command, "flow.yaml")
    assert result.code == 2
    first = (result.out if command == "validate" else result.err).splitlines()[0]
    assert re.match(rf"flow\.yaml:\d+:\d+: {af} ", first)
    assert "Spec" not in first, "a name from our code"
    assert "Traceback" not in result.err
    if command == "run":
        assert result.out == ""
        assert not project.state.exists(), "nothing may be touched for a flow that cannot run"


def test_json_of_one_and_of_several_files(project: "Project") -> None:
    project.flow("jobs: []\n")
    project.write("version: 1\nflow: {id: f, x: 1}\njobs: []\n", "bad.yaml")
    one = project.cli("validate", "--json", "bad.yaml")
    report = json.loads(one.out)
    assert (one.code, one.err) == (2, "")
    assert {"schema", "ok", "flow_yaml", "install", "errors", "warnings"} == report.keys()
    assert report["errors"] == [
        {
            "code": "schema:extra_forbidden",
            "loc": "flow.x",
            "msg": "unknown key 'x' in flow",
            "af": "AF1101",
            "file": "bad.yaml",
            "line": 2,
            "col": 15,
            "fix": report["errors"][0]["fix"],
        }
    ]
    several = project.cli("validate", "--json", "flow.yaml", "bad.yaml", "gone.yaml")
    report = json.loads(several.out)
    assert several.code == 2
    assert (report["schema"], report["ok"]) == (1, False)
    assert [(item["flow_yaml"], item["ok"]) for item in report["files"]] == [
        ("flow.yaml", True),
        ("bad.yaml", False),
        ("gone.yaml", False),
    ]
    assert validate_flow_yaml(project.folder / "flow.yaml")["ok"] is True
    assert json.loads(project.cli("validate", "--json", "flow.yaml").out)["ok"] is True


# Unknown keys, for every key of every model

SAMPLE: dict[str, Any] = {
    "version": 1,
    "flow": {
        "id": "f",
        "owner": "ops",
        "runbook_url": "https://wiki/f",
        "description": "text",
        "workspace": {"root": "w", "cleanup_policy": "never", "layout": {"artifacts": "a"}},
        "state": {"backend": "sqlite", "path": "s"},
        "params": {"p": {"type": "integer", "default": 1, "description": "text"}},
        "data_date": {"timezone": "UTC", "shift": "-1d", "calendar": None},
        "on_failure": "continue",
        "locks": {"scope": "none", "ttl_seconds": 10, "wait_seconds": 5},
        "defaults": {"retry": {}, "timeout_seconds": 60},
    },
    "resources": {
        "r": {"kind": "db", "driver": "sqlite3", "profile": None, "config": {"path": "x"}, "options": {}, "decode": {}}
    },
    "jobs": [
        {
            "id": "a",
            "description": "text",
            "depends_on": [],
            "on_dependency_skipped": "skip",
            "lock": {"key": "k", "wait_seconds": 5},
            "when": "true",
            "steps": [
                {
                    "id": "s",
                    "type": "external.process",
                    "description": "text",
                    "inputs": {
                        "command": ["x"],
                        "args": [],
                        "shell": False,
                        "cwd": ".",
                        "inherit_env": True,
                        "env": {},
                        "timeout_seconds": 1,
                        "kill_grace_seconds": 1,
                        "log": {
                            "stdout": "file",
                            "stderr": "file",
                            "file_path": "x",
                            "append": True,
                            "max_capture_kb": 1,
                            "max_capture_bytes": 1024,
                        },
                        "success": {
                            "exit_codes": [0],
                            "require_files": [],
                            "require_glob": [],
                            "forbid_files": [],
                            "marker_file": "m",
                        },
                        "idempotency": {
                            "strategy": "none",
                            "marker_path": "m",
                            "temp_output_dir": "t",
                            "final_output_dir": "o",
                            "atomic_rename": True,
                        },
                        "retry": {},
                        "outputs": {},
                    },
                    "outputs": {},
                    "for_each": {
                        "items": ["x"],
                        "key": "{{item}}",
                        "on_error": "continue",
                        "quarantine": "q",
                        "max_parallel": 1,
                    },
                    "retry": {
                        "max_attempts": 2,
                        "backoff_seconds": 1,
                        "backoff_multiplier": 2,
                        "max_backoff_seconds": 9,
                        "max_elapsed_seconds": 60,
                    },
                    "timeout_seconds": None,
                    "effect": "once",
                    "verify": {"type": "check_items", "inputs": {"items": []}},
                    "on_no_data": "skip_job",
                },
                {"id": "t", "type": "check_items", "inputs": {"items": [], "min_count": 1, "on_empty": "skip"}},
            ],
        }
    ],
}
PROCESS = get_step("external.process").Inputs
MODELS: dict[tuple[str | int, ...], type[BaseModel]] = {
    (): FlowSpec,
    ("flow",): FlowMetaSpec,
    ("flow", "workspace"): WorkspaceSpec,
    ("flow", "state"): StateSpec,
    ("flow", "params", "p"): ParamSpec,
    ("flow", "data_date"): DataDateSpec,
    ("flow", "locks"): LocksSpec,
    ("flow", "defaults"): DefaultsSpec,
    ("resources", "r"): ResourceSpec,
    ("jobs", 0): JobSpec,
    ("jobs", 0, "lock"): JobLockSpec,
    ("jobs", 0, "steps", 0, "for_each"): ForEachSpec,
    ("jobs", 0, "steps", 0): StepSpec,
    ("jobs", 0, "steps", 0, "retry"): RetrySpec,
    ("jobs", 0, "steps", 0, "verify"): VerifySpec,
    ("jobs", 0, "steps", 0, "inputs"): PROCESS,
    ("jobs", 0, "steps", 0, "inputs", "log"): PROCESS.model_fields["log"].annotation,
    ("jobs", 0, "steps", 0, "inputs", "success"): PROCESS.model_fields["success"].annotation,
    ("jobs", 0, "steps", 0, "inputs", "idempotency"): PROCESS.model_fields["idempotency"].annotation,
    ("jobs", 0, "steps", 1, "inputs"): get_step("check_items").Inputs,
}


ELSEWHERE = {"resource"}
"""Keys that exclude another one of the sample: a state has a file, or is in a server (test_core_state_servers.py)."""


def misspellings(key: str) -> list[str]:
    """The usual slips: a letter missing, doubled, swapped; wrong case; a dash for an underscore."""
    middle = max(1, len(key) // 2)
    slips = [key[:middle] + key[middle] + key[middle:], key.upper(), key + "s"]
    if len(key) > 3:
        slips += [
            key[:middle] + key[middle + 1 :],
            key[: middle - 1] + key[middle] + key[middle - 1] + key[middle + 1 :],
        ]
    if "_" in key:
        slips += [key.replace("_", "-"), key.replace("_", "")]
    return [slip for slip in dict.fromkeys(slips) if slip != key]


def test_the_sample_names_every_key_and_is_good(project: "Project") -> None:
    project.write(yaml.safe_dump(SAMPLE))
    report = validate_flow_yaml(project.folder / "flow.yaml")
    assert report["errors"] == []
    assert report["warnings"] == []
    for path, model in MODELS.items():
        assert set(model.model_fields) - ELSEWHERE == set(_at(SAMPLE, path)), path


def test_every_misspelt_key_is_reported_at_its_place_with_the_right_suggestion(project: "Project") -> None:
    total, right, wrong = 0, 0, []
    good = in_block_style(SAMPLE)
    for path, model in MODELS.items():
        for key in model.model_fields.keys() - ELSEWHERE:
            for slip in misspellings(key):
                if slip in known_keys(model):
                    continue
                total += 1
                text = misspelt(good, good.source.key((*path, key)), key, slip)
                path_of_flow = project.write(text)
                report = validate_flow_yaml(path_of_flow)
                loc = ".".join(str(part) if isinstance(part, str) else f"[{part}]" for part in (*path, slip))
                item = next(i for i in report["errors"] if i["loc"] == loc.replace(".[", "["))
                line = text.splitlines()[item["line"] - 1]
                assert line[item["col"] - 1 :].removeprefix("'").startswith(slip), (slip, line)
                assert item["af"] == "AF1101"
                if item["fix"] == f"did you mean {key!r}?":
                    right += 1
                else:
                    wrong.append((slip, item["fix"]))
    assert total > 200
    assert right / total >= 0.95, wrong


def _at(data: Any, path: tuple[str | int, ...]) -> Any:
    for part in path:
        data = data[part]
    return data


# Wrong values


def test_for_each_takes_no_text_but_templates(project: "Project") -> None:
    for text, right in {"5": False, "abc": False, '!raw "{{x}}"': False, '"{{env.HOME}}"': True, "[5]": True}.items():
        project.write(job(f"{{id: s, type: check_items, for_each: {text}, inputs: {{items: []}}}}"))
        found = [each["msg"] for each in validate_flow_yaml(project.folder / "flow.yaml")["errors"]]
        assert found == ([] if right else ["jobs[0].steps[0].for_each is text, not a list"])


LIST = "write it as a list, one `- item` per line"


@pytest.mark.parametrize(
    ("text", "line", "column", "fix"),
    [
        ("version: 2\nflow: {id: f}\njobs: []\n", 1, 10, "choices: 1"),
        ("version: '1'\nflow: {id: f}\njobs: []\n", 1, 10, "did you mean '1'?"),
        ("flow: {id: 5}\njobs: []\n", 1, 12, None),
        ("flow: {id: null}\njobs: []\n", 1, 12, 'write a value; quote the word null: "null"'),
        (
            "jobs: 5\nflow: {id: f}\n",
            1,
            7,
            "write it as a list, one `- item` per line (The jobs, in order of execution)",
        ),
        ("flow: f\njobs: []\n", 1, 7, "write it as `key: value` lines (Identity, folders and state of the flow)"),
        ("flow: {id: f, workspace: {cleanup_policy: on_sucess}}\njobs: []\n", 1, 43, "did you mean 'on_success'?"),
        ("flow: {id: f, locks: {ttl_seconds: 0}}\njobs: []\n", 1, 36, None),
        ("flow: {id: f}\njobs: [{id: a, steps: [], depends_on: x}]\n", 2, 39, None),
        ("flow: {id: f}\njobs: [{id: a, steps: [], when: ~}, {id: 07, steps: []}]\n", 2, 42, None),
        ("flow: {id: f}\njobs: [{id: a, steps: [{id: b, type: 5}]}]\n", 2, 38, None),
        ("flow: {id: f}\njobs: [5]\n", 2, 8, "write it as `key: value` lines"),
        ("flow: {id: f}\njobs:\n- id: a\n", 3, 3, None),
        ("flow: {}\njobs: []\n", 1, 1, None),
    ],
)
def test_wrong_values(project: "Project", text: str, line: int, column: int, fix: str | None) -> None:
    ((_, at, col, given),) = check(project, text)
    assert (at, col) == (line, column)
    assert given == fix if fix else given


@pytest.mark.parametrize(
    ("inputs", "messages"),
    [
        ("{}", ["lacks the key 'command'"]),
        ("{command: []}", ["at least 1"]),
        ("{command: [a, null]}", []),
        ("{command: [a, [b]]}", ["string"]),
        ("{command: a, cwd: null}", []),
        ("{command: null}", ["string"]),
        ('{command: "a b"}', ["is one program name with blanks"]),
        ('{command: ["a b"]}', []),
        ('{command: "{{ env.HOME }}"}', []),
        ('{command: "{{env.HOME}}", shell: "{{env.HOME}}", args: [b]}', []),
        ("{command: [a, b], shell: true, args: [c]}", []),
        ("{command: a, shell: maybe}", ["must be one of true, false"]),
        ("{command: a, log: {stdout: file}}", ["file_path is required"]),
        ("{command: a, log: {stdout: fil}}", ["must be 'inherit'"]),
        ("{command: a, outputs: {exit_code: 1}}", []),
        ('{command: ["a\\0b"]}', ["null byte"]),
        ("{command: a, timeout_seconds: 0}", ["greater than 0"]),
        ("{command: a, cmd: b}", ["twice"]),
        ("{cmd: b}", []),
        ("{command: a, env: {A: [1]}}", ["string"]),
        ("{command: a, nonsense: 1, timeout_seconds: x}", ["unknown key 'nonsense'", "number"]),
        ('{command: a, timeout_seconds: "{{env.HOME}}"}', []),
        ('{command: a, nonsense: "{{env.HOME}}"}', ["unknown key 'nonsense'"]),
    ],
)
def test_inputs_are_checked_before_the_run(project: "Project", inputs: str, messages: list[str]) -> None:
    project.write(job(f"{{id: s, type: external.process, inputs: {inputs}}}"))
    report = validate_flow_yaml(project.folder / "flow.yaml")
    assert len(report["errors"]) == len(messages), report["errors"]
    for item in report["errors"]:
        assert any(message in item["msg"] for message in messages), item["msg"]
        assert item["fix"]
        assert item["line"] == 5


# Plugins

KNOWN = {
    "db_of_tomorrow": "db", "sftp_of_tomorrow": "sftp", "mail_of_tomorrow": "mail", "excel_of_tomorrow": "excel",
}  # fmt: skip


@pytest.mark.parametrize(("name", "extra"), KNOWN.items())
def test_a_known_step_that_its_distribution_lacks_is_answered_with_a_repair(
    project: "Project", name: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # the entry points of the installed distribution are damaged; for pip it is what was asked for
    monkeypatch.setitem(first_party._entries(first_party.HINTS), f"steps.{name}", extra)
    project.write(job(f"{{id: s, type: {name}}}"))
    # what is not installed at all is asked in a process that sees only the core; see below
    (item,) = validate_flow_yaml(project.folder / "flow.yaml")["errors"]
    assert (item["af"], item["code"], item["loc"]) == ("AF2101", "semantic:unknown_step_type", "jobs[0].steps[0].type")
    assert (item["line"], item["col"]) == (5, 19)
    assert item["fix"] == f"python3 install.py --to {sys.prefix} --force-reinstall  # in the folder of the release"
    assert "is installed and has no such step" in item["msg"]
    assert "job 'a', step 's'" in item["msg"]


def test_unknown_connector_has_a_suggestion(project: "Project") -> None:
    problems = check(project, "flow: {id: f}\nresources: {r: {kind: db, driver: sqlite}}\njobs: []\n")
    assert problems == [("AF2101", 2, 35, "did you mean 'db:sqlite3'?")]


def test_a_defect_in_a_plugins_checks_is_a_located_problem(project: "Project") -> None:
    problems = check(project, job("{id: s, type: test_faulty_model, inputs: {value: x}}"))
    assert [(af, line) for af, line, _, _ in problems] == [("AF2102", 5)]
    problems = check(project, job("{id: s, type: test_faulty_check}"))
    assert [(af, line) for af, line, _, _ in problems] == [("AF2102", 5)]


def test_untyped_steps_are_checked_for_required_inputs_and_by_their_own_check(project: "Project") -> None:
    project.write(job("{id: s, type: test_untyped, inputs: {a: 7}}"))
    report = validate_flow_yaml(project.folder / "flow.yaml")
    assert [item["msg"] for item in report["errors"]] == [
        "jobs[0].steps[0].inputs lacks the key 'b'",
        "jobs[0].steps[0].inputs: a must not be 7",
    ]


def test_resource_references(project: "Project") -> None:
    text = """\
        flow: {id: f}
        resources:
          main: {kind: db, driver: sqlite3, config: {path: x.db}}
          other: {kind: mail, driver: post}
        jobs:
        - id: a
          steps:
          - {id: a, type: db_execute, inputs: {resource: main, sql: select 1}}
          - {id: b, type: db_execute, inputs: {resource: mian, sql: select 1}}
          - {id: c, type: db_execute, inputs: {resource: other, sql: select 1}}
          - {id: d, type: db_execute, inputs: {resource: "{{env.HOME}}", sql: select 1}}
    """
    problems = check(project, text)
    assert [(af, line, col) for af, line, col, _ in problems] == [
        ("AF2101", 4, 31),
        ("AF1209", 9, 50),
        ("AF1210", 10, 50),
    ]
    assert problems[1][3] == "did you mean 'main'?"


# Jobs


def test_dependencies_and_duplicate_ids(project: "Project") -> None:
    text = """\
        flow: {id: f}
        jobs:
        - {id: a, depends_on: [a], steps: []}
        - {id: b, depends_on: [c, aa], steps: []}
        - {id: c, depends_on: [a, b], steps: [{id: s, type: own}, {id: s, type: own}]}
        - {id: a, steps: []}
    """
    project.write(text)
    report = validate_flow_yaml(project.folder / "flow.yaml")
    errors = [item for item in report["errors"] if item["af"] != "AF2101"]
    assert [(item["code"], item["msg"], item["line"], item["col"]) for item in errors] == [
        ("semantic:depends_on_order", "Job 'a' depends_on itself", 3, 24),
        ("semantic:depends_on_order", "Job 'b' depends_on 'c' which appears after it; reorder jobs", 4, 24),
        ("semantic:depends_on_unknown_job", "Job 'b' depends_on unknown job: aa", 4, 27),
        ("semantic:duplicate_step_id", "Duplicate step id in job 'c': s", 5, 64),
        ("semantic:duplicate_job_id", "Duplicate job id: a", 6, 8),
    ]
    assert errors[2]["fix"] == "did you mean 'a'?"


@pytest.mark.parametrize("name", ["../x", "a/b", "1a", "", "a b", "é", "a" * 129, "a.b", "-a", "a\n"])
def test_ids_that_could_leave_their_folder_are_refused(project: "Project", name: str) -> None:
    shown = json.dumps(name)
    for text in (
        f"flow: {{id: {shown}}}\njobs: []\n",
        f"flow: {{id: f}}\njobs: [{{id: {shown}, steps: []}}]\n",
        job(f"{{id: {shown}, type: check_items, inputs: {{items: []}}}}"),
        f"flow: {{id: f}}\nresources: {{{shown}: {{kind: db, driver: sqlite3, config: {{path: x}}}}}}\njobs: []\n",
    ):
        assert "AF1206" in [af for af, *_ in check(project, text)], text


def test_ids_that_no_template_can_name_are_a_warning(project: "Project") -> None:
    project.write("flow: {id: f}\njobs: [{id: a-b, steps: []}]\n")
    result = project.cli("validate", "flow.yaml")
    assert result.code == 0
    assert "warning: " in result.out
    assert result.out.endswith("OK: flow.yaml (1 warning)\n")


@pytest.mark.parametrize("name", ["../x", "/etc", "a/b", "..", ".", "", ".hidden"])
def test_folder_names_of_the_layout_cannot_leave_the_job(project: "Project", name: str) -> None:
    text = f"flow: {{id: f, workspace: {{layout: {{artifacts: {json.dumps(name)}}}}}}}\njobs: []\n"
    assert [af for af, *_ in check(project, text)] == ["AF1206"]
    project.write(text.replace(json.dumps(name), '"{{env.NAME}}"'))
    import os

    os.environ["NAME"] = name or "."
    result = project.cli("run", "flow.yaml")
    assert result.code == 2
    assert "AF1206" in result.err


def test_an_unknown_folder_of_the_layout_has_a_suggestion(project: "Project") -> None:
    problems = check(project, "flow: {id: f, workspace: {layout: {artefacts: x}}}\njobs: []\n")
    assert problems == [("AF1101", 1, 36, "did you mean 'artifacts'?")]


@pytest.mark.parametrize(
    ("when", "offset", "message"),
    [
        ("jobs.a.status ==", 16, "the expression ends too early"),
        ("jobs.a.status = 1", 14, "unexpected '='"),
        ("foo == 1", 0, "Unsupported name: foo"),
        ("not jobs.zz.outputs.n > 0", 4, "'zz' is no earlier job"),
        ("jobs.b.status == 1", 0, "'b' is no earlier job"),
        ("(jobs.a.status == 1", 0, "never closed"),
        ("jobs.a.outputs[0] > 1", 14, "unexpected '['"),
        ("len(jobs.a.outputs) > 1", 3, "unexpected '('"),
        ("jobs.a.status is null", 14, "unexpected 'is'"),
        ("1 + 1 == 2", 2, "unexpected '+'"),
    ],
)
def test_when_is_checked_with_exact_columns(project: "Project", when: str, offset: int, message: str) -> None:
    line = f"- {{steps: [], id: b, when: '{when}'}}"
    project.write(f"flow: {{id: f}}\njobs:\n- {{id: a, steps: []}}\n{line}\n")
    (item,) = validate_flow_yaml(project.folder / "flow.yaml")["errors"]
    assert message in item["msg"]
    assert (item["line"], item["col"]) == (4, line.index(when) + offset + 1)
    assert item["code"] in ("semantic:invalid_when", "semantic:unknown_job")


@pytest.mark.parametrize(
    ("value", "offset", "code"),
    [
        ("{{env}}", 0, "template:syntax"),
        ("x {{ nope.a }}", 2, "template:unknown_root"),
        ("ab${X}", 2, "template:syntax"),
        ("ab{{}}", 3, "template:syntax"),
        ("ab{{ }}", 2, "template:syntax"),
        ("ab{{env.A", 2, "template:syntax"),
        ("a }} b", 2, "template:syntax"),
        ("{{env.A|upper}}", 0, "template:syntax"),
        ("{{env.A.0}}", 0, "template:syntax"),
        ("{{env.é}}", 0, "template:syntax"),
        ("{% if %}", 0, "template:syntax"),
        ("ä😀{{nope.x}}", 2, "template:unknown_root"),
    ],
)
@pytest.mark.parametrize("quote", ["'", '"', ""])
def test_template_errors_have_exact_columns(project: "Project", value: str, offset: int, code: str, quote: str) -> None:
    line = f"      - {quote}{value}{quote}"
    if not quote and value[0] == "{":
        line = f"      - >-\n        {value}"  # no plain scalar; in a block the start of the value is named
        value, offset = ">-", 0
    head = "flow: {id: f}\njobs:\n- id: a\n  steps:\n  - id: s\n    type: check_items\n    inputs:\n     items:\n"
    project.write(f"{head}{line}\n")
    (item,) = validate_flow_yaml(project.folder / "flow.yaml")["errors"]
    assert item["code"] == code
    assert (item["line"], item["col"]) == (9, line.index(value) + offset + 1)


def test_secret_values_are_never_echoed(project: "Project") -> None:
    project.write(
        job('{id: s, type: external.process, inputs: {command: ["pass=hunter2hunter2 ${X}"], shell: hunter2hunter2}}')
    )
    result = project.cli("validate", "flow.yaml")
    assert result.code == 2
    assert "hunter2" not in result.out


def test_a_missing_environment_key_is_a_warning(project: "Project", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMPTY", "")
    project.write(
        job('{id: s, type: check_items, inputs: {items: ["{{env.NO_SUCH}}", "{{env.EMPTY}}", "{{env.NO_SUCH:x}}"]}}')
    )
    report = validate_flow_yaml(project.folder / "flow.yaml")
    assert report["ok"]
    assert [item["msg"].partition(": ")[2] for item in report["warnings"]] == [
        "Missing env env.NO_SUCH",
        "Missing env env.EMPTY",
    ]


def test_roots_that_a_section_may_not_read(project: "Project") -> None:
    text = """\
        flow: {id: f, description: "{{steps.a.b}}", workspace: {root: "{{run_id}}"}}
        resources: {r: {kind: db, driver: sqlite3, config: {path: "{{jobs.a.outputs.b}}"}}}
        jobs: []
    """
    assert [af for af, *_ in check(project, text)] == ["AF1302"] * 3


def test_a_broken_part_does_not_hide_mistakes_elsewhere(project: "Project") -> None:
    text = """\
        flow: {id: f}
        jobs:
        - nonsense
        - id: a
          steps: none
        - id: b
          steps:
          - [x]
          - {id: s, type: check_items, inputs: {item: []}}
          - {id: t, type: check_items, inputs: nothing}
          - {id: 5, type: nope, inputs: {x: "{{bad"}}
    """
    problems = check(project, text)
    assert {(af, line) for af, line, *_ in problems} == {
        ("AF1103", 3), ("AF1103", 5), ("AF1103", 8), ("AF1101", 9), ("AF1102", 9), ("AF1103", 10), ("AF1206", 11),
        ("AF2101", 11), ("AF1301", 11),
    }  # fmt: skip


def test_what_this_version_cannot_do_is_refused_not_ignored(project: "Project") -> None:
    text = """\
        flow: {id: f, state: {backend: file}}
        resources: {r: {kind: db, driver: sqlite3, config: {path: x}}}
        jobs: []
    """
    assert {af for af, *_ in check(project, text)} == {"AF1104"}


def test_large_broken_flows_are_answered_in_time(project: "Project") -> None:
    jobs = "".join(f"- {{id: j{n}, depends_on: [gone{n}], steps: [{{id: s, type: t{n}}}]}}\n" for n in range(1_500))
    project.write(f"flow: {{id: f}}\njobs:\n{jobs}")
    import time

    started = time.process_time()
    assert len(validate_flow_yaml(project.folder / "flow.yaml")["errors"]) == 3_000
    assert time.process_time() - started < 5


def test_every_choice_of_the_documents_is_reachable() -> None:
    from aetherflow.core.api import CleanupPolicy, LockScope

    assert get_args(CleanupPolicy) == ("on_success", "always", "never")
    assert get_args(LockScope) == ("none", "job", "flow")


def errors(project: "Project", text: str) -> list[tuple[str, int, str]]:
    report = json.loads(project.cli("validate", str(project.write(text)), "--json").out)
    return [(item["af"], item["line"], item["code"]) for item in report["errors"]]


STEP = "flow: {id: f}\njobs:\n- id: a\n  steps:\n  - id: s\n    type: external.process\n"


def test_a_setting_is_given_once(project: "Project") -> None:
    text = STEP + "    timeout_seconds: 5\n    inputs: {command: [echo],\n      timeout_seconds: 6}\n"
    assert errors(project, text) == [("AF1213", 9, "semantic:setting_twice")]
    text = STEP + "    retry: {max_attempts: 2}\n    inputs:\n      command: [echo]\n      retry: {max_attempts: 3}\n"
    assert ("AF1213", 10, "semantic:setting_twice") in errors(project, text)
    assert errors(project, STEP + "    inputs: {command: [echo], timeout_seconds: 6}\n") == []


def test_verify_is_for_steps_that_happen_once(project: "Project") -> None:
    verify = "    verify: {type: check_items, inputs: {%s: []}}\n    inputs: {command: [echo]}\n"
    assert errors(project, STEP + verify % "items") == [("AF1214", 7, "semantic:verify_without_once")]
    assert errors(project, STEP + "    effect: once\n" + verify % "items") == []
    found = errors(project, STEP + "    effect: once\n" + verify % "itms")
    assert {af for af, *_ in found} == {"AF1101", "AF1102"}


def test_the_longest_wait_is_no_shorter_than_the_first(project: "Project") -> None:
    retry = "    retry: {backoff_seconds: %s,\n      max_backoff_seconds: 5}\n    inputs: {command: [echo]}\n"
    assert errors(project, STEP + retry % 9) == [("AF1103", 8, "semantic:setting")]
    assert errors(project, STEP + retry % 5) == []


def test_calendars_are_read(project: "Project") -> None:
    flow = "flow:\n  id: f\n  data_date:\n    calendar: %s\njobs: []\n"
    assert errors(project, flow % "gone.yaml") == [("AF1804", 4, "calendar:date")]
    assert errors(project, flow % "../x.yaml") == [("AF1804", 4, "calendar:date")]
    project.write("- 2026-12-25\n- Christmas\n- 7\n", "days.yaml")
    assert errors(project, flow % "days.yaml") == [("AF1804", 2, "calendar:date"), ("AF1804", 3, "calendar:date")]
    project.write("days: []\n", "days.yaml")
    assert errors(project, flow % "days.yaml") == [("AF1804", 1, "calendar:date")]
    project.write("- [\n", "days.yaml")
    assert errors(project, flow % "days.yaml")[0][0] == "AF1004"
    project.write("- 2026-12-25\n", "days.yaml")
    assert errors(project, flow % "days.yaml") == []


def test_many_mistakes_are_counted_not_described(project: "Project") -> None:
    found = errors(project, "flow: {id: f}\njobs:\n" + "- 7\n" * 3_000)
    assert len(found) == 1_001
    assert found[-1] == ("AF1106", 1_003, "schema:more")


def test_a_root_of_another_phase_is_answered_with_those_of_this_one(project: "Project") -> None:
    project.write(
        'flow: {id: f}\njobs: []\nresources: {r: {kind: db, driver: sqlite3, config: {path: "{{run_id}}"}}}\n'
    )
    (item,) = json.loads(project.cli("validate", "flow.yaml", "--json").out)["errors"]
    assert (item["af"], item["fix"]) == ("AF1302", "roots that can be read here: env, params, run")


def test_mistakes_of_the_environment_stand_where_they_were_made(
    project: "Project", monkeypatch: pytest.MonkeyPatch
) -> None:
    project.flow("jobs: []\n")
    project.write("log: {level: INFO}\nsecrets:\n  module: no_such_hook\n", "aetherflow.yaml").chmod(0o600)
    out = project.cli("validate", "flow.yaml").out
    assert "aetherflow.yaml:3:11: AF1701 secrets hook no_such_hook" in out
    project.write("AETHERFLOW_STRICT_TEMPLATES=false\nAETHERFLOW_PLUGIN_STRICT=perhaps\n", ".env")
    project.write("env_files: [.env]\n", "aetherflow.yaml").chmod(0o600)
    out = project.cli("validate", "flow.yaml").out
    assert ".env:2:1: AF1510 AETHERFLOW_PLUGIN_STRICT (environment): must be one of" in out
    project.write("AETHERFLOW_STRICT_TEMPLATES=false\n", ".env")
    assert ".env:1:1: AF1511 warning: " in project.cli("validate", "flow.yaml").out
    monkeypatch.setenv("AETHERFLOW_SETTINGS_MODULE", "no_such_settings")
    assert "AETHERFLOW_SETTINGS_MODULE:1:1: AF1510 " in project.cli("validate", "flow.yaml").out


def test_a_parameter_named_like_a_secret_is_a_warning(project: "Project") -> None:
    project.write("flow: {id: f, params: {db_password: {}, table: {}}}\njobs: []\n")
    report = validate_flow_yaml(project.folder / "flow.yaml")
    assert report["errors"] == []
    assert [(item["af"], item["loc"]) for item in report["warnings"]] == [("AF1805", "flow.params.db_password")]


def test_the_fix_of_a_missing_resource_says_what_to_add(project: "Project") -> None:
    project.flow(
        "resources: {own: {kind: mail, driver: file, config: {path: out}}}\n"
        "jobs: [{id: a, steps: [\n"
        "  {id: b, type: http_request, inputs: {resource: web, path: /}},\n"
        "  {id: c, type: http_request, inputs: {resource: own, path: /}}]}]\n"
    )
    shown = project.cli("validate", "flow.yaml").out
    assert (
        "no resource 'web' in this flow\n  fix: add a resource named `web` of kind `rest` under `resources:`\n" in shown
    )
    assert "  fix: add a resource of kind `rest` under `resources:`, and name it here\n" in shown
