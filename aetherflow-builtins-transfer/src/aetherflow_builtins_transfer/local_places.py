"""The check of connectors that write local files by themselves: a policy limits where flows may write."""

from typing import Any

from aetherflow.core.api import RunContext, WritesLocally


def check_places(ctx: RunContext, connector: Any) -> None:
    """In enterprise mode, PathError unless what it writes is below `<workspace.root>/<flow id>` or `paths.write`."""
    if ctx.settings.mode != "enterprise" or not isinstance(connector, WritesLocally):
        return
    for place in connector.local_places():
        found = place.resolve()
        if not found.is_relative_to((ctx.work_root / ctx.flow_id).resolve()):
            ctx.write_path(str(found))
