"""The kind of document `scheduler` in `aetherflow validate` and `schema`: found by metadata, imported when needed."""

import subprocess
import sys
from pathlib import Path

import pytest
from scheduler_kind import FLOW, GOOD

import warm

SPY = """
import sys
from aetherflow.core.cli import main
code = main(sys.argv[1:])
print([name for name in sys.modules if "scheduler" in name or "cron" in name or name.endswith("checks.foreign")])
sys.exit(code)
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "flow.yaml").write_text(FLOW)
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "imported"),
    [
        (["validate", "flow.yaml"], False),
        (["schema", "profiles"], False),
        (["plugins", "list"], False),
        (["validate", "scheduler.yaml"], True),
    ],
)
def test_the_core_imports_it_only_for_a_file_that_may_be_one(
    arguments: list[str], imported: bool, folder: Path
) -> None:
    (folder / "scheduler.yaml").write_text(GOOD)
    done = subprocess.run([sys.executable, "-c", SPY, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert ("scheduler.document.kind" in done.stdout.splitlines()[-1]) is imported
    assert imported or done.stdout.splitlines()[-1] == "[]"


ENTRY = "[aetherflow.documents]\n{name} = other:Kind\n"
OTHER = """
from aetherflow.core.api import DocumentKind, Problem
from pydantic import BaseModel
print("imported")
class Thing(BaseModel):
    colour: str
class Kind(DocumentKind):
    title = "Other"
    def recognises(self, data):
        return isinstance(data, dict) and "colour" in data
    def check(self, path, *, config, run_hooks):
        return []
    def model(self):
        return Thing
"""


def other(folder: Path, name: str, module: str = OTHER) -> dict[str, str]:
    """Install a distribution with a kind of document; the environment that has it."""
    info = folder / "site/acme-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRY.format(name=name))
    (folder / "site/other.py").write_text(module)
    return {"PYTHONPATH": str(folder / "site"), "HOME": str(folder), "PATH": "/usr/bin:/bin"}


def run(env: dict[str, str], *arguments: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "aetherflow.core", *arguments]
    done = warm.run(command, capture_output=True, text=True, check=False, env=env)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout + done.stderr


def test_the_door_is_open_to_others(folder: Path) -> None:
    env = other(folder, "thing")
    (folder / "red.yaml").write_text("colour: red\n")
    assert run(env, "validate", "red.yaml") == (0, "imported\nOK: red.yaml\n")
    assert run(env, "validate", "flow.yaml") == (0, "OK: flow.yaml\n")
    assert '"colour"' in run(env, "schema", "thing")[1]


def test_two_distributions_of_one_kind_are_a_conflict(folder: Path) -> None:
    env = other(folder, "scheduler")
    (folder / "scheduler.yaml").write_text(GOOD)
    code, text = run(env, "validate", "scheduler.yaml")
    assert code == 2
    assert "AF2103 2 installed distributions provide kind of document 'scheduler': acme 1.0" in text
    (folder / "aetherflow.yaml").write_text("plugins: {prefer: {documents.scheduler: aetherflow-scheduler}}\n")
    assert run(env, "validate", "scheduler.yaml") == (0, "OK: scheduler.yaml\n")


def test_enterprise_mode_imports_no_stranger(folder: Path) -> None:
    env = other(folder, "thing") | {"AETHERFLOW_MODE": "enterprise"}
    (folder / "red.yaml").write_text("colour: red\n")
    (folder / "a.thing.yaml").write_text("colour: red\n")
    (folder / "scheduler.yaml").write_text(GOOD)
    assert run(env, "validate", "scheduler.yaml")[0] == 0
    code, text = run(env, "validate", "a.thing.yaml", "red.yaml")
    assert code == 2
    assert "imported" not in text
    assert "AF2104 kind of document 'thing' of acme 1.0 is not allowed in enterprise mode" in text


@pytest.mark.parametrize(
    ("module", "message"),
    [
        ("raise ValueError(5)", "cannot be loaded from other:Kind: ValueError: 5"),
        ("Kind = 5", "is not a subclass of DocumentKind"),
    ],
)
def test_a_kind_that_cannot_be_loaded(module: str, message: str, folder: Path) -> None:
    env = other(folder, "thing", module)
    (folder / "a.thing.yaml").write_text("colour: red\n")
    code, text = run(env, "validate", "a.thing.yaml")
    assert code == 2
    assert "AF2102" in text
    assert message in text
    (folder / "red.yaml").write_text("colour: red\n")  # not named, so not blamed
    assert message not in run(env, "validate", "red.yaml")[1]
