"""Commands of installed distributions: of the group `aetherflow.commands`, and those that hooks add (deprecated)."""

import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aetherflow.core.base.errors import PluginError
    from aetherflow.core.host.catalog import Catalog
    from aetherflow.core.host.metadata import PluginEntry

HOOK = "aetherflow_add_commands"


class PluginCommands:
    """The commands that installed distributions add to the built-in ones."""

    def __init__(self, built_in: Mapping[str, str]) -> None:
        """`built_in` maps the names of the program's own commands to their targets."""
        self._built_in = built_in

    def summaries(self) -> "tuple[dict[str, str], list[PluginError]]":
        """The usable commands, each with one line about it, and what is wrong with others: a name that two provide, or
        one and the program itself; a hook that fails. Only commands of the core and of hooks are imported.

        Raises SpecError for the project file of the working directory.
        """
        from aetherflow.core.base.errors import PluginConflictError, PluginError, PluginNotAllowedError
        from aetherflow.core.host.commands import summary_of
        from aetherflow.core.host.compatible import PluginVersionError
        from aetherflow.core.host.first_party import CORE
        from aetherflow.core.host.locked import PluginLockError
        from aetherflow.core.host.names import COMMANDS

        found: dict[str, str] = {}
        wrong: list[PluginError] = []
        catalog = self._catalog()
        for name in catalog.names(COMMANDS):
            try:
                entry = catalog.find(COMMANDS, name)
            except (PluginNotAllowedError, PluginLockError, PluginVersionError):
                continue  # reported when it is called
            except PluginConflictError as error:
                wrong.append(error)
                continue
            if name not in self._built_in:
                own = entry.distribution == CORE
                found[name] = self._build(entry).get_short_help_str(limit=200) if own else summary_of(entry)
        try:
            found |= {name: command.help or "" for name, command in self._hooked().items()}
        except PluginError as error:
            wrong.append(error)
        return found, wrong

    def command(self, name: str) -> Any:
        """Import the command of that name; None if there is none.

        Raises PluginConflictError, PluginNotAllowedError, PluginLockError, PluginLoadError, HookFailedError, SpecError.
        """
        from aetherflow.core.host.metadata import installed_commands
        from aetherflow.core.host.names import COMMANDS

        if any(entry.name == name for entry in installed_commands()):
            return self._build(self._catalog().find(COMMANDS, name))
        return self._hooked().get(name)

    def _catalog(self) -> "Catalog":
        from aetherflow.core.host.commands import command_catalog
        from aetherflow.core.host.first_party import CORE
        from aetherflow.core.host.metadata import installed_commands

        if all(entry.distribution == CORE for entry in installed_commands()):
            return command_catalog(self._built_in)  # always allowed: the project file need not be read
        if not _has_rules():
            return command_catalog(self._built_in)
        from aetherflow.core.runtime.environment.allowed import rules_in

        return command_catalog(self._built_in, rules_in(Path.cwd(), os.environ))

    def _build(self, entry: "PluginEntry") -> Any:
        import typer
        from typer.main import get_command

        from aetherflow.core.host.commands import is_foreign, load_command

        target = load_command(entry)
        if is_foreign(target):
            return _around(target, entry.name)
        command = get_command(target) if isinstance(target, typer.Typer) else target
        command.name = entry.name
        return command

    def _hooked(self) -> dict[str, Any]:
        from aetherflow.core.host.metadata import installed_commands

        taken = dict.fromkeys(self._built_in, "AetherFlow itself")
        taken |= {entry.name: entry.source for entry in installed_commands()}
        return _of_hooks(tuple(taken.items()))


def _has_rules() -> bool:
    """Whether anything here may have rules for plugins; the models of what has them take long to import."""
    from aetherflow.core.runtime.environment.administrator import administrator
    from aetherflow.core.runtime.environment.project_file import find_project

    named = os.environ.get("AETHERFLOW_CONFIG") or os.environ.get("AETHERFLOW_MODE")
    return bool(named) or find_project(Path.cwd()) is not None or administrator() is not None


@cache
def _of_hooks(taken: tuple[tuple[str, str], ...]) -> dict[str, Any]:
    """The commands that hooks add, by name, in the order of the plugins; `taken` are used names with their owners.

    Raises HookFailedError for a plugin that fails, or whose command has a used name.
    """
    from aetherflow.core.host.metadata import installed_hooks

    if not installed_hooks():
        return {}
    from aetherflow.core.host.hooks import may_implement

    if not any(may_implement(entry, HOOK) for entry in installed_hooks()):
        return {}
    import typer
    from typer.main import get_group

    from aetherflow.core.base.errors import HookFailedError
    from aetherflow.core.host.hooks import hook_failed
    from aetherflow.core.runtime.environment.allowed import hooks_for, rules_in

    hooks, _ = hooks_for(rules_in(Path.cwd(), os.environ), only=HOOK)
    if hooks is None:
        return {}
    found: dict[str, Any] = {}
    owners = dict(taken)
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


def _around(foreign: Any, name: str) -> Any:
    """A typer command that passes all its arguments, including `--help`, to a command of the library click."""
    import typer

    from aetherflow.core.console.commands import Command

    def call(ctx: typer.Context) -> None:
        try:  # its errors are of click's own classes, which only its main() shows
            foreign.main(args=list(ctx.args), prog_name=f"aetherflow {name}")
        except SystemExit as ended:
            raise typer.Exit(ended.code if isinstance(ended.code, int) else 1) from None

    settings: dict[str, Any] = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command(name, cls=Command, context_settings=settings, help=foreign.help)(call)
    return typer.main.get_command(app)
