"""The environment of a flow that a step of another flow runs."""

from pathlib import Path

from aetherflow.core.runtime.environment.snapshot import LOCAL_ROOT_DIR, Snapshot, build_snapshot

MAX_DEPTH = 16
"""Most flows that may be around one."""
TOO_DEEP = f"more than {MAX_DEPTH} flows inside one another"
TOO_DEEP_FIX = "run some of them one after another"


def snapshot_for(folder: Path, around: Snapshot) -> Snapshot:
    """The environment of a flow in `folder` that is called by a flow with the environment `around`.

    In the same folder or bundle it is `around` itself; else it is built from it, with the same project file if any.
    """
    if around.env.get(LOCAL_ROOT_DIR) == str(folder) or in_bundle(folder, around):
        return around
    project = around.project.document
    config = Path(project.file) if project is not None else None
    return build_snapshot(folder, ambient=around.env, config=config, run_hooks=True)


def in_bundle(folder: Path, around: Snapshot) -> bool:
    """Whether the folder is part of the bundle of `around`: all flows of a bundle share one environment."""
    return around.bundle is not None and folder.resolve().is_relative_to(around.bundle.folder.resolve())
