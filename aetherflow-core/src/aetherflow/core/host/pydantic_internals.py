"""The only use of undocumented names of pydantic in the core.

Why: when pydantic builds its first model it reads the metadata of every installed distribution to find plugins of its
own, for which it imports importlib.metadata; the core has just read them without it. Tried with pydantic 2.11.0 to
2.14.4; the distribution allows versions below 3. Where that module has another name, a start is slower.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import Any

LOADER = "pydantic.plugin._loader"
"""The module that finds the plugins; pydantic imports it with its first model's schema."""


class _NoPlugins(ModuleType):
    """Stands for that module: it finds none. For any other name it makes room for the real one."""

    @staticmethod
    def get_plugins() -> tuple[()]:
        return ()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if sys.modules.get(LOADER) is self:
            del sys.modules[LOADER]
        return getattr(import_module(LOADER), name)


def spare_plugin_scan() -> None:
    """Tell pydantic that none of its plugins is installed; the caller must know that."""
    loader: Any = sys.modules.get(LOADER)
    if loader is None:
        sys.modules[LOADER] = _NoPlugins(LOADER)
    elif not isinstance(loader, _NoPlugins) and getattr(loader, "_plugins", ()) is None:
        loader._plugins = {}
