"""Code that ships with a flow runs in `run` and nowhere else: not in validate, explain or doctor, nor do drivers."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import warm
from warm import true_start

TRAP = "from pathlib import Path\nPath({mark!r}).joinpath({name!r}).touch()\n"
HOOK = "def decode(value):\n    return value\n\n\ndef expand_env(env):\n    return {**env, 'ADDED': 'x'}\n"
SHADOWS = ("yaml.py", "pluggy.py", "sqlite3.py", "duckdb.py", "sitecustomize.py", "usercustomize.py", "json.py")
"""Modules that the program uses, laid beside the flow under their names."""
COMMANDS = (("validate",), ("explain",), ("doctor",), ("doctor", "--as", "cron"), ("doctor", "--connect"))


class Bundle:
    """A folder as a bundle would be: a flow, and code of every kind beside it."""

    def __init__(self, folder: Path) -> None:
        self.marks = folder / "marks"
        self.home = folder / "bundle"
        self.marks.mkdir()
        self.home.mkdir()
        for name in (*SHADOWS, "settings.py", "secrets_hook.py", "plugin.py", "pkg/__init__.py", "pkg/hook.py"):
            self.trap(name, HOOK if "hook" in name else "SETTINGS = {}\n" if name == "settings.py" else "")
        self.trap("plugins/folder_plugin.py")
        info = self.home / "trojan-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: trojan\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(
            "[aetherflow.steps]\ntrojan = plugin:Step\n[aetherflow.connectors]\ndb.trojan = plugin:Db\n"
            "[aetherflow.hooks]\ntrojan = plugin\n[pydantic]\ntrojan = plugin:plugin\n"
        )
        (self.home / "aetherflow.yaml").write_text(json.dumps({"plugins": {"paths": ["plugins"]}}))
        (self.home / "aetherflow.yaml").chmod(0o600)
        resources = {
            "r": {"kind": "db", "driver": "duckdb", "config": {"path": "x"}, "decode": {"config": {"path": True}}},
            "t": {"kind": "db", "driver": "trojan"},
        }
        steps = [
            {"id": "s", "type": "trojan"},
            {"id": "c", "type": "check_items", "inputs": {"items": ["{{env.ADDED}}"]}},
        ]
        flow = {"version": 1, "flow": {"id": "f"}, "resources": resources, "jobs": [{"id": "a", "steps": steps}]}
        (self.home / "flow.yaml").write_text(json.dumps(flow))
        self.env = {name: value for name, value in os.environ.items() if not name.startswith("AETHERFLOW_")}
        self.env |= {"AETHERFLOW_WORK_ROOT": str(folder / "work"), "AETHERFLOW_STATE_ROOT": str(folder / "state")}
        self.env |= {"PYTHONDONTWRITEBYTECODE": "1"}

    def trap(self, name: str, more: str = "") -> None:
        """Code that leaves a mark when it is imported."""
        path = self.home / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(TRAP.format(mark=str(self.marks), name=name.replace("/", ".")) + more)

    def command(self, *arguments: str, by: Any = warm, **env: str) -> str:
        """Run the command inside of the bundle; its output, both streams."""
        program = str(Path(sys.executable).with_name("aetherflow"))
        done = by.run(
            [program, *arguments],
            cwd=self.home,
            env={**self.env, **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert "Traceback" not in done.stdout
        assert "AF0001" not in done.stdout
        return str(done.stdout)

    def sprung(self) -> list[str]:
        """What was imported."""
        return sorted(path.name for path in self.marks.iterdir())


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    """A bundle full of traps."""
    return Bundle(tmp_path)


def test_nothing_beside_the_flow_is_run(bundle: Bundle) -> None:
    start = true_start("not even the start of an interpreter may import what lies beside a flow")
    for command in COMMANDS:
        for form in ((), ("--json",)):
            bundle.command(*command, "flow.yaml", *form, by=start)
    assert bundle.sprung() == []


@pytest.mark.parametrize(
    ("env", "what"),
    [
        ({"AETHERFLOW_SECRETS_PATH": "secrets_hook.py"}, "secrets hook secrets_hook.py"),
        ({"AETHERFLOW_SECRETS_MODULE": "secrets_hook"}, "secrets hook secrets_hook"),
        ({"AETHERFLOW_SECRETS_MODULE": "pkg.hook"}, "secrets hook pkg.hook"),
        ({"AETHERFLOW_SETTINGS_MODULE": "settings"}, "settings module settings"),
        ({"AETHERFLOW_PLUGIN_PATHS": "plugins"}, "plugin path"),
    ],
)
def test_hooks_and_settings_beside_the_flow_are_named_and_not_run(
    bundle: Bundle, tmp_path: Path, env: dict[str, str], what: str
) -> None:
    # even where the caller's own path leads into the folder; the names of ours are another matter there
    for name in SHADOWS:
        (bundle.home / name).unlink()
    (bundle.home / "trojan-1.0.dist-info/entry_points.txt").unlink()
    for command in COMMANDS:
        said = bundle.command(*command, "flow.yaml", PYTHONPATH=str(bundle.home), **env)
        assert what in said, command
        assert "ot evaluated" in said, command
    assert bundle.sprung() == []
    bundle.command("validate", "--run-hooks", "flow.yaml", PYTHONPATH=str(bundle.home), **env)
    assert bundle.sprung() != []


def test_a_module_that_cannot_be_reached_is_an_error(bundle: Bundle) -> None:
    said = bundle.command("validate", "flow.yaml", AETHERFLOW_SECRETS_MODULE="secrets_hook")
    assert "AF1701" in said
    assert bundle.sprung() == []


def test_the_module_form_of_the_command_reads_nothing_beside_the_flow(bundle: Bundle) -> None:
    for name in SHADOWS:
        (bundle.home / name).unlink()  # Python itself puts the folder first until the program starts
    for command in ("validate", "doctor", "explain"):
        argv = [sys.executable, "-m", "aetherflow.core", command, "flow.yaml"]
        env = {**bundle.env, "AETHERFLOW_SECRETS_MODULE": "secrets_hook"}
        done = warm.run(argv, cwd=bundle.home, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 2, done.stderr
        assert "AF1701" in done.stdout + done.stderr
    assert bundle.sprung() == []


def test_an_installed_module_is_run_wherever_its_environment_stands(bundle: Bundle, tmp_path: Path) -> None:
    flow = tmp_path / "flow.yaml"
    flow.write_text("version: 1\nflow: {id: f}\njobs: []\n")
    site = tmp_path / "elsewhere"
    site.mkdir()
    (site / "own_hook.py").write_text(TRAP.format(mark=str(bundle.marks), name="own_hook") + HOOK)
    flows = tmp_path / "flows"
    flows.mkdir()
    flow.rename(flows / "flow.yaml")
    env = {"PYTHONPATH": str(site), "AETHERFLOW_SECRETS_MODULE": "own_hook"}
    assert "OK" in bundle.command("validate", str(flows / "flow.yaml"), **env)
    assert bundle.sprung() == ["own_hook"]


def test_no_driver_is_imported(bundle: Bundle) -> None:
    script = (
        "import sys\nfrom aetherflow.core.cli import main\n"
        "code = main(sys.argv[1:])\nprint(sorted({'duckdb', 'pyarrow'} & sys.modules.keys()), file=sys.stderr)\n"
    )
    for command in ("validate", "explain", "doctor"):
        argv = [sys.executable, "-P", "-c", script, command, str(bundle.home / "flow.yaml")]
        done = subprocess.run(argv, env=bundle.env, capture_output=True, text=True, check=False)
        assert done.stderr.endswith("[]\n"), done.stderr
