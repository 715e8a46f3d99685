"""Commands that installed plugins add with the hook `aetherflow_add_commands`."""

import os
from collections.abc import Collection
from functools import cache
from pathlib import Path
from typing import Any

HOOK = "aetherflow_add_commands"


@cache
def plugin_commands(built_in: Collection[str]) -> dict[str, Any]:
    """The commands of all plugins, by name, in the order of the plugins; empty where none is installed.

    The project file of the working directory says which plugins are blocked, and what enterprise mode accepts. Raises
    HookFailedError for a plugin that fails, or whose command has a name that is taken; SpecError for the project file.
    """
    from aetherflow.core.host.metadata import installed_hooks

    if not installed_hooks():
        return {}
    import typer
    from typer.main import get_group

    from aetherflow.core.base.errors import HookFailedError
    from aetherflow.core.host.hooks import hook_failed
    from aetherflow.core.runtime.environment.allowed import hooks_for
    from aetherflow.core.runtime.environment.project import load_project
    from aetherflow.core.runtime.environment.settings import load_with_sources

    project = load_project(Path.cwd(), os.environ, None)
    settings, _ = load_with_sources(env=os.environ, project=project, run_module=False)
    hooks, _ = hooks_for(settings, project.spec.plugins)
    if hooks is None:
        return {}
    found: dict[str, Any] = {}
    owners = dict.fromkeys(built_in, "AetherFlow itself")
    for name in hooks.names(HOOK):
        app = typer.Typer(add_completion=False, rich_markup_mode=None)
        list(hooks.decide(HOOK, only=name, app=app))
        try:
            commands = get_group(app).commands
        except Exception as error:  # a signature that typer cannot read
            raise hook_failed(name, HOOK, error) from error
        for command, built in commands.items():
            if command in owners:
                message = f"hook {name}: add_commands adds {command!r}, which {owners[command]} has already"
                raise HookFailedError(message, fix=f'block it in the project file: plugins: {{block: ["{name}"]}}')
            owners[command], found[command] = name, built
    return found
