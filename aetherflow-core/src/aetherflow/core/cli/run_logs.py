from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aetherflow.core.cli.arguments import ConfigOption, FlowIdOption, JsonOption, RunIdArgument, StatePathOption
from aetherflow.core.console.streams import print_json

if TYPE_CHECKING:
    from aetherflow.core.records.history import PastRun

LOGS_SCHEMA = 1


def logs(
    run_id: RunIdArgument,
    flow: FlowIdOption = None,
    state_path: StatePathOption = None,
    step: Annotated[
        str | None,
        typer.Option("--step", metavar="JOB.STEP", help="The output of a step, or of an item: JOB.STEP[NAME]."),
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print the log of a run, or with --step the output of a step in each of its attempts.

    Example: aetherflow runs logs nightly-2026-11-24 --step load.copy
    """
    from aetherflow.core.base.errors import UsageError
    from aetherflow.core.base.typed import typed_here
    from aetherflow.core.cli.history_text import event_text
    from aetherflow.core.cli.lookup import find_run, state_root_here
    from aetherflow.core.runtime.resuming import named

    root = state_root_here(config)
    run = find_run(root, run_id, flow, state_path, "runs logs", *(("--step", step) if step is not None else ()))
    files = [run.log_path] if step is None else _attempt_logs(run, step)
    files = [path for path in files if path.is_file()]
    if not files and step is None:
        show = typed_here("runs", "show", *named(root, run.flow_id, run_id, run.state_path))
        raise UsageError(f"run {run_id!r} has no log {run.log_path}", fix=f"it was removed; see: {show}")
    if as_json:
        document: dict[str, Any] = {"schema": LOGS_SCHEMA, "flow_id": run.flow_id, "run_id": run.run_id}
        if step is None:
            document |= {"log_path": str(run.log_path), "events": _events(run.log_path)}
        else:
            document |= {"step": step, "logs": [{"path": str(path), "text": _text(path)} for path in files]}
        print_json(document)
        return
    if not files:
        typer.echo(f"{step} printed nothing", err=True)
    for path in files:
        if step is not None:
            typer.echo(f"==> {path}")
        with path.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                typer.echo(event_text(line) if step is None else line.rstrip("\n"))


def _attempt_logs(run: "PastRun", step: str) -> list[Path]:
    """The logs of a step or of one item, in the order of its attempts; UsageError if the run has no such step."""
    from aetherflow.core.base.errors import UsageError
    from aetherflow.core.base.suggest import did_you_mean
    from aetherflow.core.cli.history_text import names_in
    from aetherflow.core.cli.lookup import attempt_logs
    from aetherflow.core.records.history import run_details

    found = run_details(run)
    steps = found.steps if found is not None else []
    names = {f"{each.job_id}.{each.step_id}": (f"{each.job_id}.{each.step_id}", "") for each in steps}
    if found is not None:
        name = names_in(found)
        names |= {
            f"{each.job_id}.{name(each)}": (f"{each.job_id}.{each.step_id}", f"{each.step_id}[{each.item_key}].")
            for each in steps
            if each.item_key
        }
    if step not in names:
        message = f"run {run.run_id!r} did not reach a step {step!r}"
        raise UsageError(message, fix=did_you_mean(step, names, what="steps"))
    whole, start = names[step]
    return [path for path in attempt_logs(run, whole) if path.name.startswith(start)]


def _events(path: Path) -> list[Any]:
    import json

    events = []
    for line in _text(path).splitlines():
        try:
            events.append(json.loads(line))
        except ValueError:
            events.append({"event": "unreadable", "text": line})  # such as the last line of a killed run
    return events


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")
