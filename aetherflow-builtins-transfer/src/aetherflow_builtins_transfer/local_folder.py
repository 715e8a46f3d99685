"""The check of drivers that write local files by themselves: a policy limits where flows may write."""

from pathlib import Path

from aetherflow.core.api import RunContext


def check_place(ctx: RunContext, place: Path) -> None:
    """In enterprise mode, PathError unless a folder or file is below `<workspace.root>/<flow id>` or `paths.write`."""
    if ctx.settings.mode != "enterprise":
        return
    found = place.resolve()
    if not found.is_relative_to((ctx.work_root / ctx.flow_id).resolve()):
        ctx.write_path(str(found))
