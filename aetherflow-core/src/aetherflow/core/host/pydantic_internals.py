"""The only use of undocumented names of pydantic in the core.

Why: when pydantic builds its first model it reads the metadata of every installed distribution to find plugins of its
own; the core has just read them. Tried with pydantic 2.11.0 to 2.14.4; the distribution allows versions below 3.
Without the name pydantic reads the metadata again, and a start is slower.
"""

import sys


def spare_plugin_scan() -> None:
    """Tell pydantic that none of its plugins is installed; the caller must know that."""
    loader = sys.modules.get("pydantic.plugin._loader")
    if loader is not None and getattr(loader, "_plugins", ()) is None:
        loader._plugins = {}  # type: ignore[attr-defined]
