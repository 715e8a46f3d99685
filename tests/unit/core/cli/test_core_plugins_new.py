"""`aetherflow plugins new`: what it refuses, and that what it writes is what it says."""

import ast
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from aetherflow.core.cli.plugins_new import TEMPLATES, files_of, module_name, scaffolds

if TYPE_CHECKING:
    from core_project import Project

EXAMPLES = Path(__file__).parents[4] / "docs/examples/plugins"
KINDS = {
    "step": ("steps", "acme_files_select", "step:Select"),
    "remote": ("connectors", "acme_files.folder", "connector:Folder"),
    "db": ("connectors", "db.acme_files", "connector:Database"),
    "mail": ("connectors", "mail.acme_files", "connector:Mailbox"),
    "archive": ("connectors", "archive.acme_files", "connector:Archives"),
    "rest": ("connectors", "rest.acme_files", "connector:Api"),
    "hook": ("hooks", "hook:aetherflow_run_finished", "hooks:RunLines"),
    "source": ("bundle_sources", "acme_files", "source:Shelf"),
    "launcher": ("launchers", "acme_files", "launcher:Processes"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_it_writes_a_distribution(project: "Project", kind: str) -> None:
    result = project.cli("plugins", "new", "acme-files", "--kind", kind, "--directory", "plugins")
    assert (result.code, result.err) == (0, "")
    folder = project.folder / "plugins" / "acme-files"
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    assert [f"wrote plugins/acme-files/{name}" for name in files] == sorted(result.out.splitlines()[:-1])
    assert (
        result.out.splitlines()[-1]
        == "next: cd plugins/acme-files && pip install --no-index --no-build-isolation -e '.[test]' && pytest"
    )
    texts = {name: (folder / name).read_text() for name in files}
    assert [name for name, text in texts.items() if "@@" in text or "acme-acme" in text] == []
    for name, text in texts.items():
        if name.endswith(".py"):
            ast.parse(text)
    document = tomllib.loads(texts["pyproject.toml"])["project"]
    assert document["dependencies"][0] == "aetherflow-core>=1.1,<2"
    group, name, target = KINDS[kind]
    assert document["entry-points"] == {f"aetherflow.{group}": {name: f"acme_files.{target}"}}
    module = target.partition(":")[0]
    assert {"src/acme_files/py.typed", "README.md", f"tests/test_{module}.py", f"src/acme_files/{module}.py"} <= {
        *files
    }
    assert yaml.safe_load(texts[".github/workflows/ci.yml"])["jobs"]["test"]["steps"]


def test_a_connector_for_files_is_written_unless_told_otherwise(project: "Project") -> None:
    for name, kind in (("one", []), ("two", ["--kind", "remote"])):
        assert project.cli("plugins", "new", "acme", *kind, "--directory", name).code == 0
    one, two = (
        {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        for folder in (project.folder / "one", project.folder / "two")
    )
    assert one == two


def test_every_template_is_used(project: "Project") -> None:
    used = {template for kind in scaffolds() for template in files_of(kind).values() if template}
    there = {path.relative_to(TEMPLATES).as_posix() for path in TEMPLATES.rglob("*.tmpl")}
    assert {f"{template}.tmpl" for template in used} == there


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("acme-firebird", "db"),
        ("acme-post", "mail"),
        ("acme-remote", "remote"),
        ("acme-runlog", "hook"),
        ("acme-signed", "rest"),
    ],
)
def test_the_examples_began_as_what_it_writes(project: "Project", name: str, kind: str) -> None:
    """They differ from it where an author changes it: the class, its tests, its names, what it needs."""
    assert project.cli("plugins", "new", name, "--kind", kind).code == 0
    ours, theirs = project.folder / name, EXAMPLES / name
    written = {path.relative_to(ours) for path in ours.rglob("*") if path.is_file()}
    several = {path for path in written if path.stem in {"connector", "test_connector"}} if kind == "remote" else set()
    assert [path for path in sorted(written - several) if not (theirs / path).is_file()] == []
    for path in (".gitignore", ".github/workflows/ci.yml", f"src/{module_name(name)}/py.typed"):
        assert (theirs / path).read_text() == (ours / path).read_text(), path
    one, other = (tomllib.loads((folder / "pyproject.toml").read_text()) for folder in (ours, theirs))
    assert other["build-system"] == one["build-system"]
    for key in ("name", "version", "readme", "requires-python"):
        assert other["project"][key] == one["project"][key]
    assert set(one["project"]["dependencies"]) <= set(other["project"]["dependencies"])
    assert {*one["project"]["optional-dependencies"]["test"]} <= {*other["project"]["optional-dependencies"]["test"]}
    assert one["project"]["entry-points"].keys() <= other["project"]["entry-points"].keys()
    assert other["tool"]["hatch"] == one["tool"]["hatch"]
    assert one["tool"]["mypy"].items() <= other["tool"]["mypy"].items()
    settings = other["tool"]["pytest"]["ini_options"]
    kept = {**settings, "filterwarnings": settings["filterwarnings"][:1]}  # a library may need an exception
    assert kept == one["tool"]["pytest"]["ini_options"]
    readme = (theirs / "README.md").read_text()
    assert f"`aetherflow plugins new {name} --kind {kind}`" in " ".join(readme.split())
    assert "What differs from the scaffold: " in readme


def test_an_unknown_kind_is_answered_with_those_there_are(project: "Project") -> None:
    result = project.cli("plugins", "new", "acme", "--kind", "ftp")
    assert (result.code, result.out, list(project.folder.iterdir())) == (2, "", [])
    assert result.err == (
        "AF0002 'ftp' is no kind of plugin\n"
        "  fix: choose one of step, remote, db, mail, archive, rest, hook, source, launcher\n"
    )


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
