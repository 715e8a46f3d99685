"""`aetherflow validate`."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from aetherflow.core.cli.arguments import ConfigOption


class DocumentKind(StrEnum):
    """Kinds of documents."""

    flow = "flow"
    profiles = "profiles"
    project = "project"
    env_files = "env-files"


class Format(StrEnum):
    """Forms of the report."""

    text = "text"
    json = "json"
    github = "github"
    junit = "junit"


def validate(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="PATH", readable=False, help="Documents, or folders of them.", show_default=False),
    ] = None,
    flow_yaml: Annotated[
        Path | None, typer.Option("--flow-yaml", readable=False, help="Flow file, instead of the argument.")
    ] = None,
    kind: Annotated[DocumentKind | None, typer.Option("--kind", help="Kind of the documents; else recognised.")] = None,
    config: ConfigOption = None,
    run_hooks: Annotated[
        bool, typer.Option("--run-hooks", help="Also run hooks and load plugins that stand beside the flow.")
    ] = False,
    form: Annotated[Format, typer.Option("--format", help="Form of the report.")] = Format.text,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
) -> None:
    """Check documents without running anything: every mistake, at its line, with its fix.

    Documents are flows, profiles, project files (aetherflow.yaml) and lists of env files, told apart by name and
    content; of a folder all that it holds. Prints OK or INVALID per file; exit code 2 if one is invalid. No driver is
    imported, no server contacted.

    Example: aetherflow validate flow.yaml
    """
    from aetherflow.core.checks.kinds import Environment, check_document, documents_in, is_folder, no_documents
    from aetherflow.core.cli.arguments import flow_paths
    from aetherflow.core.cli.reports import FORMATS

    named = flow_paths(paths, flow_yaml)
    environment = Environment(config, run_hooks=run_hooks)
    wanted = kind.value if kind is not None else None
    checked = []
    folders = False
    for path in named:
        if is_folder(path):
            found = list(documents_in(path, wanted))
            folders = folders or bool(found)
            checked += [check_document(each, environment, wanted) for each in found] or [no_documents(path)]
        else:
            checked.append(check_document(path, environment, wanted))
    single = len(checked) == 1 and not folders
    typer.echo(FORMATS["json" if as_json else form.value](checked, single))
    raise typer.Exit(0 if all(item.ok for item in checked) else 2)
