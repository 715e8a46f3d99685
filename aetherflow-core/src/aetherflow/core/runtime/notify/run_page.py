"""The page of a run for a mail: made by the command that makes it for everyone, in a process of its own."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from aetherflow.core.contracts.notification import Notification
from aetherflow.core.runtime.environment.settings import PREFIX
from aetherflow.core.runtime.environment.snapshot import Snapshot
from aetherflow.core.runtime.workspace.places import default_state_root

SECONDS = 40
"""After this time the mail goes without the page."""


def page_of(snapshot: Snapshot, notification: Notification) -> bytes | None:
    """The page of a run; None without a run, and where none can be made, as without what makes it."""
    if notification.run_id is None or notification.flow is None or snapshot.project.document is None:
        return None
    project = Path(snapshot.project.document.file).absolute()
    root = default_state_root(snapshot.settings.state_root, snapshot.env)
    env = {**os.environ, **(snapshot.ambient or {}), f"{PREFIX}STATE_ROOT": str(root.absolute())}
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "run.html"
        words = ["runs", "show", notification.run_id, "--flow", notification.flow, "--html", str(page)]
        argv = [sys.executable or "python3", "-P", "-m", "aetherflow.core", *words, "--config", str(project)]
        try:
            subprocess.run(argv, cwd=project.parent, env=env, capture_output=True, timeout=SECONDS, check=True)
            return page.read_bytes()
        except (OSError, subprocess.SubprocessError):
            return None
