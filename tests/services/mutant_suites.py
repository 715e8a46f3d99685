"""Suites over connectors that break one promise each: the modules `mutants_KIND` have them, beside sound ones."""

from types import ModuleType
from typing import Any


def suite_of(module: ModuleType, connector: type) -> Any:
    """The suite of such a module over one of its connectors; nothing is killed in it."""
    connector.__doc__ = connector.__doc__ or "A connector with a fault."
    suite, kind = next(found for base, found in module.SUITES.items() if issubclass(connector, base))
    return type("Suite", (suite,), {"connector": connector, "name": f"{kind}.{connector.__name__.lower()}", "kills": 0})
