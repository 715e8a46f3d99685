"""All that the core uses of pydantic beside its documented names; no other module may.

Why: when pydantic builds its first model it reads the metadata of every installed distribution, looking for plugins of
its own; the core has just read them. Tried with pydantic 2.11.0 to 2.14.4; the distribution allows versions below 3.
Where the name is gone, pydantic reads them again: a start is slower.
"""

from importlib import import_module
from typing import Any


def spare_plugin_scan() -> None:
    """Tell pydantic that no plugin of it is installed; only for who knows."""
    try:
        loader: Any = import_module("pydantic.plugin._loader")  # pydantic imports it with its first model's schema
    except ImportError:
        return
    if getattr(loader, "_plugins", ()) is None:
        loader._plugins = {}
