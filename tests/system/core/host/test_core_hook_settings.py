"""Settings of hooks: `plugins.settings` of the project file, given as a typed model."""

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from core_project import Project

MODULE = """
import os
from pydantic import Field
from aetherflow.core.api import HookBase, PluginSettings, hookimpl

class Site(PluginSettings):
    host: str = Field(min_length=2, description="Name of the server")
    code: str = Field("none", description="A number as text")

class Audit(HookBase[Site]):
    def __init__(self, settings):
        super().__init__(settings)
        self.seen = 0

    def note(self, *words):
        self.seen += 1
        with open(os.environ["EFFECTS"], "a") as file:
            print(self.seen, self.settings.host, self.settings.code, *words, file=file)

    @hookimpl
    def aetherflow_expand_env(self, env):
        self.note("env")

    @hookimpl
    def aetherflow_run_started(self, run):
        self.note("started")

    @hookimpl
    def aetherflow_run_finished(self, run):
        self.note("finished")
"""
ENTRIES = "".join(
    f"hook:aetherflow_{each} = acme_audit:Audit\n" for each in ("expand_env", "run_started", "run_finished")
)
OBSERVERS = ENTRIES.partition("\n")[2]
FLOW = "jobs: [{id: a, steps: [{id: s, type: check_items, inputs: {items: [1]}}]}]\n"


def arrange(project: "Project", settings: str, entries: str = ENTRIES) -> None:
    project.module("acme_audit", MODULE)
    project.plugin("acme-audit", f"[aetherflow.hooks]\n{entries}")
    project.write(f"version: 1\nplugins:\n  settings:\n    {settings}\n", "aetherflow.yaml")
    project.flow(FLOW)


def test_one_object_with_the_settings_serves_all_hooks_of_a_run(project: "Project") -> None:
    arrange(project, "Acme_Audit: {host: db1, code: 007}")  # names are compared as pip does
    for run in ("one", "two"):
        done = project.command("run", "flow.yaml", "--run-id", run)
        assert done.code == 0, done.err
    assert project.lines() == ["1 db1 007 env", "2 db1 007 started", "3 db1 007 finished"] * 2


def test_two_projects_in_one_process_have_their_own(project: "Project") -> None:
    arrange(project, "acme-audit: {host: db1}", OBSERVERS)
    other = "version: 1\nplugins: {settings: {acme-audit: {host: db2}}}\n"
    project.write(other, "other.yaml")
    code = "import os; from aetherflow.core import run_flow\nfor file in ('aetherflow.yaml', 'other.yaml'): "
    project.python(f"{code}run_flow('flow.yaml', env=os.environ | {{'AETHERFLOW_CONFIG': file}}, observers=[])")
    assert project.lines() == ["1 db1 none started", "2 db1 none finished", "1 db2 none started", "2 db2 none finished"]


def test_a_wrong_setting_of_an_observer_is_told_once_and_fails_no_run(project: "Project") -> None:
    arrange(project, "acme-audit: {hots: s3cr3t}", OBSERVERS)
    done = project.command("run", "flow.yaml")
    assert (done.code, project.lines()) == (0, [])
    assert done.err.count("PluginSettingsError: plugins.settings.acme-audit.host: Field required") == 1
    assert "s3cr3t" not in done.err


def test_a_wrong_setting_of_a_decider_stops_the_start(project: "Project") -> None:
    arrange(project, "acme-audit: {host: x}")
    done = project.command("run", "flow.yaml")
    assert done.code == 2
    assert "AF2113 plugins.settings.acme-audit.host: String should have at least 2 characters" in done.err


def test_validate_names_the_place(project: "Project") -> None:
    arrange(project, "acme-audit: {hots: db1, host: x}")
    done = project.command("validate", "--run-hooks", "aetherflow.yaml")
    assert done.code == 2
    assert "aetherflow.yaml:4:18: AF1101 unknown key 'hots' in plugins.settings.acme-audit" in done.out
    assert "aetherflow.yaml:4:35: AF1103 plugins.settings.acme-audit.host: string should have" in done.out
    # code beside the project file is not executed unasked
    assert project.command("validate", "aetherflow.yaml").code == 0


def test_settings_that_nobody_takes(project: "Project") -> None:
    arrange(project, "acme-audti: {}\n    acme-plain: {}")
    project.module("acme_plain", "def aetherflow_run_started(): 0\n")
    project.plugin("acme-plain", "[aetherflow.hooks]\nhook:aetherflow_run_started = acme_plain\n")
    done = project.command("validate", "--run-hooks", "aetherflow.yaml")
    assert done.code == 2
    assert "4:5: AF2113 warning: no installed distribution acme-audti has hooks\n  fix: did you mean 'acme-audit'?" in (
        done.out.replace("\n    fix", "\n  fix")
    )
    assert "5:5: AF2113 the hooks of acme-plain take no settings" in done.out


def test_the_schema_for_editors_has_the_settings(project: "Project") -> None:
    arrange(project, "acme-audit: {host: db1}")
    done = project.command("schema", "project")
    assert done.code == 0, done.err
    plugins = json.loads(done.out)["$defs"]["PluginsSpec"]["properties"]
    assert list(plugins["settings"]["properties"]) == ["acme-audit"], "ours take none"
    settings = plugins["settings"]["properties"]["acme-audit"]
    assert (settings["required"], settings["properties"]["host"]["description"]) == (["host"], "Name of the server")


def test_plugins_check_examines_the_settings(project: "Project") -> None:
    arrange(project, "acme-audit: {host: db1}")
    assert project.command("plugins", "check").code == 0
    project.write("version: 1\n", "aetherflow.yaml")
    done = project.command("plugins", "check")
    assert "plugins.settings.acme-audit.host: Field required" in done.out + done.err
