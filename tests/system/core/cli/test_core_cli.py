"""The command line: what each command imports, prints and returns."""

import json
from importlib.metadata import version
from typing import TYPE_CHECKING

import pytest

import warm

if TYPE_CHECKING:
    from core_project import Project

LOADED = """
import contextlib, io, sys
from aetherflow.core.cli import main
with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
    code = main({arguments!r})
print(code)
print("\\n".join(sorted(sys.modules)))
"""
FROZEN = """
import gc, sys
from aetherflow.core.cli import main
before = set()
gc.freeze = lambda: before.update(sys.modules)
code = main(["run", "-q", "flow.yaml"])
from aetherflow.core.kernel.yaml import flow
whole = [name for name, found in vars(flow).items() if getattr(found, "__pydantic_complete__", False)]
print(code, *whole, *sorted(name for name in sys.modules if name not in before))
"""
PLUGINS = ("aetherflow.core.builtins.", "aetherflow_builtins_")
HEAVY = (
    "pydantic",
    "pydantic_core",
    "yaml",
    "rich",
    "pluggy",
    "sqlite3",
    "asyncio",
    "aetherflow.core.kernel.sequencing",
)
SLOW = ("importlib.metadata", "email", "socket", "zipfile", "tempfile")
"""Modules of Python that take long to import and that hardly any command needs."""
UNUSED = tuple(
    f"aetherflow.core.{name}"
    for name in (
        "cli.refusing",
        "contracts.bundle_source",
        "contracts.connector",
        "contracts.document_kind",
        "host.require",
    )
)
"""What a flow without resources that is not refused does without."""
DRIVERS = ("duckdb", "sqlite3", "pyarrow", "sqlalchemy", "pymysql", "psycopg", "oracledb", "pyexasol", "numpy")


def modules(project: "Project", *arguments: str) -> tuple[int, set[str]]:
    unmeasured = {"COVERAGE_PROCESS_CONFIG": ""}  # what measures coverage imports things of its own
    code, *names = project.python(LOADED.format(arguments=list(arguments)), env=unmeasured).splitlines()
    return int(code), set(names)


def under(names: set[str], *prefixes: str) -> set[str]:
    return {
        name for name in names if any(name == p.rstrip(".") or name.startswith(p.rstrip(".") + ".") for p in prefixes)
    }


@pytest.mark.parametrize(
    "arguments", [["--version"], ["--help"], ["run", "--help"], ["plugins", "list"], ["plugins", "list", "--json"]]
)
def test_what_needs_no_plugin_imports_none(project: "Project", arguments: list[str]) -> None:
    code, names = modules(project, *arguments)
    assert code == 0
    plugins = {name for name in names if name.startswith(PLUGINS)}
    if arguments == ["--help"]:  # a command of ours has its own line there, not that of its distribution
        plugins = {name for name in plugins if not name.startswith("aetherflow.core.builtins.commands")}
    assert plugins == set()
    assert under(names, *HEAVY, *DRIVERS, *SLOW) == set()


def test_validate_imports_what_the_flow_names_and_no_driver(project: "Project") -> None:
    step = "{id: a, type: db_execute, inputs: {resource: r, sql: select 1}}"
    resource = "resources: {r: {kind: db, driver: duckdb, config: {path: x.duckdb}}}\n"
    project.write(f"flow: {{id: f}}\n{resource}jobs: [{{id: a, steps: [{step}]}}]\n")
    code, names = modules(project, "validate", "flow.yaml")
    assert code == 0
    assert "aetherflow_builtins_db.steps.execute" in names
    assert "aetherflow_builtins_db.connectors.duckdb.connector" in names
    assert "aetherflow_builtins_db.connectors.sqlite3.connector" not in names
    assert "aetherflow_builtins_db.steps.extract_stream" not in names
    assert under(names, "aetherflow.core.builtins", "aetherflow.core.kernel.sequencing", "rich") == set()
    assert under(names, *DRIVERS) == set()


def test_run_imports_what_the_flow_names(project: "Project") -> None:
    project.flow("jobs: [{id: a, steps: [{id: s, type: check_items, inputs: {items: [1]}}]}]\n")
    code, names = modules(project, "run", "flow.yaml")
    assert code == 0
    assert {name for name in names if name.startswith(PLUGINS)} == {
        "aetherflow.core.builtins.gate",
        "aetherflow.core.builtins.items",
    }
    assert under(names, *(driver for driver in DRIVERS if driver != "sqlite3"), "rich", *SLOW, *UNUSED) == set()


def test_a_run_starts_the_collector_after_its_imports_and_builds_one_schema_of_the_flow(project: "Project") -> None:
    project.flow("jobs: [{id: a, steps: [{id: s, type: check_items, inputs: {items: [1]}}]}]\n")
    code, *found = project.python(FROZEN, env={"COVERAGE_PROCESS_CONFIG": ""}).split()
    assert code == "0"
    assert [name for name in found if "." not in name and name.endswith("Spec")] == ["FlowSpec"]
    assert under(set(found), "aetherflow.core.kernel", "aetherflow.core.runtime", "pydantic.main") == set()


def test_the_public_api_loads_no_engine_and_no_plugin(project: "Project") -> None:
    names = set(project.python("import aetherflow.core.api, sys; print('\\n'.join(sys.modules))").split())
    assert {name for name in names if name.startswith((*PLUGINS, "aetherflow.core.kernel.sequencing"))} == set()


def test_version(project: "Project") -> None:
    result = project.cli("--version")
    assert (result.code, result.out, result.err) == (0, f"aetherflow {version('aetherflow-core')}\n", "")
    assert project.command("--version").out == result.out


def test_tracebacks_only_with_debug(project: "Project") -> None:
    assert "Traceback" not in project.command("run", "gone.yaml").err
    debug = project.command("--debug", "run", "gone.yaml")
    assert debug.code == 2, "the same as without"
    assert "Traceback" in debug.err
    assert "SpecError" in debug.err


def test_a_reader_that_closed_stdout(project: "Project") -> None:
    import subprocess

    project.flow("jobs: []\n")
    for arguments in (["plugins", "list"], ["validate", "flow.yaml"], ["run", "flow.yaml"]):
        process = warm.Popen(
            project.argv(*arguments),
            cwd=project.folder,
            env=project.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert process.stdout
        process.stdout.close()
        _, err = process.communicate(timeout=20)
        assert b"Traceback" not in err
        assert b"Exception ignored" not in err


def test_the_live_display_on_a_terminal(project: "Project") -> None:
    import os
    import pty
    import subprocess

    project.flow(
        """\
        jobs:
          - id: a
            steps: [{id: s, type: external.process, inputs: {command: "echo shown; sleep 0.6", shell: true}}]
          - {id: b, when: "false", steps: []}
        """
    )
    ours, theirs = pty.openpty()
    process = warm.Popen(
        project.argv("run", "flow.yaml", "--run-id", "r"),
        cwd=project.folder,
        env={**project.env, "TERM": "xterm"},
        stdout=subprocess.PIPE,
        stderr=theirs,
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            data = os.read(ours, 65536)
        except OSError:
            break
        if not data:
            break
        shown += data
    out, _ = process.communicate(timeout=20)
    os.close(ours)
    assert process.returncode == 0
    text = shown.decode()
    assert "run r of flow f" in text
    assert "RUNNING     a.s  0." in text
    assert "a.s | shown" in text
    assert "SUCCESS     a.s" in text
    assert "SKIPPED     b  condition=false" in text
    assert text.endswith("\r\x1b[2K")
    assert b"\x1b" not in out


def test_json_log_format_makes_every_line_of_stderr_an_object(project: "Project") -> None:
    project.flow(
        """\
        jobs:
          - id: a
            steps:
              - {id: good, type: external.process, inputs: {command: [echo, hello]}}
              - {id: bad, type: external.process, inputs: {command: ["false"]}}
        """
    )
    done = project.command("run", "flow.yaml", env={"AETHERFLOW_LOG_FORMAT": "json"})
    events = [json.loads(line) for line in done.err.splitlines()]
    assert {"ts_ms", "level", "event"} <= set.intersection(*(set(event) for event in events))
    assert [e["text"] for e in events if e["event"] == "output"] == ["hello"]
    assert [e["level"] for e in events if e["event"] == "step_end"] == ["INFO", "ERROR"]
