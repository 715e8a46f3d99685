from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aetherflow.core.cli.arguments import ConfigOption, FlowIdOption, JsonOption, StatePathOption, complete_run_id
from aetherflow.core.console.streams import print_json

if TYPE_CHECKING:
    from aetherflow.core.records.history import PastRun
    from aetherflow.core.runtime.comparing.differences import RunDifference
    from aetherflow.core.runtime.comparing.recorded import Recorded

DIFF_SCHEMA = 1
TWO = 2


def diff(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="[BEFORE] RUN_ID",
            help="The run, and before it the one that it is compared with; default: the last SUCCESS of its flow.",
            show_default=False,
            autocompletion=complete_run_id,
        ),
    ],
    flow: FlowIdOption = None,
    state_path: StatePathOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what is different in a run since its flow last worked, the likeliest cause of its failure first.

    What the failed step has read counts most, directly or through earlier steps. Values of variables are compared by a
    keyed hash and never shown. Exit code 0, whether or not there are differences.

    Example: aetherflow runs diff nightly-2026-11-24
    """
    from aetherflow.core.base.errors import UsageError
    from aetherflow.core.base.typed import typed_here
    from aetherflow.core.cli.lookup import find_run, state_root_here
    from aetherflow.core.runtime.comparing.differences import differences
    from aetherflow.core.runtime.comparing.recorded import recorded

    if len(runs) > TWO:
        raise UsageError(f"{len(runs)} runs are named, two are compared", fix=typed_here("runs", "diff", *runs[-TWO:]))
    root = state_root_here(config)
    run = find_run(root, runs[-1], flow, state_path, " ".join(["runs diff", *runs[:-1]]))
    other = last_good(run) if len(runs) == 1 else find_run(root, runs[0], flow or run.flow_id, state_path, "runs diff")
    before, now = recorded(other), recorded(run)
    found = differences(before, now)
    if as_json:
        print_json(diff_document(before, now, found))
    else:
        typer.echo(_text(before, now, found))


def last_good(run: "PastRun") -> "PastRun":
    """The last SUCCESS of the preceding slot; without a slot, the last one before. UsageError if there is none."""
    from aetherflow.core.base.errors import UsageError
    from aetherflow.core.base.typed import typed_here
    from aetherflow.core.records.history import list_runs

    earlier = [
        each
        for each in list_runs(Path(run.state_path), flow_id=run.flow_id, statuses=frozenset({"SUCCESS"}))
        if each.run_id != run.run_id and not each.partial and _precedes(each, run)
    ]
    if not earlier:
        message = f"flow {run.flow_id} has no SUCCESS before run {run.run_id} to compare it with"
        raise UsageError(message, fix=f"name another run: {typed_here('runs', 'list', '--flow', run.flow_id)}")
    slots = {each.slot for each in earlier if each.slot and run.slot and each.slot < run.slot}
    of_slot = [each for each in earlier if each.slot == max(slots)] if slots else earlier
    return max(of_slot, key=lambda each: each.started_at)


def _precedes(each: "PastRun", run: "PastRun") -> bool:
    """Whether a run is of an earlier slot, or, where not both have one, was started earlier."""
    return each.slot < run.slot if each.slot and run.slot else each.started_at <= run.started_at


def diff_document(before: "Recorded", now: "Recorded", found: list["RunDifference"]) -> dict[str, Any]:
    """The document of `--json`."""
    failed = now.failed
    return {
        "schema": DIFF_SCHEMA,
        "flow_id": now.run.flow_id,
        "before": _named(before),
        "run": _named(now),
        "failed_step": failed.name if failed else None,
        "error": failed.error if failed else None,
        "differences": [each._asdict() for each in found],
    }


def _named(found: "Recorded") -> dict[str, Any]:
    run = found.run
    return {"run_id": run.run_id, "status": run.status, "started_at": run.started_at, "finished_at": run.finished_at}


def _text(before: "Recorded", now: "Recorded", found: list["RunDifference"]) -> str:
    from aetherflow.core.base.times import iso

    then = f"{before.run.run_id} {before.run.status} of {iso(before.run.started_at)}"
    lines = [f"run {now.run.run_id} {now.run.status}, compared with {then}"]
    if (failed := now.failed) is not None:
        lines.append(f"failed step: {failed.name}" + (f": {failed.error.splitlines()[0]}" if failed.error else ""))
    if not found:
        lines.append("nothing that is recorded is different")
    for number, each in enumerate((each for each in found if not each.usual), 1):
        where = f" ({each.where})" if each.where else ""
        lines += ["", f"{number}. {each.kind} {each.name}{where}", *(f"   {line}" for line in _change(each))]
    if usual := [each.name for each in found if each.usual]:
        lines += ["", f"different every night: {', '.join(usual)}"]
    return "\n".join(lines)


def _change(each: "RunDifference") -> list[str]:
    if each.kind in ("definition", "resource") and not each.before:
        return each.now.splitlines()
    both = (("-", each.before), ("+", each.now))
    return [f"{mark} {line}" for mark, text in both for line in (text.splitlines() or [""])]
