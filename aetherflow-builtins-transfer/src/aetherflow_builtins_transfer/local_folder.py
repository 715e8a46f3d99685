"""Drivers that put a folder of this machine in the place of a server: under a policy, no way out of the sandbox."""

from pathlib import Path

from aetherflow.core.api import RunContext


def check_folder(ctx: RunContext, folder: Path) -> None:
    """PathError if flows under a policy may not write there: below `<workspace.root>/<flow id>`, or `paths.write`."""
    if ctx.settings.mode != "enterprise":
        return
    found = folder.resolve()
    if not found.is_relative_to((ctx.work_root / ctx.flow_id).resolve()):
        ctx.write_path(str(found))
