"""The command `aetherflow`."""

from aetherflow.core.cli.app import main

__all__ = ["main"]
