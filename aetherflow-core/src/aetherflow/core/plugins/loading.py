"""Importing one plugin, and the check that it is what its group promises."""

from functools import cache
from importlib import import_module
from typing import Any

from aetherflow.core.contracts.connector import ConnectorBase
from aetherflow.core.contracts.step import Step
from aetherflow.core.errors import PluginLoadError
from aetherflow.core.plugins.metadata import PluginEntry
from aetherflow.core.plugins.names import STEPS


@cache
def load_plugin(entry: PluginEntry) -> Any:
    """Import the class that an entry names.

    Raises PluginLoadError naming the distribution when the module cannot be imported or the class has the wrong base.
    """
    label = f"{entry.kind} {entry.shown_name!r} of {entry.distribution} {entry.version}"
    module, _, attribute = entry.target.partition(":")
    try:
        found: Any = import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
    except (Exception, SystemExit) as error:  # a plugin's module may raise anything while it is imported
        message = f"{label} cannot be loaded from {entry.target}: {type(error).__name__}: {error}"
        raise PluginLoadError(message, fix=f"reinstall or update {entry.distribution}") from error
    base: type = Step if entry.group == STEPS else ConnectorBase
    if not (isinstance(found, type) and issubclass(found, base)):
        message = f"{label}: {entry.target} is not a subclass of {base.__name__}"
        raise PluginLoadError(message, fix=f"report it to the authors of {entry.distribution}")
    return found
