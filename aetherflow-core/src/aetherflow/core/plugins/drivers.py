"""The driver libraries of connectors: which are missing, and the command that brings them. None is imported."""

from importlib.util import find_spec
from typing import Any

from aetherflow.core.plugins.names import CONNECTORS, extra_for


def missing_drivers(cls: Any) -> list[str]:
    """Modules that a connector class says it needs and that are not installed."""
    return [name for name in getattr(cls, "requires", ()) if not _is_installed(name)]


def install_command(name: str, missing: list[str]) -> str:
    """The pip command for the drivers of connector `kind.driver`."""
    extra = extra_for(CONNECTORS, name)
    wanted = f'"aetherflow-core[{extra}]"' if extra else " ".join(missing)
    return f"pip install {wanted}"


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module.partition(".")[0]) is not None  # of a submodule, its parent would be imported
    except (ImportError, ValueError):
        return False
