"""The scheduler: starts flows when their time has come, and accounts for every slot."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aetherflow.scheduler.loop.loop import run_scheduler
    from aetherflow.scheduler.schedule.spec import SchedulerFileSpec, SchedulerItemSpec

__all__ = ["SchedulerFileSpec", "SchedulerItemSpec", "run_scheduler"]


def __getattr__(name: str) -> Any:
    if name in ("SchedulerFileSpec", "SchedulerItemSpec"):  # brings pydantic along, which `--version` does not need
        from aetherflow.scheduler.schedule import spec

        return getattr(spec, name)
    if name == "run_scheduler":
        from aetherflow.scheduler.loop.loop import run_scheduler

        return run_scheduler
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
