"""The walls of the house: the shared namespace, short modules."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
MODULES = sorted(ROOT.glob("aetherflow-*/src/**/*.py"))


def test_nobody_owns_the_namespace() -> None:
    assert [str(path) for path in ROOT.glob("aetherflow-*/src/aetherflow/__init__.py")] == []


def test_no_top_level_folder_shadows_the_namespace() -> None:
    # Python would take it for a part of the namespace whenever the repository is the working directory.
    assert not (ROOT / "aetherflow").exists()


def test_tests_are_no_packages() -> None:
    # importlib mode needs none, and with one mypy finds a module under two names.
    assert [str(path) for path in (ROOT / "tests").rglob("__init__.py")] == []


def test_modules_are_short() -> None:
    sizes = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in MODULES}
    assert {name: size for name, size in sizes.items() if size > 350} == {}, "does it still do one job?"


# Written so that this file does not contain what they look for.
REGISTRY = re.compile(r"(pypi|pythonhosted|npmjs|anaconda)\.(org|com)")
MACHINE = re.compile(r"(?<![\w.~$})-])/(?:work|root)/")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("see https://" + "pypi" + ".org/project/x", True),
        ("cd /" + "work/main", True),
        ('"/' + 'root/.venv/bin"', True),
        ("$(CURDIR)/.demo/work/state", False),
        ("$root/work/flow", False),
        ("{home}/" + "work/x", False),
    ],
)
def test_the_patterns_find_what_they_should(text: str, found: bool) -> None:
    assert bool(REGISTRY.search(text) or MACHINE.search(text)) is found
