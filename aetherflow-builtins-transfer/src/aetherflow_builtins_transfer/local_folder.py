"""The check of drivers that use a local folder instead of a server: a policy limits where flows may write."""

from pathlib import Path

from aetherflow.core.api import RunContext


def check_folder(ctx: RunContext, folder: Path) -> None:
    """In enterprise mode, PathError unless `folder` is below `<workspace.root>/<flow id>` or `paths.write`."""
    if ctx.settings.mode != "enterprise":
        return
    found = folder.resolve()
    if not found.is_relative_to((ctx.work_root / ctx.flow_id).resolve()):
        ctx.write_path(str(found))
