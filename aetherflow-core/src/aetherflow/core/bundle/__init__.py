"""Bundles: a reviewed tree of flow, profiles and plugins, mirrored from a source and run from an immutable copy."""
