"""The command `aetherflow`."""

import gc
from collections.abc import Sequence

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code. Only None falls back to the process's own arguments."""
    # imports allocate much and free nothing: the collector costs a tenth of every start and finds nothing
    collecting = gc.isenabled()
    gc.disable()
    try:
        from aetherflow.core.cli.app import main as run

        return run(argv)
    finally:
        if collecting:
            gc.enable()
