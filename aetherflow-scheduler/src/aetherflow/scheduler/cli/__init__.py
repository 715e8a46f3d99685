from collections.abc import Sequence

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code. Only None falls back to the process's own arguments."""
    from aetherflow.scheduler.cli.app import main as run

    return run(argv)
