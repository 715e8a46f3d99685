import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated

import typer

TEMPLATES = Path(__file__).parent / "plugin_template"
SHARED = {
    "pyproject.toml": "pyproject.toml",
    "README.md": "README.md",
    ".gitignore": "gitignore",
    ".github/workflows/ci.yml": "ci.yml",
    "src/@@MODULE@@/__init__.py": "init.py",
    "src/@@MODULE@@/py.typed": "",
    "tests/conftest.py": "conftest.py",
}
"""File of the new distribution to its template; an empty name means an empty file."""
CORE = "aetherflow-core>=1.1,<2"
BUILTINS = "aetherflow-builtins-"
TOOLS = ("mypy>=1.18", "pytest>=8.4")
"""What the tests of every kind need."""


@dataclass(frozen=True, slots=True)
class Scaffold:
    """A kind of plugin; `entry` and `change` hold words of templates."""

    what: str
    """What the distribution brings, for its description and README."""
    group: str
    """The entry-point group, without `aetherflow.`."""
    entry: str
    """The entry point's name, as TOML has it."""
    target: str
    """Its value, without the package: `module:Class`, or the module alone."""
    suite: str
    """Who says what it has to keep, for the README."""
    change: str
    """What its author writes, for the README."""
    trial: str
    """The command that shows it at work, for the README."""
    validate: str
    """The command that validates what `trial` runs, for CI."""
    requires: tuple[str, ...] = ()
    """What it needs beside aetherflow-core."""
    tests: tuple[str, ...] = ()
    """What its tests need beside TOOLS: the built-in steps that the suite runs."""
    files: tuple[str, ...] = ("flow.yaml",)
    """Further files, with their templates of the same name."""

    @property
    def extras(self) -> list[str]:
        """The extras of aetherflow-core that bring `tests`."""
        return [each.partition(">")[0].removeprefix(BUILTINS) for each in self.tests]

    @property
    def module(self) -> str:
        """The module that holds the class."""
        return self.target.partition(":")[0]


@cache
def scaffolds() -> dict[str, Scaffold]:
    """Each kind of plugin by the name that `--kind` takes."""
    found = tomllib.loads((TEMPLATES / "kinds.toml").read_text(encoding="utf-8"))
    return {kind: Scaffold(**facts) for kind, facts in found.items()}


def kinds_help() -> str:
    """The text of the option `--kind`, with all kinds."""
    kinds = "; ".join(f"{kind}: {own.what[0].lower()}{own.what[1:]}" for kind, own in scaffolds().items())
    return f"What it brings. {kinds}."


def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the distribution.", show_default=False)],
    kind: Annotated[str, typer.Option("--kind", metavar="KIND", help=kinds_help())] = "remote",
    directory: Annotated[
        Path, typer.Option("--directory", metavar="DIR", help="Where to create its folder NAME.", show_default="here")
    ] = Path(),
) -> None:
    """Write a distribution with one plugin over a small real thing, its tests with the suite, a flow and a CI file.

    It can be installed, tested and published unchanged; its README tells what to change first.

    Example: aetherflow plugins new acme-ftp --kind remote
    """
    import shlex

    from aetherflow.core.base import durable
    from aetherflow.core.base.errors import UsageError
    from aetherflow.core.host.installing import install_command, installed_version

    if kind not in scaffolds():
        raise UsageError(f"{kind!r} is no kind of plugin", fix=f"choose one of {', '.join(scaffolds())}")
    words = words_of(name, kind)
    folder = directory / name
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is not a folder", fix="choose another name or --directory")
    if folder.is_dir() and any(folder.iterdir()):
        raise UsageError(f"{folder} is not empty; nothing is overwritten", fix="choose another name or --directory")
    for target, template in files_of(kind).items():
        text = (TEMPLATES / f"{template}.tmpl").read_text(encoding="utf-8") if template else ""
        path = folder / filled(target, words)
        durable.make_dir(path.parent, mode=durable.SOURCE_FOLDER_MODE)
        durable.write_bytes(path, filled(text, words).encode(), mode=durable.SOURCE_FILE_MODE)
        typer.echo(f"wrote {path}")
    needs = {"develop": "hatchling", **{extra: f"{BUILTINS}{extra}" for extra in scaffolds()[kind].extras}}
    if missing := [extra for extra, distribution in needs.items() if installed_version(distribution) is None]:
        typer.echo(f"first: {install_command(*missing)}")
    install = "pip install --no-index --no-build-isolation -e '.[test]'"
    typer.echo(f"next: cd {shlex.quote(str(folder))} && {install} && pytest")


def files_of(kind: str) -> dict[str, str]:
    """The files of a distribution of this kind, each with its template."""
    own = scaffolds()[kind]
    files = {
        f"src/@@MODULE@@/{own.module}.py": f"{own.module}.py",
        f"tests/test_{own.module}.py": f"test_{own.module}.py",
    }
    files |= {name: Path(name).name for name in own.files}
    return SHARED | {target: f"{kind}/{template}" for target, template in files.items()}


def words_of(name: str, kind: str) -> dict[str, str]:
    """What the words `@@WORD@@` of the templates stand for; UsageError for an unsuitable name."""
    own, module = scaffolds()[kind], module_name(name)
    words = {"NAME": name, "MODULE": module, "WHAT": own.what, "GROUP": own.group}
    words |= {
        "SUITE": own.suite,
        "TRIAL": own.trial,
        "FILE": own.module,
        "TARGET": own.target,
        "VALIDATE": own.validate,
    }
    words |= {"ENTRY": filled(own.entry, words), "CHANGE": filled(own.change, words)}
    words["REQUIRES"] = ", ".join(f'"{each}"' for each in (CORE, *own.requires))
    words["EXTRAS"] = "".join(f" {extra}" for extra in own.extras)
    words["TESTS"] = ", ".join(f'"{each}"' for each in (*own.tests, *TOOLS))
    return words


def filled(text: str, words: dict[str, str]) -> str:
    """The text with every `@@WORD@@` replaced."""
    for word, meaning in words.items():
        text = text.replace(f"@@{word}@@", meaning)
    return text


def module_name(name: str) -> str:
    """The module name for a distribution name; UsageError, with the reason, for an unsuitable name."""
    import re
    import sys
    from keyword import iskeyword

    from aetherflow.core.base.errors import UsageError

    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name):
        suggestion = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-0123456789")
        fix = f"name it {suggestion}" if suggestion else "name it like acme-files"
        rule = "lower-case letters, digits and single '-', a letter first"
        raise UsageError(f"{name!r} is no name for a distribution: {rule}", fix=fix)
    module = name.replace("-", "_")
    if module.startswith("aetherflow") or module in {"test", "tests"}:
        raise UsageError(f"the name {name} is taken: it would hide something that exists", fix=f"name it acme-{name}")
    if module in sys.stdlib_module_names or iskeyword(module):
        what = "a word of the language" if iskeyword(module) else "a module of Python itself"
        raise UsageError(f"{name} cannot be imported under its name: {module} is {what}", fix=f"name it acme-{name}")
    return module
