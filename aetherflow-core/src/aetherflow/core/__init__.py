"""AetherFlow's kernel: documents, resolver, plugin host, state and engine. The public API is `aetherflow.core.api`."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aetherflow.core.runner import run_flow

__all__ = ["run_flow"]


def __getattr__(name: str) -> Any:
    # Lazy, so that `aetherflow --help` and `plugins list` never pay for the engine.
    if name == "run_flow":
        from aetherflow.core.runner import run_flow

        return run_flow
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
