"""`aetherflow plugins new`: what it refuses, and that what it writes is what it says."""

import ast
import tomllib
from typing import TYPE_CHECKING

import pytest
import yaml

if TYPE_CHECKING:
    from core_project import Project


def test_it_writes_a_distribution(project: "Project") -> None:
    result = project.cli("plugins", "new", "acme-files", "--directory", "plugins")
    assert (result.code, result.err) == (0, "")
    folder = project.folder / "plugins" / "acme-files"
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    assert [f"wrote plugins/acme-files/{name}" for name in files] == sorted(result.out.splitlines()[:-1])
    assert "next: cd plugins/acme-files" in result.out
    texts = {name: (folder / name).read_text() for name in files}
    assert [name for name, text in texts.items() if "@@" in text or "acme-acme" in text] == []
    for name, text in texts.items():
        if name.endswith(".py"):
            ast.parse(text)
    document = tomllib.loads(texts["pyproject.toml"])["project"]
    assert document["dependencies"] == ["aetherflow-core>=1.1,<2"]
    assert document["entry-points"] == {
        "aetherflow.connectors": {"acme_files.folder": "acme_files.connector:Folder"},
        "aetherflow.steps": {"acme_files_fetch": "acme_files.step:Fetch"},
    }
    assert {"src/acme_files/py.typed", "README.md", ".github/workflows/ci.yml", "tests/test_step.py"} <= set(files)
    assert yaml.safe_load(texts[".github/workflows/ci.yml"])["jobs"]["test"]["steps"]


@pytest.mark.parametrize(
    ("name", "reason", "fix"),
    [
        ("Acme_Files", "is no name for a distribution", "name it acme-files"),
        ("acme--files", "is no name for a distribution", "name it acme-files"),
        ("../acme", "is no name for a distribution", "name it acme"),
        ("9", "is no name for a distribution", "name it like acme-files"),
        ("json", "a module of Python itself", "name it acme-json"),
        ("class", "a word of the language", "name it acme-class"),
        ("aetherflow-more", "is taken", "name it acme-aetherflow-more"),
    ],
)
def test_a_bad_name_is_explained(project: "Project", name: str, reason: str, fix: str) -> None:
    result = project.cli("plugins", "new", name)
    assert (result.code, result.out) == (2, "")
    assert reason in result.err
    assert fix in result.err
    assert list(project.folder.iterdir()) == []


def test_nothing_is_overwritten(project: "Project") -> None:
    (project.folder / "acme").mkdir()
    (project.folder / "acme" / "mine").write_text("x")
    (project.folder / "other").write_text("x")
    for name, reason in (("acme", "is not empty"), ("other", "is not a folder")):
        result = project.cli("plugins", "new", name)
        assert (result.code, reason in result.err) == (2, True), result
    assert [path.name for path in (project.folder / "acme").iterdir()] == ["mine"]
