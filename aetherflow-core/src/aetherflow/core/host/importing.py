"""Importing the targets of entry points."""

from importlib import import_module
from typing import Any

from aetherflow.core.base.errors import PluginLoadError
from aetherflow.core.host.metadata import PluginEntry
from aetherflow.core.host.slow_imports import watching


def import_target(entry: PluginEntry, advice: str = "") -> Any:
    """Import the target of an entry: an object, or a module if the entry names no attribute.

    Raises PluginLoadError, which names the distribution and adds `advice` to its fix.
    """
    try:
        with watching(label_of(entry)):
            return find_target(entry.target)
    except (Exception, SystemExit) as error:  # a plugin's module may raise anything while it is imported
        from aetherflow.core.host.faults import place_of  # for what fails; every command imports this module

        message = f"{label_of(entry)} cannot be loaded from {entry.target}: {type(error).__name__}: {error}"
        message += place_of(error)
        fix = f"reinstall or update {entry.distribution}"
        raise PluginLoadError(message, fix=f"{fix}, or {advice}" if advice else fix) from error


def find_target(target: str) -> Any:
    """The object at `module:attribute`; raises what the import raises. Extras after it, in brackets, are left out."""
    module, _, attribute = (part.strip() for part in target.partition("[")[0].partition(":"))
    found: Any = import_module(module)
    for part in filter(None, attribute.split(".")):
        found = getattr(found, part)
    return found


def label_of(entry: PluginEntry) -> str:
    """The description of an entry in error messages."""
    return f"{entry.kind} {entry.shown_name!r} of {entry.distribution} {entry.version}"
