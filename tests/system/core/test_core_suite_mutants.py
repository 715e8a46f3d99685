"""The suites of the five kinds catch connectors that break one promise each; a sound one passes."""

import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from aetherflow.core.api import register_connector
from aetherflow.core.host import catalog
from mutant_suites import suite_of
from torture_tier import full

SOUND = {"sql": ("Lite",), "packets": ("Post", "Packer", "Vault"), "http": ("Api",), "files": ("Folder",)}
NOT_IN_PROCESS = "test_the_driver_is_imported_when_it_connects"


class Failures:
    """The tests that fail in a session of pytest, by their class."""

    def __init__(self) -> None:
        self.tests: dict[str, list[str]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        _, name, test = report.nodeid.split("::", 2)
        failed = self.tests.setdefault(name.removeprefix("Test"), [])
        if report.failed:
            failed.append(test)


def run(folder: Path, module: ModuleType, selected: list[str], *options: str) -> dict[str, list[str]]:
    """Run suites in a session of pytest in this process; `selected` are `TestCLASS` or `TestCLASS::test`."""
    names = sorted({each.partition("::")[0].removeprefix("Test") for each in selected})
    lines = [f"Test{name} = suite_of(module, module.{name})" for name in names]
    file = folder / "test_mutants.py"
    file.write_text(
        "\n".join([f"import {module.__name__} as module", "from mutant_suites import suite_of", *lines]) + "\n"
    )
    (folder / "pytest.ini").write_text("[pytest]\n")
    found = Failures()
    common = ["-q", "-p", "no:cacheprovider", "--noconftest", "--import-mode=importlib", f"--rootdir={folder}",
              "-c", str(folder / "pytest.ini"), f"--basetemp={folder / 'tmp'}"]  # fmt: skip
    pytest.main([*common, *options, *(f"{file}::{each}" for each in selected)], plugins=[found])
    sys.modules.pop(file.stem, None)
    return found.tests


@pytest.fixture(params=SOUND)
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The connectors of a kind are known, and no plugin of the session is used in its own."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setattr(catalog, "_registered", {group: dict(known) for group, known in catalog._registered.items()})
    module = importlib.import_module(f"mutants_{request.param}")
    for cls in (*module.CAUGHT_BY, *(getattr(module, name) for name in SOUND[request.param])):
        register_connector(*suite_of(module, cls).name.split("."))(cls)
    return str(request.param)


def test_every_mutant_is_caught(kind: str, tmp_path: Path) -> None:
    module: Any = importlib.import_module(f"mutants_{kind}")
    known = {cls.__name__: test for cls, test in module.CAUGHT_BY.items()}
    failed = run(tmp_path, module, [f"Test{name}::{test}" for name, test in known.items()])
    assert {name: failed.get(name) for name in known} == {name: [test] for name, test in known.items()}


def test_what_catches_them_passes_for_a_sound_connector(kind: str, tmp_path: Path) -> None:
    module: Any = importlib.import_module(f"mutants_{kind}")
    tests = {test.partition("[")[0] for test in module.CAUGHT_BY.values()}
    wanted = f"not {NOT_IN_PROCESS}" if full() else " or ".join(sorted(tests))
    found = run(tmp_path, module, [f"Test{name}" for name in SOUND[kind]], "-k", wanted)
    assert found == {name: [] for name in SOUND[kind]}


def test_there_are_enough_of_them() -> None:
    number = sum(len(importlib.import_module(f"mutants_{kind}").CAUGHT_BY) for kind in SOUND)
    assert number >= 90
