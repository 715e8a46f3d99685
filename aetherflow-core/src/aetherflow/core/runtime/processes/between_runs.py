"""What a process keeps of a run beyond its end, and lets go of before it executes another one."""

from collections.abc import Callable

from aetherflow.core.base import owners
from aetherflow.core.runtime.environment import administrator

_kept: list[Callable[[], object]] = [administrator.forget, owners.is_private.cache_clear]


def kept_beyond_run(let_go: Callable[[], object]) -> None:
    """Have `let_go` called between two runs of a process. It raises nothing, and may be called more than once."""
    _kept.append(let_go)


def let_go_of_run() -> None:
    """Let go of all that is kept of a run."""
    for let_go in _kept:
        let_go()
