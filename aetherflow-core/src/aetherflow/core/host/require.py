"""Importing optional dependencies where they are used."""

from importlib import import_module
from typing import Any


def require(spec: str) -> Any:
    """Import `module` or `module:attribute`; RuntimeError that says what to install."""
    module, _, attribute = spec.partition(":")
    try:
        found = import_module(module)
        return getattr(found, attribute) if attribute else found
    except (ImportError, AttributeError) as error:
        text = f"Optional dependency missing: Module {spec}. Install it to use this connector/step."
        raise RuntimeError(text) from error


def require_attr(module_name: str, attr_name: str) -> Any:
    """Import one attribute of a module; RuntimeError that says what to install."""
    try:
        return getattr(import_module(module_name), attr_name)
    except (ImportError, AttributeError) as error:
        text = (
            f"Optional dependency missing: Module {module_name} Attribute {attr_name}. "
            "Install it to use this connector/step."
        )
        raise RuntimeError(text) from error
