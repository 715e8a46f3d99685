"""What reaches a text field arrives as it is written in the flow, seen by the programs that are started."""

import hashlib
import json
import os
import sqlite3
import sys
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from aetherflow.core.api import ConnectorInit
from aetherflow.core.checks.report import check_flow
from aetherflow.core.runtime.environment.resources import merge_resources
from aetherflow.core.runtime.environment.snapshot import build_snapshot

if TYPE_CHECKING:
    from core_project import Project

EXAMPLES = 12 if os.environ.get("AETHERFLOW_TORTURE_TIER", "T0") == "T0" else 500
SHOW = "import json, os, sys; print(json.dumps([sys.argv[1:], os.environ.get('A'), os.environ.get('B')]))"
PROGRAM = f"{json.dumps(sys.executable)}, -c, {json.dumps(SHOW)}"
ODD = ["1.10", "007", "12e4567", "0E0", "-0", "+1", ".5", "5.", "1e3", "0x1F", "0o17", "1_000", ".inf", "-.INF", ".nan"]
WORDS = ["true", "True", "TRUE", "false", "False", "null", "Null", "NULL", "~", "yes", "no", "2026-01-01", "12:30"]


def job(*steps: str) -> str:
    return "jobs:\n- id: a\n  steps:\n" + "".join(f"  - {step}\n" for step in steps)


def process(name: str, arguments: str, more: str = "", settings: str = "") -> str:
    inputs = f"{{command: [{PROGRAM}, {arguments}], log: {{stdout: capture}}{more}}}"
    return f"{{id: {name}, type: external.process{settings}, inputs: {inputs}}}"


def run(project: "Project", code: int = 0, *more: str) -> str:
    run_id = f"r{time.monotonic_ns()}"
    result = project.cli("run", "flow.yaml", "--run-id", run_id, *more)
    assert result.code == code, result.err
    return run_id


def seen(project: "Project", step: str) -> list[list[Any]]:
    """What the program of a step saw, in each of its items: its arguments, A and B."""
    rows = project.rows(
        f"SELECT outputs FROM step_runs WHERE step_id='{step}' AND status='SUCCESS' ORDER BY started_at, attempt"
    )
    found = [json.loads(text) for (text,) in rows]
    return [json.loads(each["stdout"]) for each in found if "stdout" in each]


PLAIN = (
    st.sampled_from([*ODD, *WORDS])
    | st.from_regex(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]{1,4})?", fullmatch=True)
    | st.from_regex(r"0o[0-7]+|0x[0-9a-fA-F]+|[0-9]{4}-[0-9]{2}-[0-9]{2}", fullmatch=True)
    | st.from_regex(r"[A-Za-z0-9+.~_/-][A-Za-z0-9+._~/-]{0,12}", fullmatch=True)
).filter(lambda text: text not in ("-", "---", "..."))


@settings(max_examples=EXAMPLES)
@given(st.lists(PLAIN, min_size=1, max_size=40))
@example([*ODD, *WORDS])
def test_plain_scalars_arrive_byte_for_byte(project: "Project", scalars: list[str]) -> None:
    lines = "".join(f"      - {text}\n" for text in scalars)
    head = f"jobs:\n- id: a\n  steps:\n  - id: s\n    type: external.process\n    inputs:\n      command: [{PROGRAM}]\n"
    project.flow(f"{head}      log: {{stdout: capture}}\n      args:\n{lines}")
    run_id = run(project)
    ((text,),) = project.rows(f"SELECT outputs FROM step_runs WHERE run_id='{run_id}'")
    assert json.loads(json.loads(text)["stdout"])[0] == scalars


def test_in_a_command_its_environment_and_a_step_inside_a_step(project: "Project") -> None:
    arguments = ", ".join([*ODD, *WORDS])
    inner = process("i", "1.10, True, ~", ", env: {A: 007, B: FALSE}")
    project.flow(
        job(
            process("s", arguments, ", env: {A: 1.10, B: True}"),
            f"{{id: t, type: with_lock, inputs: {{lock_key: 007, step: {inner}}}}}",
            process("u", "1", ", env: {A: 1.10, B: null}"),
        )
    )
    run(project)
    assert seen(project, "s") == [[[*ODD, *WORDS], "1.10", "True"]]
    assert seen(project, "t.i") == [[["1.10", "True", "~"], "007", "FALSE"]]
    assert seen(project, "u") == [[["1"], "1.10", ""]]


PARAMS = """\
version: 1
flow:
  id: f
  params:
    code: {default: 007}
    flag: {default: True}
    day: {type: date, default: 20260131}
    rate: {type: number, default: 1.10}
    whole: {type: integer, default: 0x1F}
    list: {type: list, default: [1.10, 007]}
    given: {default: x}
"""


def test_parameters_are_what_they_are_declared_to_be(project: "Project") -> None:
    names = ("code", "flag", "day", "rate", "whole", "list", "given")
    whole = ", ".join(f'"{{{{params.{name}}}}}"' for name in names if name != "list")
    inline = ", ".join(f'"v{{{{params.{name}}}}}"' for name in names)
    project.write(PARAMS + job(process("s", whole), process("t", inline)))
    run(project, 0, "--param", "given=1.10")
    assert seen(project, "s")[0][0] == ["007", "True", "2026-01-31", "1.1", "31", "1.10"]
    assert seen(project, "t")[0][0] == ["v007", "vTrue", "v2026-01-31", "v1.1", "v31", "v[1.1, 7]", "v1.10"]
    ((text,),) = project.rows("SELECT params FROM runs")
    assert json.loads(text) | {"day": 0} == {
        "code": "007", "flag": "True", "day": 0, "rate": 1.1, "whole": 31, "list": [1.1, 7], "given": "1.10",
    }  # fmt: skip


def test_parameters_of_a_flow_inside(project: "Project") -> None:
    project.write(
        PARAMS.replace("id: f", "id: c") + job(process("s", '"{{params.code}}", "{{params.rate}}"')), "c.yaml"
    )
    calls = [
        "{id: x, type: run_flow, inputs: {flow: c.yaml, params: {code: 1.10, rate: 1.10}}}",
        "{id: y, type: run_flow, inputs: {flow: c.yaml, params: {code: False}}}",
        '{id: z, type: run_flow, for_each: [01, 1e3], inputs: {flow: c.yaml, params: {code: "{{item}}"}}}',
    ]
    project.flow(job(*calls))
    run(project)
    with closing(sqlite3.connect(project.states / "c.sqlite")) as connection:
        rows = connection.execute("SELECT outputs FROM step_runs ORDER BY started_at").fetchall()
    found = [json.loads(json.loads(text)["stdout"])[0] for (text,) in rows]
    assert found == [["1.10", "1.1"], ["False", "1.1"], ["01", "1.1"], ["1e3", "1.1"]]


GATE = """'test -e "$EFFECTS" || test "$0" != 1.10 && printf %s "$0"'"""
"""Fails for the item 1.10, as long as the file EFFECTS is not there."""


def test_items_keep_it_in_a_resumed_run_too(project: "Project") -> None:
    gate = f'{{command: [sh, -c, {GATE}, "{{{{item}}}}"], log: {{stdout: capture}}}}'
    listed = "for_each: [01, 1.10, 7, 1.1]"
    project.flow(
        job(
            f"{{id: gate, type: external.process, {listed}, inputs: {gate}}}",
            process("s", '"{{item}}", "v{{item}}"', settings=f", {listed}"),
            process("n", '"{{item.n}}", "v{{item.n}}"', settings=", for_each: [{n: 0x1F}, {n: 01}]"),
        )
    )
    run_id = run(project, 1)
    assert project.rows("SELECT count(*) FROM step_runs WHERE item_key<>''") == [(2,)]
    project.effects.touch()
    assert project.cli("run", "flow.yaml", "--run-id", run_id).code == 0
    rows = project.rows("SELECT outputs FROM step_runs WHERE step_id='gate' AND item_key<>'' AND status='SUCCESS'")
    assert sorted(json.loads(text)["stdout"] for (text,) in rows) == ["01", "1.1", "1.10", "7"]
    assert sorted(found[0] for found in seen(project, "s")) == [
        ["01", "v01"], ["1.1", "v1.1"], ["1.10", "v1.10"], ["7", "v7"],
    ]  # fmt: skip
    assert sorted(found[0] for found in seen(project, "n")) == [["01", "v01"], ["0x1F", "v0x1F"]]
    # the keys are those of the JSON values, as ever: 1.10 and 1.1 are one value twice
    one, tenth, seven = (hashlib.sha256(text.encode()).hexdigest()[:12] for text in ("1", "1.1", "7"))
    keys = {key for (key,) in project.rows("SELECT item_key FROM step_runs WHERE step_id='s' AND item_key<>''")}
    assert keys == {one, tenth, f"{tenth}-2", seven}


def test_outputs_are_json_and_have_the_text_of_their_values(project: "Project") -> None:
    first = "{id: o, type: external.process, inputs: {command: ['true'], outputs: {x: 1.10, y: 007, b: True}}"
    project.flow(
        job(
            f'{first}, outputs: {{p: 1.10, q: "{{{{result.x}}}}"}}}}',
            process(
                "s", '"{{steps.o.x}}", "{{steps.o.y}}", "{{steps.o.b}}", "{{job.outputs.p}}", "v{{job.outputs.q}}"'
            ),
        )
    )
    run(project)
    assert seen(project, "s")[0][0] == ["1.1", "7", "true", "1.1", "v1.1"]


def test_parameters_of_sql_have_no_declared_type_and_stay_numbers(project: "Project") -> None:
    sql = "select typeof(:a), :a, typeof(:b), :b, typeof(:c), :c, typeof(:d), :d"
    step = (
        "{id: s, type: db_fetch_small, inputs: {resource: db, sql: SQL, params: {a: 1.10, b: '1.10', c: 007, d: CODE}}}"
    )
    text = PARAMS + "resources: {db: {kind: db, driver: sqlite3, config: {path: x.db}}}\n"
    project.write(text + job(step.replace("SQL", json.dumps(sql)).replace("CODE", '"{{params.code}}"')))
    run(project)
    ((outputs,),) = project.rows("SELECT outputs FROM step_runs")
    assert json.loads(outputs)["rows"] == [["real", 1.1, "text", "1.10", "integer", 7, "text", "007"]]


def test_conditions_compare_numbers(project: "Project") -> None:
    project.write(
        PARAMS
        + job("{id: o, type: external.process, inputs: {command: ['true'], outputs: {x: 1.10}}, outputs: {x: 1.10}}")
        + "- {id: b, when: jobs.a.outputs.x == 1.1 and params.rate == 1.10 and params.code == 7, steps: []}\n"
        + "- {id: c, when: true, steps: []}\n"
    )
    run(project)
    assert project.rows("SELECT job_id, status FROM job_runs") == [(each, "SUCCESS") for each in "abc"]


def test_settings_of_resources_and_profiles(project: "Project") -> None:
    project.write("profiles_file: profiles.yaml\n", "aetherflow.yaml").chmod(0o600)
    profile = "{config: {headers: {A: 1.10, B: True, C: FALSE}}, options: {timeout_seconds: 1.50}}"
    project.write(f"dev: {profile}\n", "profiles.yaml")
    config = "{base_url: 'https://x.example', headers: {C: false, D: TRUE, E: 1e3}, bearer_token: 007}"
    project.write(
        f"flow: {{id: f}}\nresources: {{api: {{kind: rest, driver: httpx, profile: dev, config: {config}}}}}\n"
        + job("{id: s, type: check_items, inputs: {items: []}}")
    )
    checked = check_flow("flow.yaml", build_snapshot(project.folder))
    assert list(checked.problems) == []
    assert checked.document is not None
    assert checked.spec is not None
    assert checked.catalog is not None
    merged = merge_resources(checked.document, checked.spec, checked.profiles).merged["api"]
    cls = checked.catalog.connector("rest", "httpx")
    found = cls(ConnectorInit("api", "rest", "httpx", merged.config, merged.options))
    assert found.conf.headers == {"A": "1.10", "B": "True", "C": "false", "D": "TRUE", "E": "1e3"}
    assert found.conf.bearer_token.get_secret_value() == "007"
    assert [type(found.options["timeout_seconds"]), found.options["timeout_seconds"]] == [float, 1.5]
    headers = "resources.api.config.headers"
    shown = json.loads(project.cli("explain", "flow.yaml", "--json").out)["resources"]["api"]["values"]
    assert [shown[f"{headers}.{name}"]["value"] for name in "ABCDE"] == ["1.10", "True", "false", "TRUE", "1e3"]


def test_explain_shows_what_arrives(project: "Project") -> None:
    project.write(
        PARAMS
        + job("{id: s, type: external.process, inputs: {command: [echo, 1.10, 7, True, ~], kill_grace_seconds: 1.50}}")
    )
    inputs = "jobs[0].steps[0].inputs"
    for path, value in {
        f"{inputs}.command[1]": "1.10",
        f"{inputs}.command[2]": "7",
        f"{inputs}.command[3]": "True",
        f"{inputs}.command[4]": "~",
        f"{inputs}.kill_grace_seconds": 1.5,
        "flow.params.code.default": "007",
        "flow.params.flag.default": "True",
        "flow.params.rate.default": 1.1,
    }.items():
        result = project.cli("explain", "flow.yaml", "--value", path, "--json")
        assert result.code == 0, result.err
        assert json.loads(result.out)["values"][path]["value"] == value, path


# What changed since, and state of 1.0


def changing(project: "Project", command: str, items: str = "[1]", grace: str = "15") -> None:
    project.flow(
        job(
            f"{{id: s, type: external.process, inputs: {{command: {command}, kill_grace_seconds: {grace}}}}}",
            f'{{id: t, type: external.process, for_each: {items}, inputs: {{command: ["true", "{{{{item}}}}"]}}}}',
            "{id: u, type: fail, inputs: {message: x}}",
        )
    )


@pytest.mark.parametrize(
    ("before", "after", "refused"),
    [
        (("[echo, 1.10]",), ("[echo, 1.10]",), ""),
        (("[echo, 1.10]",), ("[echo, '1.10']",), ""),
        (("[echo, 1.10]",), ("[echo, 1.1]",), "a.s"),
        (("[echo, 1.1]",), ("[echo, 1.10]",), "a.s"),
        (("[echo, 7]",), ("[echo, 007]",), "a.s"),
        (("[echo, 1.10]",), ("[echo, 1.100]",), "a.s"),
        (("[echo, 7]",), ("[echo, 8]",), "a.s"),
        (("[echo, x]", "[1, 01]"), ("[echo, x]", "[1, 001]"), "a.t"),
        (("[echo, x]", "[1]", "1.50"), ("[echo, x]", "[1]", "1.5"), ""),
        (("[echo, x]", "[1]", "1e1"), ("[echo, x]", "[1]", "10.0"), ""),
    ],
)
def test_another_way_to_write_a_text_is_a_change(
    project: "Project", before: tuple[str, ...], after: tuple[str, ...], refused: str
) -> None:
    changing(project, *before)
    run_id = run(project, 1)
    changing(project, *after)
    result = project.cli("plan", "flow.yaml", "--run-id", run_id)
    assert (result.code == 0) == (not refused), result.err
    assert refused in result.err


OLD = {
    # as 1.0.0 wrote them
    "s": '{"step":{"type":"external.process","inputs":{"command":["echo",1.1,7,7],"log":{"stdout":"capture"}}},'
    '"plugin":"aetherflow-core 1.0"}',
    "t": '{"step":{"type":"external.process","inputs":{"command":["true","{{item}}"],"env":{"S":"{{steps.s.stdout}}"}},'
    '"for_each":[1,1.1,7]},"plugin":"aetherflow-core 1.0","uses":{"a.s":"cecbce49edee68701c9a038e9429d0ee"}}',
}


def test_a_run_that_1_0_began_goes_on(project: "Project") -> None:
    def write(number: str) -> None:
        command = f"[echo, {number}, 007, 7]"
        show = '{command: ["true", "{{item}}"], env: {S: "{{steps.s.stdout}}"}}'
        stop = "{command: [sh, -c, 'test -e \"$EFFECTS\"']}"
        project.flow(
            job(
                f"{{id: s, type: external.process, inputs: {{command: {command}, log: {{stdout: capture}}}}}}",
                f"{{id: t, type: external.process, for_each: [01, 1.10, 7], inputs: {show}}}",
                f"{{id: u, type: external.process, inputs: {stop}}}",
            )
        )

    write("1.10")
    run_id = run(project, 1)
    with closing(sqlite3.connect(project.state)) as connection, connection:
        for step, text in OLD.items():
            digest = hashlib.sha256(text.encode()).hexdigest()[:32]
            connection.execute("INSERT INTO definitions VALUES (?, ?)", (digest, text))
            connection.execute("UPDATE step_runs SET def_hash=?, def_version=1 WHERE step_id=?", (digest, step))
    write("1.20")
    edited = project.cli("plan", "flow.yaml", "--run-id", run_id)
    assert (edited.code, "AF3003" in edited.err) == (2, True)
    changed = [line.split() for line in edited.err.splitlines() if line.startswith(("  -", "  +"))]
    assert changed[:2] == [["-", "1.1,"], ["+", "1.2,"]]
    assert [words[1] for words in changed[2:]] == ['"a.s":', '"a.s":']
    write("1.10")
    project.effects.touch()
    again = project.cli("run", "flow.yaml", "--run-id", run_id)
    assert again.code == 0, again.err
    attempts = project.rows("SELECT step_id, max(attempt) FROM step_runs GROUP BY step_id, item_key")
    assert sorted(attempts) == [("s", 1), *[("t", 1)] * 4, ("u", 2)]
    stored = {text for (text,) in project.rows("SELECT text FROM definitions")}
    assert set(OLD.values()) < stored


@pytest.mark.parametrize("secret", ["4711471147", "0047110815", "47110.8150"])
def test_a_secret_of_digits_is_masked_like_any_other(project: "Project", secret: str) -> None:
    config = f"{{base_url: 'https://x.example', bearer_token: {secret}9, proxy: {secret}8}}"
    call = "{id: r, type: http_request, inputs: {resource: api, path: /x, params: {a: 1}}, for_each: []}"
    show = f"{{command: [sh, -c, 'echo the $DB_PASSWORD'], env: {{DB_PASSWORD: {secret}}}, log: {{stdout: capture}}}}"
    project.write(
        f"flow: {{id: f}}\nresources: {{api: {{kind: rest, driver: httpx, config: {config}}}}}\n"
        + job(f"{{id: s, type: external.process, inputs: {show}}}", call)
    )
    assert secret not in (shown := project.cli("explain", "flow.yaml").out)
    assert "bearer_token" in shown
    result = project.cli("run", "flow.yaml", "--run-id", "r")
    assert result.code == 0, result.err
    assert "***" in result.out + result.err
    assert secret not in result.out + result.err
    left = {path.name for path in project.states.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()}
    assert left == set()
    ((text,),) = project.rows("SELECT text FROM definitions WHERE text LIKE '%DB_PASSWORD%'")
    assert json.loads(text)["step"]["inputs"]["env"] == {"DB_PASSWORD": "***"}
