"""A machine whose policy names who may sign bundles."""

from core_bundle_signing import keys, site

__all__ = ["keys", "site"]
