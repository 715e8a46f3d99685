"""What `runs prune` has deleted, by ages that were given or by the retention of the project."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from aetherflow.core.base.errors import StateError
from aetherflow.core.console.amounts import size_text
from aetherflow.core.kernel.state.pruning import Freed, prune
from aetherflow.core.kernel.state.registry import forget

if TYPE_CHECKING:
    from aetherflow.core.kernel.state.history import PastRun

PRUNE_SCHEMA = 1


def carry_out(
    root: Path, flows: dict[str, list[str]], doomed: dict[str, list["PastRun"]], errors: list[StateError]
) -> Freed:
    """Delete the runs of each state file, whose flows are named likewise; what fails is added to `errors`."""
    total = Freed()
    for path, flow_ids in flows.items():
        removed: list[PastRun] = []
        try:
            freed = prune(Path(path), flow_ids, doomed[path], removed.append)
        except StateError as error:
            errors.append(error)
            freed = Freed(runs=removed)
        finally:
            forget(root, [(run.flow_id, run.run_id, Path(path)) for run in removed])
        total.runs += freed.runs
        total.busy += freed.busy
        total.rows += freed.rows
        total.files += freed.files
        total.bytes += freed.bytes
    return total


def row(run: "PastRun") -> dict[str, Any]:
    """The item of `runs` for a run in `--json` of `runs prune`."""
    return {
        "flow_id": run.flow_id,
        "run_id": run.run_id,
        "status": run.status,
        "started_at": run.started_at,
        "state_path": run.state_path,
    }


def text_of(total: Freed) -> str:
    """What was deleted, and what was not because a process has it."""
    count = len(total.runs)
    freed = f"{total.rows:,} rows, {total.files:,} files, {size_text(total.bytes)} freed"
    lines = [f"deleted {count} run{'s' * (count != 1)}: {freed}"]
    lines += [f"kept {run.run_id} of flow {run.flow_id}: a process has resumed it" for run in total.busy]
    return "\n".join(lines)
