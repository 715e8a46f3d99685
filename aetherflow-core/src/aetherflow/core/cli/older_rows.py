"""What `status` shows of states that are older than the run index knows, and of runs that only the index knows."""

import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, cast

from aetherflow.core.base.errors import OlderStateError, StateError
from aetherflow.core.base.said import ReasonCode, said
from aetherflow.core.base.typed import command_line
from aetherflow.core.cli.lookup import plain
from aetherflow.core.cli.next_steps import Here, listed
from aetherflow.core.contracts.needs_person import NeedsPerson, NeedStatus
from aetherflow.core.kernel.state.transitions import Status
from aetherflow.core.records.older import LOST, KnownEnd, is_older, lacking, last_ends
from aetherflow.core.runtime.resuming import named

if TYPE_CHECKING:
    from aetherflow.core.records.overview import Key
    from aetherflow.core.records.registry_file import Registered
    from aetherflow.core.records.trouble import Trouble


class OlderCause(ReasonCode):
    """Why a state, or a run that it lacks, needs attention."""

    OLDER = "older_state", "the state {path} is older than the run index knows: {lacking}"
    LOST = LOST, "only the run index knows its end: the state {path} was replaced by an older copy"


def older_rows(
    here: Here,
    runs: "list[tuple[Registered, int]]",
    flows: dict[str, list[str]],
    known: "dict[Key, Trouble]",
    unreadable: dict[str, StateError],
) -> Iterator[NeedsPerson]:
    """The states that are older, and those of the open `runs` whose ends they lack, which are taken out of `known`.

    `flows` are the ids of the flows of each state that can be read; one that cannot after all is put to `unreadable`.
    """
    older = _find(here.root, flows, unreadable)
    for path, last in older.items():
        cause = said(OlderCause.OLDER, path=plain(path), lacking=lacking(last))
        command = command_line("state", "accept", plain(path), "--reason", "TEXT", config=here.config)
        names, code = listed(flows[path]), OlderStateError.code
        yield NeedsPerson("OLDER", names, last.at, str(cause), cause.code, code, commands=(command,))
    for run, healed in runs:
        if run.state_path not in flows or run.ended_at is None or run.status == Status.RUNNING:
            continue
        key = (run.state_path, run.flow_id, run.run_id)
        ended = known[key].run.finished_at if key in known else None
        if ended != run.ended_at and (run.reason_code == LOST or run.state_path in older):
            known.pop(key, None)
            if run.status == Status.UNKNOWN or not healed:
                yield _lost_row(here, run)


def _find(root: Path, paths: Iterable[str], unreadable: dict[str, StateError]) -> dict[str, KnownEnd]:
    """Which states are older, and the end that each lacks."""
    older = dict[str, KnownEnd]()
    try:
        known = last_ends(root, sorted(paths))
    except (sqlite3.Error, OSError):  # without an index, nothing is known better
        return older
    for path, last in known.items():
        try:
            if is_older(Path(path), last):
                older[path] = last
        except StateError as error:
            unreadable[path] = error
    return older


def _lost_row(here: Here, run: "Registered") -> NeedsPerson:
    """The row of a run whose end only the index knows: it is closed by you, once you know what it did."""
    words = ["runs", "resolve", *named(here.root, run.flow_id, run.run_id)]
    ways = [[*words, "--as", answer, "--reason", "TEXT"] for answer in ("done", "abandoned")]
    cause = said(OlderCause.LOST, path=plain(run.state_path))
    return NeedsPerson(
        status=cast("NeedStatus", run.status),
        name=run.flow_id,
        since=run.ended_at or run.started_at,
        cause=str(cause),
        reason_code=cause.code,
        flow_id=run.flow_id,
        run_id=run.run_id,
        commands=tuple(command_line(*way, config=here.config) for way in ways),
    )
