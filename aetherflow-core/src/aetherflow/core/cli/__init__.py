"""The command `aetherflow`."""

import gc
from collections.abc import Sequence

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code. None means the arguments of the process."""
    # imports create no garbage: without the collector a start takes a tenth less time
    collecting = gc.isenabled()
    gc.disable()
    try:
        from aetherflow.core.cli.app import main as run

        return run(argv)
    finally:
        if argv is None and not gc.isenabled():
            # the process ends: its last collections can skip everything that was imported. `run` has enabled the
            # collector, since steps may leave open files in reference cycles
            gc.freeze()
        if collecting:
            gc.enable()
