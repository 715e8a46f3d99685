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
        if argv is None and not gc.isenabled():
            # the process ends: its last collections need not look at all that was imported; `run`, whose steps may
            # leave open files in cycles, has switched the collector on and keeps it
            gc.freeze()
        if collecting:
            gc.enable()
