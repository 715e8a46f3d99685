"""`plugins show` and `plugins docs`: what plugins of every group say of themselves."""

import json
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import wheels
import yaml
from jsonschema_rs import Draft202012Validator

from aetherflow.core.console.plugin_pages import page_of
from aetherflow.core.host.catalog import Catalog
from aetherflow.core.host.describe import described
from aetherflow.core.host.docstrings import split_example
from aetherflow.core.host.metadata import installed_in

if TYPE_CHECKING:
    from core_project import Project

EXAMPLES = Path(__file__).parents[4] / "docs/examples"
STRANGERS = sorted((EXAMPLES / "plugins").iterdir())
POINTS = """\
[aetherflow.steps]
acme.put = acme_all.all:Put
[aetherflow.connectors]
acme.shelf = acme_all.all:Shelf
[aetherflow.bundle_sources]
acme = acme_all.all:Source
[aetherflow.hooks]
hook:aetherflow_run_started = acme_all.all:Audit
hook:aetherflow_run_finished = acme_all.all:Audit
plain = acme_all.plain
[aetherflow.commands]
acme_tidy = acme_all.all:tidy
[aetherflow.launchers]
acme = acme_all.all:Put
[aetherflow.documents]
acme = acme_all.all:Kind
[aetherflow.hints]
connectors.acme.shelf = eyes
"""
ALL = '''
import typer
from pydantic import BaseModel, Field
from aetherflow.core.api import (
    BundleSource, BundleSourceConfig, ConnectorBase, ConnectorConfig, ConnectorOptions, DocumentKind, Step, StepInputs,
    hookimpl,
)

class Inputs(StepInputs):
    how: str = Field("a|b", description="One of a | b.")

class Put(Step[Inputs]):
    """Puts things.

    - id: put
      type: acme.put

    What is there is kept.
    """
    def run(self): return {}

class Config(ConnectorConfig):
    root: str = Field(description="The folder.")

class Shelf(ConnectorBase[Config, ConnectorOptions]):
    """A shelf.

    Example:
        resources:
          r: {kind: acme, driver: shelf, config: {root: x}}

    Things lie on it.
    """
    requires = ("cv2",)

class SourceConfig(BundleSourceConfig):
    place: str = Field(description="Where.")

class Source(BundleSource[SourceConfig]):
    """Nothing at all."""
    resource_kind = "acme"
    def list(self): return iter(())
    def fetch(self, rel_path, target): pass

class AuditSettings(BaseModel):
    url: str = Field(description="Where the audit is.")
    keep: int = Field(7, description="Days.")

class Audit:
    """Writes an audit."""
    Settings = AuditSettings
    @hookimpl
    def aetherflow_run_started(self, run): pass
    @hookimpl
    def aetherflow_run_finished(self, run): pass

tidy = typer.Typer(help="Tidies shelves.", add_completion=False)

@tidy.command()
def up(folder: str, deep: bool = typer.Option(False, "--deep", help="All the way.")) -> None:
    """Tidies one up."""

@tidy.command()
def down() -> None:
    """Takes one down."""

class Kind(DocumentKind):
    """Documents of shelves."""
    title = "Shelves"
    def recognises(self, data): return False
    def check(self, path, *, config, run_hooks): return ()
    def model(self): return BaseModel
'''
PLAIN = '''
"""Hooks in a module."""
from aetherflow.core.api import hookimpl

@hookimpl
def aetherflow_run_finished(run): pass

@hookimpl(specname="aetherflow_run_started")
def begin(run): pass

def helper(run): pass
'''


@pytest.fixture
def acme(project: "Project", monkeypatch: pytest.MonkeyPatch) -> Iterator["Project"]:
    """A distribution with plugins of every group."""
    project.site.mkdir()
    monkeypatch.syspath_prepend(project.site)
    wheels.install(project.site, "acme-all", POINTS, {"acme_all/all.py": ALL, "acme_all/plain.py": PLAIN})
    wheels.forget()
    yield project
    forget_modules()


def forget_modules() -> None:
    for name in [name for name in sys.modules if name.partition(".")[0].startswith("acme_")]:
        del sys.modules[name]
    wheels.forget()


# YAML in docstrings


@pytest.mark.parametrize(
    ("docstring", "text", "example"),
    [
        ("Does.\n\n- id: a\n  type: x\n", "Does.", "- id: a\n  type: x"),
        ("Does.\n\nExample:\n    - id: a\n\n    - id: b\n\nMore.", "Does.\n\nMore.", "- id: a\n\n- id: b"),
        ("Does.\n\n    resources:\n      r: {}\n\nMore.", "Does.\n\nMore.", "resources:\n  r: {}"),
        ("Does.\n\n```yaml\nresources: {}\n```\nMore.", "Does.\n\nMore.", "resources: {}"),
        ("Does. Examples::\n\n    a: 1", "Does.", "a: 1"),
        ("Does.\n\nresources:\n  r: {}\n\nMore.", "Does.\n\nMore.", "resources:\n  r: {}"),
        ("Does.\n\nExample:\n- id: a\n- id: b", "Does.", "- id: a\n- id: b"),
        ("Does.\n\n- id: a\n\nOr:\n\n- id: b", "Does.\n\nOr:", "- id: a\n\n- id: b"),
        ("Does:\n\n- `one`: a thing\n- two things", "Does:\n\n- `one`: a thing\n- two things", ""),
        ("Does.\n\nArgs:\n    x: a number", "Does.\n\nArgs:\n    x: a number", ""),
        ("Paths: `a:b`.\nnote: not YAML", "Paths: `a:b`.\nnote: not YAML", ""),
        ("Does.\n\n```yaml\nnot closed", "Does.\n\n```yaml\nnot closed", ""),
        ("", "", ""),
    ],
)
def test_yaml_is_taken_out_of_a_text(docstring: str, text: str, example: str) -> None:
    assert split_example(docstring) == (text, example)


def test_no_plugin_of_ours_has_yaml_left_in_its_text() -> None:
    catalog = Catalog(installed_in())
    for entry in catalog.entries:
        if entry.distribution.startswith("aetherflow-"):
            text = described(entry, catalog).text
            assert not re.search(r"^ {4}|^(- )?\w+:$|^- \w+:|```", text, re.MULTILINE), entry


# plugins show


def shown(project: "Project", name: str) -> dict[str, Any]:
    done = project.cli("plugins", "show", name, "--json")
    assert done.code == 0, done.err
    found: dict[str, Any] = json.loads(done.out)
    assert found["schema"] == 1
    return found


def test_show_hooks(acme: "Project") -> None:
    found = shown(acme, "hook:aetherflow_run_started")
    assert (found["kind"], found["hooks"]) == ("hook", ["aetherflow_run_started"])
    assert [(each["name"], each["required"], each["default"]) for each in found["settings"]] == [
        ("url", True, None),
        ("keep", False, 7),
    ]
    assert shown(acme, "aetherflow_run_started") == found
    assert shown(acme, "acme-all:hook:aetherflow_run_started") == found
    plain = shown(acme, "plain")
    assert (plain["description"], plain["hooks"]) == (
        "Hooks in a module.",
        ["aetherflow_run_finished", "aetherflow_run_started"],
    )
    text = acme.cli("plugins", "show", "hook:aetherflow_run_finished").out
    assert "Writes an audit." in text
    assert "\nhooks  aetherflow_run_finished\n" in text
    assert re.search(
        r"\nsettings:\n  name +type +default +meaning\n  url +text +required +Where the audit is\.\n", text
    )


def test_a_hook_of_several_distributions_is_named_with_one(acme: "Project") -> None:
    wheels.install(
        acme.site, "acme-more", "[aetherflow.hooks]\nplain = acme_more\n", {"acme_more.py": PLAIN.replace("begin", "b")}
    )
    wheels.forget()
    done = acme.cli("plugins", "show", "plain")
    assert done.code == 2
    assert "2 distributions have the hook 'plain'" in done.err
    assert "fix: name one of them: acme-all:plain, acme-more:plain" in done.err
    assert shown(acme, "acme-more:plain")["distribution"] == "acme-more"


def test_show_what_else_there_is(acme: "Project") -> None:
    command = shown(acme, "acme_tidy")
    assert [each["name"] for each in command["commands"]] == ["up", "down"]
    assert acme.cli("plugins", "show", "acme_tidy").code == 0
    assert shown(acme, "subprocess")["kind"] == "launcher"
    kind = shown(acme, "scheduler")
    assert (kind["kind"], kind["distribution"]) == ("kind of document", "aetherflow-scheduler")
    wrapped = acme.cli("plugins", "show", "wrap").out
    assert re.search(r"\noptions:\n  name +meaning\n(.*\n)*?  --id NAME +Name of the command", wrapped)


# plugins docs


def page(project: "Project", *arguments: str) -> str:
    done = project.cli("plugins", "docs", *arguments)
    assert (done.code, done.err) == (0, "")
    return done.out


def test_a_page_has_all_of_a_distribution(acme: "Project") -> None:
    text = page(acme, "Acme_All")
    assert text.startswith(
        "# acme-all\n\n<!-- Generated by `aetherflow plugins docs acme-all`. Do not edit by hand. -->\n"
    )
    headings = re.findall(r"^## (.*) `(.*)`$", text, re.MULTILINE)
    assert headings == [
        ("step", "acme.put"),
        ("connector", "acme:shelf"),
        ("bundle source", "acme"),
        ("hook", "hook:aetherflow_run_finished"),
        ("hook", "hook:aetherflow_run_started"),
        ("hook", "plain"),
        ("command", "acme_tidy"),
        ("kind of document", "acme"),
        ("launcher", "acme"),
    ]
    anchors = [re.sub(r"[^\w -]", "", " ".join(each)).replace(" ", "-") for each in headings]
    assert re.findall(r"\]\(#(.*?)\)", text)[: len(anchors)] == anchors
    assert '\n| `how` | text | `"a\\|b"` | One of a \\| b. |\n' in text
    assert "\nPuts things.\n\nWhat is there is kept.\n" in text
    assert "\n```yaml\n- id: put\n  type: acme.put\n```\n" in text
    assert "\nDistribution: `acme-all`. Driver: `cv2`, which the extra `eyes` of `acme-all` brings.\n" in text
    assert "\n`plugins.settings.acme-all`:\n\n| key | type | default | meaning |\n" in text
    assert "\nDistribution: `acme-all`. Implements `aetherflow_run_finished`, `aetherflow_run_started`.\n" in text
    assert "\n| command | meaning |\n| --- | --- |\n| `up` | Tidies one up. |\n" in text


def test_it_is_written_into_a_folder(acme: "Project") -> None:
    done = acme.cli("plugins", "docs", "acme-all", "--output", "new/docs")
    assert (done.code, done.out) == (0, "9 plugins described in new/docs/acme-all.md\n")
    assert (acme.folder / "new/docs/acme-all.md").read_text() == page(acme, "acme-all")


def test_what_is_not_there_is_told(acme: "Project") -> None:
    done = acme.cli("plugins", "docs", "acme-al")
    assert done.code == 2
    assert "no distribution 'acme-al' with plugins is installed" in done.err
    assert "fix: did you mean 'acme-all'?" in done.err


def test_what_is_refused_is_not_imported(acme: "Project") -> None:
    acme.write("plugins: {locked: plugins.lock}\n", "aetherflow.yaml")
    assert acme.cli("plugins", "lock").code == 0
    assert page(acme, "acme-all")
    forget_modules()
    path = acme.site / "acme_all/all.py"
    path.write_text(path.read_text() + "1 / 0\n")
    for arguments in (("docs", "acme-all"), ("show", "hook:aetherflow_run_started"), ("show", "acme_tidy")):
        done = acme.cli("plugins", *arguments)
        assert (done.code, "AF2108" in done.err) == (2, True), done.err
    assert "acme_all" not in sys.modules


# The examples of what third parties publish


@pytest.fixture
def strangers(project: "Project", monkeypatch: pytest.MonkeyPatch) -> Iterator[Catalog]:
    """The examples, installed; none of what they drive is."""
    for folder in STRANGERS:
        about = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
        assert about["name"] == folder.name
        points = "".join(
            f"[{group}]\n" + "".join(f"{name} = {target}\n" for name, target in names.items())
            for group, names in about["entry-points"].items()
        )
        files = {str(path.relative_to(folder / "src")): path.read_text() for path in (folder / "src").rglob("*.py")}
        wheels.install(project.site, folder.name, points, files)
    monkeypatch.syspath_prepend(project.site)
    wheels.forget()
    yield Catalog(installed_in())
    forget_modules()


SAID = {
    "acme-firebird": ["| `database` | text | required | A file,", "| `lock_seconds` | integer | `10` | Seconds"],
    "acme-post": ["| `token` | secret text | required | Bearer", "| `max_bytes` | integer | `10000000` | Most"],
    "acme-remote": [
        "Driver: `s3fs`, which the extra `s3` of `acme-remote` brings.",
        "| `tls` | boolean | `true` | Speak TLS, and check the certificate;",
        "| `resource` | resource of kind acme_remote | required | Name",
        "| `size` | integer | Their size in bytes. |",
    ],
    "acme-runlog": [
        "(#hook-hookaetherflow_run_started) | Entry `run_started`. |",
        "| `password_file` | path |  | Absolute path",
        "Settings: those of [`hook:aetherflow_job_finished`](#hook-hookaetherflow_job_finished).",
    ],
    "acme-signed": ["| `secret` | secret text | required | The secret that signs", "| `account` | text | required |"],
}
"""Example to what its page says."""


@pytest.mark.parametrize("name", [folder.name for folder in STRANGERS])
def test_strangers_have_a_page(strangers: Catalog, name: str) -> None:
    own = [entry for entry in strangers.entries if entry.distribution == name]
    text = page_of(name, [described(entry, strangers) for entry in own])
    headings = re.findall(r"^## (.*) `(.*)`$", text, re.MULTILINE)
    assert sorted(headings) == sorted((entry.kind, entry.shown_name) for entry in own)
    assert headings
    assert not re.search(r"\|  \|$", text, re.MULTILINE), "every field and plugin is described"
    assert [each for each in SAID[name] if each not in text] == []
    assert text.count("`plugins.settings.") == (name == "acme-runlog"), "settings stand there once"
    for example in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL):
        assert yaml.safe_load(example)


WRONG: dict[str, tuple[str, str, list[tuple[list[Any], Any]]]] = {
    "acme-firebird": (
        "flow", "flow.yaml",
        [(["resources", "shop", "config", "databse"], "x"), (["resources", "shop", "options"], {"lock_seconds": -1})],
    ),
    "acme-post": (
        "flow", "flow.yaml",
        [(["resources", "post", "driver"], "acme_pots"), (["resources", "post", "options"], {"max_bytes": 0})],
    ),
    "acme-remote": (
        "flow", "flow.yaml",
        [
            (["resources", "partner", "options"], {"tls": "perhaps"}),
            (["resources", "lake", "config", "bukcet"], "x"),
            (["jobs", 0, "steps", 0], {"id": "u", "type": "acme_remote_usage", "inputs": {"resource": "r", "deep": 1}}),
        ],
    ),
    "acme-runlog": (
        "project", "aetherflow.yaml",
        [
            (["plugins", "settings", "acme-runlog", "hots"], "x"),
            (["plugins", "settings", "acme-runlog", "finish_seconds"], 61),
        ],
    ),
    "acme-signed": (
        "flow", "flow.yaml",
        [(["resources", "api", "config", "acount"], "x"), (["resources", "api", "options"], {"timeout_seconds": 0})],
    ),
}  # fmt: skip
"""Example to a schema, a document of its own, and changes that an editor has to mark."""


@pytest.mark.usefixtures("strangers")
def test_strangers_are_in_the_schemas_of_an_editor(project: "Project") -> None:
    assert WRONG.keys() == {folder.name for folder in STRANGERS}
    validators = {}
    for kind in ("flow", "project"):
        done = project.cli("schema", kind)
        assert (done.code, done.err) == (0, "")
        validators[kind] = Draft202012Validator(json.loads(done.out))
    for stranger, (kind, name, changes) in WRONG.items():
        text = (EXAMPLES / "plugins" / stranger / name).read_text()
        assert [error.message for error in validators[kind].iter_errors(yaml.safe_load(text))] == [], stranger
        for path, value in changes:
            document = yaml.safe_load(text)
            place = document
            for key in path[:-1]:
                place = place[key]
            place[path[-1]] = value
            places = [list(error.instance_path) for error in validators[kind].iter_errors(document)]
            assert any(where[: len(path) - 1] == path[:-1] for where in places), (stranger, path, places)
