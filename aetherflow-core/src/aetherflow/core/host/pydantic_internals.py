"""The only use of undocumented names of pydantic in the core.

Why: when pydantic builds its first model it reads the metadata of every installed distribution to find plugins of its
own; the core has just read them. Tried with pydantic 2.11.0 to 2.14.4; the distribution allows versions below 3.
Without the name pydantic reads the metadata again, and a start is slower.
"""

from importlib import import_module
from typing import Any


def spare_plugin_scan() -> None:
    """Tell pydantic that none of its plugins is installed; the caller must know that."""
    try:
        loader: Any = import_module("pydantic.plugin._loader")  # pydantic imports it with its first model's schema
    except ImportError:
        return
    if getattr(loader, "_plugins", ()) is None:
        loader._plugins = {}
