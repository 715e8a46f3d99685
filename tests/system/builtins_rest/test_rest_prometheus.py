"""`aetherflow status --format`: what a hook makes of the status, and what is said where none knows the format."""

import json
from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families

from aetherflow.core.api import install_command

if TYPE_CHECKING:
    from core_project import Project

FORMAT = ("status", "--format", "prometheus")


def gauges(text: str) -> dict[str, dict[str, float]]:
    return {
        family.name.removeprefix("aetherflow_flow_"): {each.labels["flow"]: each.value for each in family.samples}
        for family in text_string_to_metric_families(text)
    }


def write(project: "Project", name: str, steps: str) -> None:
    head = f"version: 1\nflow: {{id: {name}, workspace: {{root: work}}}}\n"
    project.write(f"{head}jobs: [{{id: a, steps: [{steps}]}}]\n", f"{name}.yaml")


def test_gauges_of_runs(project: "Project") -> None:
    project.env["DB_PASSWORD"] = "canary-4711"
    write(project, "good", "{id: s, type: check_items, inputs: {items: [1]}}")
    write(project, "worse", "{id: s, type: check_items, inputs: {items: [1]}}")
    write(project, "bad", '{id: s, type: fail, inputs: {message: "no {{env.DB_PASSWORD}}"}}')
    for name, code in (("good", 0), ("worse", 0), ("bad", 1)):
        assert project.command("run", f"{name}.yaml", "--quiet").code == code
    before = gauges(project.command(*FORMAT).out)
    write(project, "worse", '{id: s, type: fail, inputs: {message: "no"}}')
    assert project.command("run", "worse.yaml", "--quiet").code == 1
    done = project.command(*FORMAT)
    assert (done.code, done.err) == (0, ""), "who collects it reads in it what is wrong"
    found = gauges(done.out)
    assert found["open_failures"] == {"bad": 1, "good": 0, "worse": 1}
    # the last success is told whatever came after it
    assert found["last_success_timestamp_seconds"] == before["last_success_timestamp_seconds"]
    assert set(found["last_success_duration_seconds"]) == {"good", "worse"}
    assert "canary" not in done.out
    assert "canary" not in project.command("status", "--json").out
    status = json.loads(project.command("status", "--json").out)
    ended = {flow["flow_id"]: flow["last_success_at"] for flow in status["flows"]}
    assert {name: at / 1000 for name, at in ended.items() if at} == found["last_success_timestamp_seconds"]
    assert gauges(project.command(*FORMAT, "--flow", "g*").out)["open_failures"] == {"good": 0}


def test_without_the_plugin_the_line_to_type(project: "Project") -> None:
    project.write("version: 1\nplugins: {block: [aetherflow-builtins-rest]}\n", "aetherflow.yaml")
    done = project.command(*FORMAT)
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        f"AF0002 no installed distribution writes the status as 'prometheus'\n  fix: {install_command('rest')}\n"
    )
    there = "there are prometheus, those of other plugins, and --json"
    assert f"fix: {there}\n" in project.command("status", "--format", "nagios").err
    near = f"fix: did you mean 'prometheus'? {there}\n"
    assert near in project.command("status", "--format", "promtheus").err
    assert "--json and --format exclude each other" in project.command("status", "--json", "--format", "x").err


def test_a_format_of_somebody_else(project: "Project") -> None:
    project.module(
        "acme_format",
        """
        from aetherflow.core.api import hookimpl

        @hookimpl
        def aetherflow_status_format(name, status):
            return {"word": "ok\\n" if status["ok"] else "not ok\\n", "wrong": 7}.get(name)
        """,
    )
    entry = "hook:aetherflow_status_format = acme_format\n"
    project.plugin("acme-format", f"[aetherflow.hooks.status]\n{entry}")
    project.states.mkdir(mode=0o700)
    assert project.command("status", "--format", "word").out == "ok\n"
    wrong = project.command("status", "--format", "wrong")
    assert wrong.code == 2
    assert "AF2111 hook acme-format:hook:aetherflow_status_format: status_format returned int" in wrong.err
    assert gauges(project.command(*FORMAT).out) is not None


def test_status_imports_it_for_its_format_alone(project: "Project") -> None:
    code = "import sys; from aetherflow.core.cli import main; main(%r); print('prometheus' in ' '.join(sys.modules))"
    assert project.python(code % (["status"],)).endswith("False\n")
    assert project.python(code % (list(FORMAT),)).endswith("True\n")
