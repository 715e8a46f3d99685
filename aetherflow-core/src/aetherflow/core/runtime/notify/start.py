"""Starts a sender in a session of its own, after a row was written into an outbox or by any later command."""

import json
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from aetherflow.core.base import durable
from aetherflow.core.base.engine_files import NOTIFY
from aetherflow.core.base.errors import AetherflowError
from aetherflow.core.base.location import absolute

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aetherflow.core.runtime.environment.snapshot import Snapshot


class SendRequest(NamedTuple):
    """For whom a sender sends."""

    root: Path
    """The state root."""
    folder: Path
    """That of the project, or of the scheduler document."""
    config: Path | None = None
    """The project file; None for the one that is found from the folder."""
    since: int | None = None
    """When the starter has read the rules, in UTC epoch milliseconds: they count from then on. None: now."""
    document: Path | None = None
    ledger: Path | None = None
    """Of the scheduler that starts it."""
    again: str = ""
    """The command that starts a slot of it, with `{item}` and `{slot}`."""
    look: str = ""
    """The command that shows its items."""

    def as_json(self) -> str:
        """The argument of the sender's process."""
        return json.dumps({name: _plain(value) for name, value in self._asdict().items()})

    @classmethod
    def read(cls, text: str) -> "SendRequest":
        """The request of a text of `as_json`."""
        given: dict[str, Any] = json.loads(text)
        plain = ("since", "again", "look")
        paths = {name: Path(given[name]) for name in given if name not in plain and given[name] is not None}
        return cls(**{**given, **paths})


def _plain(value: object) -> object:
    return str(value) if isinstance(value, Path) else value


LOG_BYTES = 1 << 20
"""Size from which on the log of the senders is begun again."""


def book_of(root: Path) -> Path:
    """Where senders keep what they took, and what became of it: a file, or the server that the state root names."""
    return durable.engine_store(root, NOTIFY)


def may_have_rules(project: Path | None) -> bool:
    """Whether a project file names `notify` at all: most do not, and this is asked by every tick and refused start."""
    try:
        return project is not None and project.is_file() and b"notify" in project.read_bytes()
    except OSError:
        return False


def start_for(snapshot: "Snapshot", since: int) -> None:
    """Start a sender for the rules of a project, which were read at `since`; nothing without rules."""
    if not snapshot.project.spec.notify or snapshot.project.document is None:
        return
    from aetherflow.core.runtime.workspace.store_places import state_root

    project = absolute(Path(snapshot.project.document.file))
    root = state_root(snapshot)
    start_sender(SendRequest(root, project.parent, project, since), _env_of(snapshot))


def _env_of(snapshot: "Snapshot") -> "Mapping[str, str]":
    """The environment of the run; its interpreter is found as this one was."""
    if snapshot.ambient is None:
        return os.environ
    own = {name: text for name, text in os.environ.items() if name.startswith("PYTHON") or name == "LD_LIBRARY_PATH"}
    return own | dict(snapshot.ambient)


def start_sender(request: SendRequest, env: "Mapping[str, str]") -> int | None:
    """Start a sender in a session of its own, and do not wait for it; returns its pid.

    None where it cannot be started, which is no error: the next one sends it, too.
    """
    log = durable.side_folder(book_of(request.root)) / "sender.log"
    with suppress(OSError, AetherflowError):
        if log.exists() and log.stat().st_size > LOG_BYTES:
            durable.remove_file(log)
        argv = [sys.executable or "python3", "-P", "-m", "aetherflow.core.runtime.sending.sender", request.as_json()]
        with durable.open_log(log) as output:
            return durable.spawn_detached(argv, cwd=_here(), env=env, output=output)
    return None


def _here() -> Path:
    """The folder that relative paths in the environment count from."""
    try:
        return Path.cwd()
    except FileNotFoundError:  # it was removed
        return Path("/")
