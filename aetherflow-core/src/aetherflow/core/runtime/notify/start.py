"""Starts a sender on its own, whoever has written something that is to be told, or has come by."""

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from aetherflow.core.base import durable
from aetherflow.core.base.errors import AetherflowError
from aetherflow.core.base.location import absolute

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aetherflow.core.runtime.environment.snapshot import Snapshot
    from aetherflow.core.runtime.notify.sender import Errand

LOG_BYTES = 1 << 20
"""Size from which on the log of the senders is begun anew."""


def start_for(snapshot: "Snapshot", since: int) -> None:
    """Start a sender for the rules of a project, which were read at `since`; nothing without rules."""
    if not snapshot.project.spec.notify or snapshot.project.document is None:
        return
    from aetherflow.core.runtime.notify.sender import Errand
    from aetherflow.core.runtime.workspace.places import state_root

    project = absolute(Path(snapshot.project.document.file))
    root = state_root(snapshot.settings, snapshot.env)
    start_sender(Errand(root, project.parent, project, since), os.environ)


def start_sender(errand: "Errand", env: "Mapping[str, str]") -> None:
    """Start a sender in a session of its own, and do not wait for it. Never an error: the next one sends it, too."""
    from aetherflow.core.runtime.notify.book import NAME

    log = durable.side_folder(errand.root / NAME) / "sender.log"
    with suppress(OSError, AetherflowError):
        if log.exists() and log.stat().st_size > LOG_BYTES:
            durable.remove_file(log)
        argv = [sys.executable or "python3", "-P", "-m", "aetherflow.core.runtime.notify.sender", errand.as_json()]
        with durable.open_log(log) as output:
            durable.spawn_detached(argv, cwd=_here(), env=env, output=output)


def _here() -> Path:
    """The folder that relative paths in the environment count from."""
    try:
        return Path.cwd()
    except FileNotFoundError:  # it was removed
        return Path("/")
