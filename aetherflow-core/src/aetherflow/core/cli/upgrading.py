"""`aetherflow doctor --upgrade-from VERSION`: what documents mean otherwise than in an older version."""

from collections.abc import Sequence
from pathlib import Path

import typer

from aetherflow.core.base.errors import UsageError
from aetherflow.core.base.typed import typed_here
from aetherflow.core.checks.changes import changes_since
from aetherflow.core.checks.documents import documents_in, is_folder
from aetherflow.core.checks.kinds import Environment
from aetherflow.core.checks.upgrade import UPGRADE_SCHEMA, compare, known_version
from aetherflow.core.console.streams import print_json


def show_differences(paths: Sequence[Path], version: str, *, config: Path | None, as_json: bool) -> int:
    """Print the differences of documents, and of those in folders; returns the exit code. Raises UsageError."""
    known_version(version)
    environment = Environment(config)
    documents = [each for path in paths for each in _documents(path, environment)]
    if not documents:
        raise UsageError("there is no document of a known kind", fix="name a file, or a folder that holds one")
    compared = [compare(path, environment, version) for path in documents]
    count, broken = sum(len(each.found) for each in compared), [each for each in compared if each.errors]
    if as_json:
        shown = [
            {
                "path": each.path,
                "kind": each.kind,
                "errors": each.errors,
                "differences": [it.as_json() for it in each.found],
            }
            for each in compared
        ]
        head = {"schema": UPGRADE_SCHEMA, "upgrade_from": version, "ok": not count and not broken}
        changes = [each.as_json() for each in changes_since(version)]
        print_json({**head, "documents": shown, "changes": changes})
    else:
        for each in compared:
            for found in each.found:
                typer.echo(found.as_text(version))
        for each in broken:
            errors = f"{each.errors} error{'s' * (each.errors != 1)}"
            typer.echo(f"{each.path} has {errors}; see: {typed_here('validate', each.path)}")
        counted = f"{len(compared)} document{'s' * (len(compared) != 1)}"
        typer.echo(f"{count or 'no'} difference{'s' * (count != 1)} from {version} in {counted}")
        for change in changes_since(version):
            typer.echo(f"for all: {change.now}\n  do: {change.write}")
    return 2 if broken else 1 if count else 0


def _documents(path: Path, environment: Environment) -> list[Path]:
    return list(documents_in(path, environment)) if is_folder(path) else [path]
