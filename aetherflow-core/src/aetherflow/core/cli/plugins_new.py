from pathlib import Path
from typing import Annotated

import typer

TEMPLATES = Path(__file__).parent / "plugin_template"
FILES = {
    "pyproject.toml": "pyproject.toml",
    "README.md": "README.md",
    ".gitignore": "gitignore",
    ".github/workflows/ci.yml": "ci.yml",
    "flow.yaml": "flow.yaml",
    "src/@@MODULE@@/__init__.py": "init.py",
    "src/@@MODULE@@/py.typed": "",
    "src/@@MODULE@@/connector.py": "connector.py",
    "src/@@MODULE@@/step.py": "step.py",
    "tests/conftest.py": "conftest.py",
    "tests/test_connector.py": "test_connector.py",
    "tests/test_step.py": "test_step.py",
}
"""File of the new distribution to its template; an empty name means an empty file."""


def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the distribution.", show_default=False)],
    directory: Annotated[
        Path, typer.Option("--directory", metavar="DIR", help="Where to create its folder NAME.", show_default="here")
    ] = Path(),
) -> None:
    """Write a distribution with a connector and a step, their tests with the suites, and a CI file.

    It can be installed, tested and published unchanged; its README tells what to change first.

    Example: aetherflow plugins new acme-files
    """
    import shlex

    from aetherflow.core.base import durable
    from aetherflow.core.base.errors import UsageError

    module = module_name(name)
    folder = directory / name
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is not a folder", fix="choose another name or --directory")
    if folder.is_dir() and any(folder.iterdir()):
        raise UsageError(f"{folder} is not empty; nothing is overwritten", fix="choose another name or --directory")
    for target, template in FILES.items():
        text = (TEMPLATES / f"{template}.tmpl").read_text(encoding="utf-8") if template else ""
        path = folder / target.replace("@@MODULE@@", module)
        durable.make_dir(path.parent, mode=durable.SOURCE_FOLDER_MODE)
        filled = text.replace("@@NAME@@", name).replace("@@MODULE@@", module)
        durable.write_bytes(path, filled.encode(), mode=durable.SOURCE_FILE_MODE)
        typer.echo(f"wrote {path}")
    typer.echo(f"next: cd {shlex.quote(str(folder))} && pip install -e '.[test]' && pytest")


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
