"""A flow as a step: its outputs, its failures, how it is resumed, stopped, checked; what the history shows."""

import json
import os
import re
from typing import TYPE_CHECKING

import pytest
from core_run_flow import CHILD, PARENT, lay, run

if TYPE_CHECKING:
    from core_project import Project


def test_validate_checks_it_too(project: "Project") -> None:
    lay(project)
    project.write(CHILD.replace("check_items", "chek_items"), "child.yaml")
    project.write(PARENT.replace("{n: 3}", "{n: three, wrd: x}"))
    found = json.loads(project.cli("validate", "flow.yaml", "--json").out)
    told = {(error["file"], error["msg"].partition(": ")[2] or error["msg"]) for error in found["errors"]}
    assert ("child.yaml", "no installed distribution provides step 'chek_items'; job 'load', step 'n'") in told
    project.write(CHILD, "child.yaml")
    found = json.loads(project.cli("validate", "flow.yaml", "--json").out)
    assert [(error["af"], error["loc"], error["fix"]) for error in found["errors"]] == [
        ("AF1215", "jobs[0].steps[0].inputs.params.n", "give a value of type integer"),
        ("AF1215", "jobs[0].steps[0].inputs.params.wrd", "did you mean 'word'?"),
    ]
    project.write(PARENT.replace(", params: {n: 3}", ""))
    found = json.loads(project.cli("validate", "flow.yaml", "--json").out)
    assert "flow c requires the parameter 'n'" in found["errors"][0]["msg"]
    project.write(PARENT.replace("child.yaml", "/etc/passwd"))
    assert "outside the allowed folders" in project.cli("validate", "flow.yaml").out
    project.write(PARENT.replace("child.yaml", "none.yaml"))
    assert "no such flow file: none.yaml" in project.cli("validate", "flow.yaml").out


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("{{result.jobs.load.outputs.rws}}", "'rws' is not among outputs of job 'load'"),
        ("{{result.jobs.lod.outputs.rows}}", "'lod' is not among the jobs of flow 'c'"),
        ("{{steps.sub.jobs.load.output.rows}}", "'output' is not among what is known of job 'load'"),
    ],
)
def test_validate_knows_its_outputs(project: "Project", wrong: str, told: str) -> None:
    lay(project)
    assert project.cli("validate", "flow.yaml").code == 0
    right = "{{steps.sub.jobs.load.status}}" if "steps" in wrong else "{{result.jobs.load.outputs.rows}}"
    project.write(PARENT.replace(right, wrong))
    found = project.cli("validate", "flow.yaml")
    assert found.code == 2
    assert told in found.out


def test_a_cycle_is_refused_before_and_in_the_run(project: "Project") -> None:
    sub = (
        "version: 1\nflow: {{id: {0}}}\njobs: [{{id: a, steps: [{{id: s, type: run_flow, inputs: {{flow: {1}}}}}]}}]\n"
    )
    project.write(sub.format("f", "b.yaml"))
    project.write(sub.format("b", "c.yaml"), "b.yaml")
    project.write(sub.format("c", "flow.yaml"), "c.yaml")
    found = project.cli("validate", "flow.yaml")
    assert found.code == 2
    assert "c.yaml:3:" in found.out
    assert "the flow would run itself: flow.yaml -> b.yaml -> c.yaml -> flow.yaml" in found.out
    project.write(sub.format("f", "flow.yaml"))
    assert "flow.yaml -> flow.yaml" in project.cli("validate", "flow.yaml").out
    dynamic = (
        sub.replace("jobs:", "jobs:").format("f", '"{{{{params.next}}}}"').replace("{{{{", "{{").replace('}}}}"', '}}"')
    )
    project.write(dynamic.replace("{id: f}", "{id: f, params: {next: {default: flow.yaml}}}"))
    found = project.cli("run", "flow.yaml", "--run-id", "r")
    assert found.code == 1
    assert "the flow would run itself: flow.yaml -> flow.yaml" in found.err


def test_a_flow_outside_is_refused(project: "Project") -> None:
    lay(project, parent=PARENT.replace("child.yaml", '"{{env.OTHER}}"'))
    os.environ["OTHER"] = "/etc/flow.yaml"
    try:
        assert "outside the allowed folders" in project.cli("run", "flow.yaml").err
    finally:
        del os.environ["OTHER"]


@pytest.mark.parametrize("mode", ["internal_fast", "enterprise"])
def test_a_flow_in_a_folder_below_finds_what_stands_beside_it(project: "Project", mode: str) -> None:
    (project.folder / "sub").mkdir()
    (project.folder / "aetherflow.yaml").write_text(f"version: 1\npolicy: {{mode: {mode}}}\n")
    project.write("""\
        version: 1
        flow: {id: f}
        jobs:
          - id: a
            steps:
              - {id: s, type: run_flow, inputs: {flow: sub/outer.yaml}}
              - id: t
                type: assert
                inputs: {condition: steps.s.jobs.a.outputs.inner == "inner" and steps.s.jobs.a.outputs.mode == "MODE"}
        """.replace("MODE", mode))  # fmt: skip
    project.write("""\
        version: 1
        flow: {id: o}
        jobs:
          - id: a
            steps:
              - id: s
                type: run_flow
                inputs: {flow: inner.yaml}
                outputs: {inner: "{{result.flow_id}}", mode: "{{result.jobs.a.outputs.mode}}"}
        """, "sub/outer.yaml")  # fmt: skip
    project.write("""\
        version: 1
        flow: {id: inner}
        jobs:
          - id: a
            steps:
              - id: copy
                type: file_copy
                inputs: {src: "{{env.AETHERFLOW_LOCAL_ROOT_DIR}}/inner.yaml", dest: copy.yaml}
                outputs: {mode: "{{env.AETHERFLOW_MODE}}"}
        """, "sub/inner.yaml")  # fmt: skip
    run(project)
    assert project.cli("validate", "flow.yaml").out == "OK: flow.yaml\n"


def test_the_instant_is_handed_on(project: "Project") -> None:
    project.flow("jobs: [{id: a, steps: [{id: s, type: run_flow, inputs: {flow: child.yaml, params: {n: 3}}}]}]")
    project.write("""\
        version: 1
        flow: {id: c, params: {n: {type: integer}}}
        jobs: [{id: load, steps: [{id: n, type: assert, inputs: {condition: run.date.iso == "2026-01-31"}}]}]
        """, "child.yaml")  # fmt: skip
    run(project, "--slot", "2026-01-31T02:00:00Z")


def chain(project: "Project", length: int, last: str, flow: str = "f{}.yaml") -> None:
    """Flows f0.yaml to f<length - 1>.yaml, each of which calls the next; `last` is the step of the last one."""
    for number in range(length):
        name = flow.format(number + 1)
        step = f"{{id: s, type: run_flow, inputs: {{flow: {name}}}}}" if number < length - 1 else last
        text = f"version: 1\nflow: {{id: f{number}}}\njobs: [{{id: a, steps: [{step}]}}]\n"
        project.write(text, f"f{number}.yaml")


def test_items_of_an_inner_run_have_their_names_in_the_output(project: "Project") -> None:
    project.write("""
        version: 1
        flow: {id: c}
        jobs:
          - id: load
            steps:
              - {id: n, type: check_items, for_each: {items: [{name: DE}], key: "{{item.name}}"}, inputs: {items: []}}
              - {id: short, type: check_items, for_each: [x], inputs: {items: []}}
        """, "child.yaml")  # fmt: skip
    project.flow("jobs: [{id: main, steps: [{id: sub, type: run_flow, inputs: {flow: child.yaml}}]}]")
    told = [line.split()[0] for line in project.cli("run", "flow.yaml").err.splitlines() if line.startswith("load.")]
    assert told[0] == "load.n[DE]"
    assert told[1].startswith("load.short[")


def test_runs_show_names_what_items_started_and_their_errors(project: "Project") -> None:
    project.flow("""
        jobs:
          - id: main
            steps:
              - id: sub
                type: run_flow
                for_each: {items: [{name: DE}], key: "{{item.name}}"}
                inputs: {flow: child.yaml}
        """)
    project.write("""
        version: 1
        flow: {id: c}
        jobs: [{id: a, steps: [{id: s, type: fail, inputs: {message: "no\\nmore"}}]}]
        """, "child.yaml")  # fmt: skip
    failed = project.cli("run", "flow.yaml", "--run-id", "r")
    assert (failed.code, "  1 item, 1 failed\n" in failed.out) == (1, True)
    shown = project.cli("runs", "show", "r").out
    assert re.search(r"^main\.sub\[DE\] +c +r\.main\.sub\.", shown, re.MULTILINE), shown
    assert "error of main.sub[DE], attempt 1\n" in shown


def test_a_chain_that_is_too_long_is_found_before_the_run(project: "Project") -> None:
    chain(project, 40, "{id: s, type: sleep, inputs: {seconds: 0}}")
    found = project.cli("validate", "f0.yaml")
    assert found.code == 2
    assert "f16.yaml:3:63: AF1215" in found.out
    assert "more than 16 flows inside one another: f0.yaml -> … -> f16.yaml -> f17.yaml" in found.out
    assert found.out.count("AF1215") == 1
    assert project.cli("run", "f0.yaml").code == 2
    assert project.cli("validate", "f23.yaml").code == 0, "what the run allows: 16 around the last"


def test_a_failure_deep_inside_is_told_once(project: "Project", monkeypatch: pytest.MonkeyPatch) -> None:
    project.enter(monkeypatch)
    chain(project, 5, "{id: s, type: fail, inputs: {message: no room}}")
    found = project.cli("run", "f0.yaml", "--run-id", "r", "--json")
    error = json.loads(found.out)["jobs"][0]["error"]
    assert error["message"].count("ended FAILED") == 1
    assert "flow f4 ended FAILED in a.s at " in error["message"]
    assert error["message"].endswith("no room")
    assert error["fix"].count("its log: ") == 1
    (shown,) = {part for part in error["fix"].split("; ") if part.startswith("all of it: aetherflow runs show ")}
    assert "flow f4" in project.cli("runs", "show", shown.rpartition(" ")[2]).out
    assert "(AF5001)" not in project.cli("status").out, "the code of the innermost error says it"


def test_a_chain_that_grows_while_it_runs_is_told_once(project: "Project", monkeypatch: pytest.MonkeyPatch) -> None:
    project.enter(monkeypatch)
    chain(project, 20, "{id: s, type: sleep, inputs: {seconds: 0}}", '"f{}.{{{{job.id}}}}"')
    for path in project.folder.glob("f*.yaml"):
        path.rename(path.with_suffix(".a"))
    assert project.cli("validate", "f0.a").code == 0, "the names are not known yet"
    found = project.cli("run", "f0.a", "--run-id", "r", "--json")
    error = json.loads(found.out)["jobs"][0]["error"]
    assert "flow f16 ended FAILED in a.s at " in error["message"]
    assert error["message"].endswith("AF5001 more than 16 flows inside one another")
    assert error["message"].count("\n") == 0
    assert error["message"].count("ended FAILED") == 1
