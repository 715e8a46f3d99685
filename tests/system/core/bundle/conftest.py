"""A machine whose policy names who may sign bundles."""

from core_bundle_signing import site

__all__ = ["site"]
