"""AetherFlow's core: kernel, plugin host, runtime, checks, built-in steps, command line. The API is `core.api`."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aetherflow.core.runner import run_flow

__all__ = ["run_flow"]


def __getattr__(name: str) -> Any:
    # imported on access: `aetherflow --help` and `plugins list` do not need the engine
    if name == "run_flow":
        from aetherflow.core.runner import run_flow

        return run_flow
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
