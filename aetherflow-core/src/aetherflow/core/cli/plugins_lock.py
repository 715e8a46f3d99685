from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aetherflow.core.cli.arguments import ConfigOption

if TYPE_CHECKING:
    from aetherflow.core.host.rules import Rules
    from aetherflow.core.runtime.environment.project import Project

OutputOption = Annotated[
    Path | None,
    typer.Option("--output", metavar="FILE", readable=False, help="Where to write it, in place of `plugins.locked`."),
]


def lock(output: OutputOption = None, config: ConfigOption = None) -> None:
    """Write down the installed plugins: version and hash of each distribution. Nothing of them is imported.

    With `plugins: {locked: FILE}` in the project file, only what is as the lock says is loaded. The file is that of
    `plugins.locked`, else plugins.lock beside the project file, else plugins.lock here. In enterprise mode only allowed
    distributions are written.

    Example: aetherflow plugins lock
    """
    from aetherflow.core.base import durable
    from aetherflow.core.host.locked import LOCK_FILE, lock_of, lock_text
    from aetherflow.core.host.metadata import installed_in, legacy_plugins
    from aetherflow.core.runtime.environment.lock_files import lock_path

    project, rules = _here(config)
    named = lock_path(project)
    path = output or named or (project.folder or Path.cwd()) / LOCK_FILE
    found = lock_of(entry for entry in (*installed_in(), *legacy_plugins()) if rules.allows(entry))
    durable.write_bytes(path, lock_text(found).encode(), mode=durable.SOURCE_FILE_MODE)
    for name, each in found.items():
        if each.hash.startswith("files:"):
            typer.echo(f"{name} {each.version}: not as pip installed it, locked by its files")
    typer.echo(f"{len(found)} distributions locked in {path}")
    if named is None and output is None:
        file = project.document.file if project.document is not None else "aetherflow.yaml"
        typer.echo(f"to hold runs to it, write into {file}: plugins: {{locked: {LOCK_FILE}}}")


def _here(config: Path | None) -> "tuple[Project, Rules]":
    """The project of the working directory and its rules, without the lock, which may be missing or outdated."""
    import os

    from aetherflow.core.runtime.environment.administrator import administrator
    from aetherflow.core.runtime.environment.allowed import rules_of
    from aetherflow.core.runtime.environment.policing import under_policy
    from aetherflow.core.runtime.environment.project import load_project
    from aetherflow.core.runtime.environment.settings import load_with_sources

    policy, project = administrator(), load_project(Path.cwd(), os.environ, config)
    if policy is not None:
        project = under_policy(policy, project)
    settings, _ = load_with_sources(
        {"mode": "enterprise"} if policy is not None and policy.enterprise else None,
        env=os.environ,
        project=project,
        run_module=False,
    )
    return project, rules_of(settings, project, policy, locked=False)
