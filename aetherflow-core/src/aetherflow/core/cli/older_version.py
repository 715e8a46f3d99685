"""Runs of states of an older version, as rows of `status`."""

import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, cast

from aetherflow.core.cli.causes import short
from aetherflow.core.cli.lookup import plain
from aetherflow.core.contracts.needs_person import NeedsPerson
from aetherflow.core.records.registry import places_of
from aetherflow.core.records.unmigrated import OlderRun, unwell_in

if TYPE_CHECKING:
    from aetherflow.core.contracts.needs_person import NeedStatus


def older_needs(root: Path, path: str, flow_ids: Iterable[str]) -> list[NeedsPerson]:
    """Return a row per flow whose runs in a state file of an older version need attention; StateError."""
    found: dict[str, list[OlderRun]] = {}
    for run in unwell_in(Path(path)):
        if run.flow_id in flow_ids and not _is_reported_by_parent(root, run):
            found.setdefault(run.flow_id, []).append(run)
    command = shlex.join(["aetherflow", "state", "migrate", plain(path)])
    return [_older_need(flow_id, runs, command) for flow_id, runs in found.items()]


def _older_need(flow_id: str, runs: list[OlderRun], command: str) -> NeedsPerson:
    statuses = {run.status for run in runs}
    status = next(each for each in ("UNKNOWN", "FAILED", "INTERRUPTED") if each in statuses)
    count = f"{len(runs)} run{'s' * (len(runs) > 1)} of an older version need{'s' * (len(runs) == 1)} attention"
    names = ", ".join(f"{run.run_id} {run.status}" for run in reversed(runs))
    cause = short(f"{count} once the state is migrated: {names}")
    since = max(run.last_seen for run in runs)
    return NeedsPerson(cast("NeedStatus", status), flow_id, since, cause, flow_id=flow_id, commands=(command,))


def _is_reported_by_parent(root: Path, run: OlderRun) -> bool:
    flow_id, _, run_id = (run.parent or "").partition("/")
    return bool(run_id) and flow_id in {flow for flow, _ in places_of(root, [run_id])[run_id]}
