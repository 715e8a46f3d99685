"""`aetherflow plugins list|show|check`, and a kernel without its builtins."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from core_project import Project

GOOD = '''\
from pydantic import Field, SecretStr

from aetherflow.core.api import ConnectorBase, ConnectorConfig, ConnectorOptions
from aetherflow.core.api import ReadPath, Step, StepInputs, StepOutputs


class Inputs(StepInputs):
    path: ReadPath = Field(alias="file", description="What to read.")
    limit: int | None = Field(None, description="Most lines.")


class Outputs(StepOutputs):
    lines: int = Field(description="Number of lines.")


class Count(Step[Inputs]):
    """Counts lines.

    Slowly.

    Example:
        - id: count
          type: acme.count
          inputs: {path: a.txt}
    """

    Outputs = Outputs

    def run(self):
        return {"lines": 1}


class Config(ConnectorConfig):
    password: SecretStr = Field(description="Secret.")


class Db(ConnectorBase[Config, ConnectorOptions]):
    """A database."""

    requires = ("acme_driver_that_is_missing",)


class Bad(StepInputs):
    silent: str


class Silent(Step[Bad]):
    def run(self):
        return None


class Lacks(Step):
    """Has no run."""


class Wrong:
    pass


class Unresolved(StepInputs):
    field: "Missing" = Field(description="Of a type that there is not.")


class Annotated(Step[Unresolved]):
    def run(self):
        return None
'''
ENTRIES = """\
[aetherflow.steps]
acme.count = acme_good:Count
[aetherflow.connectors]
db.acme = acme_good:Db
"""


def run(project: "Project", *arguments: str, code: int = 0) -> str:
    done = project.command("plugins", *arguments)
    assert done.code == code, done.err + done.out
    return done.out


def test_show_a_step(project: "Project") -> None:
    project.module("acme_good", GOOD)
    project.plugin("acme-good", ENTRIES)
    assert run(project, "show", "acme.count") == (
        "step acme.count\n\nCounts lines.\n\nSlowly.\n\n"
        "from    acme-good 1.0\nclass   acme_good:Count\neffect  repeatable\n\n"
        "inputs:\n  name         type     default   meaning\n  path (file)  text     required  What to read.\n"
        "  limit        integer            Most lines.\n\n"
        "outputs:\n  name   type     meaning\n  lines  integer  Number of lines.\n\n"
        "example:\n  - id: count\n    type: acme.count\n    inputs: {path: a.txt}\n"
    )
    found = json.loads(run(project, "show", "acme.count", "--json"))
    assert (found["schema"], found["kind"], found["distribution"], found["version"]) == (1, "step", "acme-good", "1.0")
    assert found["inputs"][0] == {
        "name": "path", "type": "text", "required": True, "default": None, "description": "What to read.",
        "aliases": ["file"],
    }  # fmt: skip
    assert found["example"].startswith("- id: count\n")


def test_show_a_connector_and_what_is_not_there(project: "Project") -> None:
    project.module("acme_good", GOOD)
    project.plugin("acme-good", ENTRIES)
    for name in ("db:acme", "db.acme"):
        said = run(project, "show", name)
        assert said.startswith("connector db:acme\n\nA database.\n")
        assert "not installed: install what provides the module acme_driver_that_is_missing: the documentation" in said
        assert "password  secret text  required" in said
        assert "cache  run, process, none" in said
    missing = project.command("plugins", "show", "check_item")
    assert missing.code == 2
    assert "AF2101" in missing.err
    assert "check_items" in missing.err
    assert "AF2101" in project.command("plugins", "show", "db:nothing").err


def test_a_distribution_names_the_extra_of_its_driver(project: "Project") -> None:
    project.module("acme_good", GOOD)
    project.plugin(
        "acme-good", f"{ENTRIES}[aetherflow.hints]\nconnectors.db.acme = turbo\nconnectors.db.duckdb = evil\n"
    )
    assert 'not installed: pip install "acme-good[turbo]==1.0"' in run(project, "show", "db.acme")
    said = run(project, "check")
    assert re.search(r'\ndb:acme +acme_driver_that_is_missing +pip install "acme-good\[turbo\]==1\.0"\n', said), said
    (absent,) = (
        each for each in json.loads(run(project, "check", "--json"))["absent_drivers"] if "acme" in each["connector"]
    )
    assert absent == {
        "connector": "db:acme", "source": "acme-good 1.0", "modules": ["acme_driver_that_is_missing"],
        "fix": 'pip install "acme-good[turbo]==1.0"',
    }  # fmt: skip


@pytest.fixture
def broken(project: "Project") -> "Project":
    """Every kind of plugin that is not well."""
    project.module("acme_good", GOOD)
    project.module("acme_raises", "raise RuntimeError('at import')\n")
    project.plugin("acme-good", ENTRIES)
    project.plugin("acme-rival", "[aetherflow.steps]\nacme.count = acme_good:Count\nsilent = acme_good:Silent\n")
    project.plugin(
        "acme-broken",
        "[aetherflow.steps]\ngone = acme_gone:Gone\nraises = acme_raises:Step\nwrong = acme_good:Wrong\n"
        "lacks = acme_good:Lacks\nunresolved = acme_good:Annotated\n"
        "[aetherflow.plugins]\nold = acme_gone:load\n",
    )
    return project


def test_check_finds_it_all(broken: "Project") -> None:
    said = run(broken, "check", code=1)
    for expected in (
        "AF2120 Failed loading entry point plugin old: ModuleNotFoundError",
        "AF2103 2 installed distributions provide step 'acme.count'",
        "AF2102 step 'gone' of acme-broken 1.0 cannot be loaded from acme_gone:Gone: ModuleNotFoundError",
        "AF2102 step 'raises' of acme-broken 1.0 cannot be loaded from acme_raises:Step: RuntimeError: at import",
        "AF2102 step 'wrong' of acme-broken 1.0: acme_good:Wrong is not a subclass of Step",
        "AF2102 step 'lacks' of acme-broken 1.0: acme_good:Lacks has no method run",
        "AF2102 step 'unresolved' of acme-broken 1.0: the model of its inputs cannot be built: PydanticUndefined",
        "AF2124 step 'silent' of acme-rival 1.0: inputs.silent has no description",
        "AF2125 step 'silent' of acme-rival 1.0: fields without a class, which a policy takes for data: inputs.silent",
        "  fix: give its texts a class, by their type: PlainText or PlainValue for data, ReadPath or WritePath for a",
        "AF2105 connector 'db:acme' of acme-good 1.0: its driver is not installed (acme_driver_that_is_missing)",
        "  fix: install what provides the module acme_driver_that_is_missing: the documentation of the connector names",
    ):
        assert expected in said, said
    assert said.count("  fix: ") == 10
    assert said.splitlines()[-1].endswith("plugins checked: 10 findings")
    report = json.loads(run(broken, "check", "--json", code=1))
    assert (report["schema"], report["ok"], len(report["findings"])) == (1, False, 10)
    assert set(report["findings"][0]) == {"code", "plugin", "source", "message", "fix"}


def test_a_broken_hook_is_a_finding_also_beside_a_project_file(project: "Project") -> None:
    """Other commands stop at it; the one that is to find it reads the rest as well. A blocked one is left alone."""
    project.module("acme_hooks", "def aetherflow_run_start(run):\n    pass\n")
    project.module("acme_good", GOOD)
    project.plugin(
        "acme-hooks", "[aetherflow.hooks]\nnotes = acme_hooks\n[aetherflow.steps]\nsilent = acme_good:Silent\n"
    )
    (project.folder / "aetherflow.yaml").write_text("plugins: {prefer: {}}\n")
    codes = [each["code"] for each in json.loads(run(project, "check", "--json", code=1))["findings"]]
    assert sorted(codes) == ["AF2110", "AF2124", "AF2125"], codes
    (project.folder / "aetherflow.yaml").write_text("plugins: {block: ['acme-hooks:notes']}\n")
    codes = [each["code"] for each in json.loads(run(project, "check", "--json", code=1))["findings"]]
    assert codes == ["AF2124", "AF2125"]


def test_check_names_a_hook_that_enterprise_mode_refuses(project: "Project") -> None:
    project.module("acme_hooks", "def aetherflow_run_start(run):\n    pass\n")
    project.plugin("acme-hooks", "[aetherflow.hooks]\nnotes = acme_hooks\n")
    done = project.command("plugins", "check", env={"AETHERFLOW_MODE": "enterprise"})
    assert done.code == 1, done.err
    assert "hook 'notes' of acme-hooks 1.0 is not allowed in enterprise mode" in done.out


def test_show_a_bundle_source(project: "Project") -> None:
    assert "base_path" in run(project, "show", "filesystem")
    assert json.loads(run(project, "show", "filesystem", "--json"))["source"][0]["name"] == "base_path"


def test_check_is_silent_where_all_is_well(project: "Project") -> None:
    assert run(project, "check").splitlines()[-1].endswith("plugins checked: nothing is wrong")
    assert json.loads(run(project, "check", "--json"))["ok"]


def test_list_shows_conflicts_preferences_and_the_policy(broken: "Project") -> None:
    def statuses() -> dict[tuple[str, str], str]:
        rows: list[dict[str, Any]] = json.loads(run(broken, "list", "--json"))["plugins"]
        return {(row["name"], row["distribution"]): row["status"] for row in rows if "acme" in row["distribution"]}

    found = statuses()
    assert found["acme.count", "acme-good"] == found["acme.count", "acme-rival"] == "conflict"
    assert found["gone", "acme-broken"] == "ok"
    assert found["old", "acme-broken"] == "legacy"
    project_file = broken.write("plugins: {prefer: {steps.acme.count: acme-rival}}\n", "aetherflow.yaml")
    found = statuses()
    assert (found["acme.count", "acme-good"], found["acme.count", "acme-rival"]) == ("not preferred", "ok")
    project_file.write_text("policy: {mode: enterprise}\nplugins: {allow: [acme-rival]}\n")
    found = statuses()
    assert found["silent", "acme-rival"] == "ok"
    assert found["gone", "acme-broken"] == "refused"
    said = run(broken, "check", code=1)
    assert "at import" not in said, "what is refused is not imported"


def test_a_kernel_without_builtins(tmp_path: Path) -> None:
    found = importlib.util.find_spec("aetherflow.core")
    assert found is not None
    assert found.origin is not None
    source = Path(found.origin).parent
    copy = tmp_path / "src/aetherflow/core"
    shutil.copytree(source, copy, ignore=shutil.ignore_patterns("builtins", "__pycache__"))
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    (plugins / "own.py").write_text(
        "from aetherflow.core.api import Step, register_step\n\n\n@register_step('own')\nclass Own(Step):\n"
        "    def run(self):\n        return {'said': 'it works'}\n"
    )
    flows = tmp_path / "flows"
    flows.mkdir()
    (flows / "flow.yaml").write_text("version: 1\nflow: {id: f}\njobs: [{id: a, steps: [{id: s, type: own}]}]\n")
    env = {
        "PATH": os.environ["PATH"],
        "AETHERFLOW_WORK_ROOT": str(tmp_path / "work"),
        "AETHERFLOW_STATE_ROOT": str(tmp_path / "state"),
        "AETHERFLOW_PLUGIN_PATHS": str(plugins),
    }

    def command(*arguments: str) -> str:
        # the copy's folder takes the place of the installed package's in the namespace
        program = (
            "import sys; import aetherflow\n"
            f"aetherflow.__path__ = [{str(copy.parent)!r}]\n"
            "from aetherflow.core.cli import main\n"
            "code = main(sys.argv[1:])\n"
            f"assert sys.modules['aetherflow.core'].__file__.startswith({str(copy)!r})\n"
            "assert 'aetherflow.core.builtins' not in sys.modules\nsys.exit(code)\n"
        )
        argv = [sys.executable, "-c", program, *arguments]
        done = subprocess.run(argv, cwd=flows, env=env, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout

    assert command("validate", "flow.yaml") == "OK: flow.yaml\n"
    assert "SUCCESS" in command("run", "flow.yaml")
    assert "own.py:Own" in command("plugins", "list", "--wide")
    assert "own.py:Own" in command("plugins", "show", "own")
