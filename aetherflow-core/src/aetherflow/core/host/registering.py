"""Where `register_step` and `register_connector` store a class: in the process, or in the plugin being loaded."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

from aetherflow.core.host.metadata import FOLDER, PluginEntry

MODULE_PREFIX = "_aetherflow_plugins_"
"""Start of the module names of folder plugins."""


class Registration(NamedTuple):
    """One name that a plugin registered while it was imported."""

    entry: PluginEntry
    found: Any
    file: str
    """The plugin file that was being loaded, or the legacy entry point."""


class Collector:
    """Collects the registrations of plugins while they are loaded, so that they are valid in one catalogue only."""

    def __init__(self, distribution: str = FOLDER, version: str = "", file: str = "") -> None:
        self.distribution = distribution
        self.version = version
        self.file = file
        self.items: list[Registration] = []

    def takes(self, module: str) -> bool:
        """False for the registrations of an installed module that a folder plugin imports.

        That module is imported once in the process, so its registrations must be valid for the whole process.
        """
        return self.distribution != FOLDER or module.startswith(MODULE_PREFIX)

    def add(self, group: str, name: str, found: Any) -> None:
        # one plugin file may import another: a class belongs to the file that defines it
        module = sys.modules.get(str(getattr(found, "__module__", None)))
        own = self.distribution == FOLDER and module is not None and module.__name__.startswith(MODULE_PREFIX)
        file = str(getattr(module, "__file__", self.file)) if own else self.file
        target = f"{file}:{getattr(found, '__qualname__', type(found).__name__)}"
        entry = PluginEntry(group, name, self.distribution, self.version, target)
        self.items.append(Registration(entry, found, file))


_collector: ContextVar[Collector | None] = ContextVar("collector", default=None)


@contextmanager
def collecting(collector: Collector) -> Iterator[None]:
    """While the block runs, registrations go to `collector`."""
    token = _collector.set(collector)
    try:
        yield
    finally:
        _collector.reset(token)


def registering(group: str, name: str, otherwise: Callable[[Any], None]) -> Callable[[type], type]:
    """The decorator of `register_step` and `register_connector`; outside of a load it calls `otherwise`."""

    def decorate(cls: type) -> type:
        collector = _collector.get()
        caller = str(sys._getframe(1).f_globals.get("__name__"))
        if collector is None or not collector.takes(caller):
            otherwise(cls)
        else:
            collector.add(group, name, cls)
        return cls

    return decorate
