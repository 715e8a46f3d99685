"""Where the ledger of a schedule is: a file, or in the server that keeps the states of its runs."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from aetherflow.core.api import StateError
from aetherflow.core.embedding import durable, host_root, make_engine_folder
from aetherflow.scheduler.schedule.schedule import ledger_place

if TYPE_CHECKING:
    from aetherflow.scheduler.ledger.store import Ledger
    from aetherflow.scheduler.schedule.schedule import Schedule
    from aetherflow.scheduler.time.clock import Clock


def is_there(ledger: Path) -> bool:
    """Whether there is such a ledger."""
    server = durable.server_at(ledger)
    if server is None:
        return ledger.exists()
    try:
        return "ledger" in server.stores()
    except OSError as error:
        raise StateError(f"ledger {ledger}: {error}", fix="check the server, and its resource") from error


def open_ledger(schedule: "Schedule", clock: "Clock", *, read_only: bool = False) -> "Ledger":
    """The ledger of a schedule. StateError, also where its states were moved to a server without it."""
    if not read_only:
        make_engine_folder(host_root(schedule.state_root))
    if durable.server_at(schedule.state) is not None:
        root = host_root(schedule.state_root)
        before = ledger_place(root, schedule.path)
        if before.exists() and not is_there(schedule.state):
            words = ["aetherflow", "state", "copy", str(root), str(schedule.state.parent)]
            message = f"{schedule.path} has its ledger in {before}, and there is none in {schedule.state.parent} yet"
            raise StateError(message, fix=f"copy it while no scheduler runs: {shlex.join(words)}")

    from aetherflow.scheduler.ledger.store import Ledger  # commands that look at a document alone open none

    ledger = Ledger(schedule.state, clock, read_only=read_only)
    if ledger.shared is not None and not read_only:
        ledger.note_document(schedule.path)
    return ledger
