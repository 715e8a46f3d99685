"""Commands of installed distributions: entry-point group `aetherflow.commands`.

The name of an entry is the command, its value a typer app or click command, which is imported only when it is called.
"""

import sys
from collections.abc import Mapping
from functools import cache
from typing import Any

from aetherflow.core.base.errors import PluginLoadError
from aetherflow.core.host.catalog import Catalog
from aetherflow.core.host.distributions import find_distribution, header_of
from aetherflow.core.host.first_party import CORE
from aetherflow.core.host.importing import import_target, label_of
from aetherflow.core.host.metadata import PluginEntry, installed_commands
from aetherflow.core.host.names import COMMANDS
from aetherflow.core.host.rules import Rules


def command_catalog(built_in: Mapping[str, str], rules: Rules = Rules()) -> Catalog:  # noqa: B008 it does not change
    """The commands by name. `built_in` maps the program's own commands to their targets; they cannot be replaced."""
    here = next((entry.version for entry in installed_commands() if entry.distribution == CORE), "")
    own = [PluginEntry(COMMANDS, name, CORE, here, target) for name, target in built_in.items()]
    keys = {f"commands.{name}" for name in built_in}  # built-in commands cannot be replaced by a preference
    chosen = {key: name for key, name in rules.prefer.items() if key not in keys or name == CORE}
    return Catalog([*own, *installed_commands()], rules=rules._replace(prefer=chosen))


@cache
def load_command(entry: PluginEntry) -> Any:
    """The typer app or command that an entry names; PluginLoadError if it cannot be imported or is neither."""
    import typer
    from typer.core import TyperCommand, TyperGroup

    found = import_target(entry)
    if not (isinstance(found, typer.Typer | TyperCommand | TyperGroup) or is_foreign(found)):
        message = f"{label_of(entry)}: {entry.target} is neither a typer app nor a click command"
        raise PluginLoadError(message, fix=f"report it to the authors of {entry.distribution}")
    return found


def is_foreign(command: Any) -> bool:
    """True for a command of the library click: typer contains a copy of click with its own classes."""
    click = sys.modules.get("click")  # a module that defines such a command has imported it
    return click is not None and isinstance(command, click.Command)


def summary_of(entry: PluginEntry) -> str:
    """One line about a command without importing it: its distribution and the distribution's summary."""
    found = find_distribution(entry.distribution)
    lines = header_of(found).splitlines() if found is not None else []
    text = next((line.partition(": ")[2].strip() for line in lines if line.startswith("Summary: ")), "")
    return f"{entry.distribution}: {text}" if text else entry.distribution
