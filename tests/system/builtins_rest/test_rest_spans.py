"""OpenTelemetry: the spans of a run, as the SDK's exporter in memory sees them."""

import json
from typing import TYPE_CHECKING, Any

from canaries import CANARY, FORMS

from aetherflow.core.api import install_command
from warm import true_start

if TYPE_CHECKING:
    from core_project import Project

PROGRAM = """
import json, sys
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from aetherflow.core import run_flow
from aetherflow.core.api import AetherflowError

exporter, provider = InMemorySpanExporter(), TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)
try:
    run_flow("flow.yaml", run_id="r", observers=[])
except AetherflowError:
    pass
spans = exporter.get_finished_spans()
names = {span.context.span_id: span.name for span in spans}
print(json.dumps([
    {
        "name": span.name,
        "parent": names.get(span.parent.span_id) if span.parent else None,
        "code": span.status.status_code.name,
        "error": span.status.description,
        "kind": span.kind.name,
        "events": [event.name for event in span.events],
        **{key.removeprefix("aetherflow."): value for key, value in span.attributes.items()},
    }
    for span in spans
]))
"""


def spans(project: "Project") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(project.python(PROGRAM, env={"AETHERFLOW_OTEL": "true"}))
    return found


def test_run_job_step(project: "Project") -> None:
    project.write(
        """\
        version: 1
        flow: {id: f, locks: {scope: flow}, on_failure: continue}
        jobs:
          - id: a
            steps:
              - {id: s, type: check_items, inputs: {items: [1]}}
              - {id: t, type: external.process, inputs: {command: ["false"]}, retry: {max_attempts: 2}}
          - {id: b, when: jobs.a.status == 'SUCCESS', steps: []}
        """
    )
    found = spans(project)
    assert [(span["name"], span["parent"], span["code"]) for span in found] == [
        ("step a.s", "job a", "OK"),
        ("step a.t", "job a", "ERROR"),
        ("step a.t", "job a", "ERROR"),
        ("job a", "run f", "ERROR"),
        ("job b", "run f", "UNSET"),
        ("run f", None, "ERROR"),
    ]
    step = found[2]
    facts = ("run_id", "job_id", "step_id", "step_type", "attempt")
    assert [step[name] for name in facts] == ["r", "a", "t", "external.process", 2]
    assert (step["status"], step["code"]) == ("FAILED", "ERROR")
    assert "exit code 1" in step["error"]
    assert found[5]["events"] == ["lock acquired"]
    assert (found[4]["reason"], found[5]["flow_id"], found[5]["attempt"]) == ("condition=false", "f", 1)


def test_the_names_of_the_conventions_for_pipelines(project: "Project") -> None:
    project.flow(
        """\
        jobs:
          - id: a
            steps:
              - {id: t, type: check_items, inputs: {items: ["{{item}}"]}, for_each: [x]}
              - {id: s, type: check_items, inputs: {items: []}, on_no_data: skip_job}
          - id: b
            steps: [{id: u, type: external.process, inputs: {command: ["false"]}}]
        """
    )
    found = spans(project)
    assert {(span["cicd.pipeline.name"], span["cicd.pipeline.run.id"]) for span in found} == {("f", "r")}
    tasks = [span for span in found if "cicd.pipeline.task.name" in span]
    item = tasks[0]["item"]
    names = ("cicd.pipeline.task.name", "cicd.pipeline.task.run.id", "cicd.pipeline.task.run.result", "error.type")
    assert [tuple(span.get(name) for name in names) for span in tasks] == [
        ("a.t", f"r/a.t[{item}]/1", "success", None),
        ("a.s", "r/a.s/1", "skip", None),
        ("b.u", "r/b.u/1", "failure", "_OTHER"),
    ]
    run = found[-1]
    assert (run["cicd.pipeline.result"], run["cicd.pipeline.action.name"], run["error.type"]) == (
        "failure", "RUN", "_OTHER",
    )  # fmt: skip
    assert [span["kind"] for span in found] == ["INTERNAL"] * (len(found) - 1) + ["SERVER"]


def test_secrets_are_in_no_span(project: "Project") -> None:
    """In whatever form a program or a step has written them."""
    printed = project.folder / "printed"
    printed.write_text("\n".join(form(CANARY) for form in FORMS.values()), encoding="utf-8")
    project.flow(
        f"""\
        jobs:
          - {{id: a, steps: [{{id: s, type: fail, inputs: {{message: "no {{{{env.DB_PASSWORD}}}} here"}}}}]}}
          - id: b
            steps: [{{id: s, type: external.process, inputs: {{command: [sh, -c, "cat '{printed}' >&2; exit 1"]}}}}]
          - id: c
            steps:
              - {{id: s, type: check_items, inputs: {{items: ["{{{{item}}}}"]}}, for_each: ["{{{{env.API_KEY}}}}"]}}
        """,
    )
    project.env |= {"DB_PASSWORD": "canary-4711", "API_KEY": CANARY}
    found = spans(project)
    assert found[0]["error"] == "no *** here"
    assert {each["name"] for each in found} == {
        f"{what}" for job in "abc" for what in (f"job {job}", f"step {job}.s")
    } | {"run f"}
    text = json.dumps(found, ensure_ascii=False)
    assert "canary" not in text
    assert [
        name for name, form in FORMS.items() if form(CANARY) in text or json.dumps(form(CANARY))[1:-1] in text
    ] == []


def test_without_a_distribution_that_makes_spans(project: "Project") -> None:
    project.flow("jobs: []\n")
    project.write("version: 1\nplugins: {block: [aetherflow-builtins-rest]}\n", "aetherflow.yaml")
    done = project.command("run", "flow.yaml", env={"AETHERFLOW_OTEL": "true"})
    assert done.code == 2
    assert "AF0002 AETHERFLOW_OTEL is on and no installed distribution makes spans" in done.err
    assert f"{install_command('otel')}\n" in done.err


def test_what_a_step_does_stands_below_its_span(project: "Project") -> None:
    project.module(
        "traced",
        """
        from opentelemetry import trace
        from aetherflow.core.api import Step

        class Traced(Step):
            def run(self):
                with trace.get_tracer("mine").start_as_current_span("query"):
                    return {}
        """,
    )
    project.plugin("acme", "[aetherflow.steps]\ntraced = traced:Traced\n")
    project.flow(
        """\
        jobs:
          - id: a
            steps:
              - {id: s, type: traced, inputs: {}}
              - {id: t, type: with_lock, inputs: {lock_key: k, step: {id: i, type: traced, inputs: {}}}}
        """
    )
    found = spans(project)
    assert [(span["name"], span["parent"]) for span in found[:4]] == [
        ("query", "step a.s"),
        ("step a.s", "job a"),
        ("query", "step a.t"),
        ("step a.t", "job a"),
    ]
    assert found[-1]["events"] == ["lock acquired"]


def test_the_command_sends_to_the_exporter_that_is_named(project: "Project") -> None:
    project.flow("jobs: [{id: a, steps: [{id: s, type: check_items, inputs: {items: [1]}}]}]\n")
    env = {"AETHERFLOW_OTEL": "true", "OTEL_TRACES_EXPORTER": "console"}
    done = project.command("run", "flow.yaml", "--quiet", env=env)
    assert done.code == 0, done.err
    for words in ('"name": "step a.s"', '"name": "job a"', '"name": "run f"', '"service.name": "aetherflow"'):
        assert words in done.out + done.err


def test_an_exporter_that_is_not_there(project: "Project") -> None:
    project.flow("jobs: []\n")
    env = {"AETHERFLOW_OTEL": "true", "OTEL_TRACES_EXPORTER": "nowhere"}
    done = project.command("run", "flow.yaml", env=env)
    assert done.code == 2
    assert "AF0002 no installed distribution provides the OpenTelemetry exporter 'nowhere'" in done.err
    assert project.rows("SELECT count(*) FROM runs") == [(0,)]


def test_without_the_extra(project: "Project") -> None:
    project.flow("jobs: []\n")
    project.module("sitecustomize", "import sys\nsys.modules['opentelemetry'] = None\n")
    hidden = true_start("OpenTelemetry is hidden before anything is imported")
    done = project.command("run", "flow.yaml", env={"AETHERFLOW_OTEL": "true"}, by=hidden)
    assert done.code == 2
    assert "AF0002 AETHERFLOW_OTEL is on and OpenTelemetry is not installed" in done.err
    assert f"fix: switch it off, or: {install_command('otel')}\n" in done.err
    assert project.command("run", "flow.yaml", by=hidden).code == 0
