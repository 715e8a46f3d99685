from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aetherflow.core.cli import arguments
from aetherflow.core.cli.flow_source import AllowStaleOption, ExpectOption, ManifestOption
from aetherflow.core.console.streams import print_json

if TYPE_CHECKING:
    from aetherflow.core.kernel.sequencing.plan import Plan, StepPlan
    from aetherflow.core.runtime.context.changed_inputs import ChangedInput


def plan(
    flow: arguments.FlowArgument = None,
    flow_yaml: arguments.FlowYamlOption = None,
    run_id: Annotated[str | None, typer.Option("--run-id", help="Id of a known run; omitted: a new one.")] = None,
    param: arguments.ParamOption = None,
    slot: arguments.SlotOption = None,
    data_date: arguments.DataDateOption = None,
    flow_job: arguments.FlowJobOption = None,
    from_step: arguments.FromOption = None,
    accept_changes: arguments.AcceptChangesOption = False,
    effects: Annotated[
        bool, typer.Option("--effects", help="A dry run: ask each step what it would do. Peers are read.")
    ] = False,
    bundle_manifest: ManifestOption = None,
    allow_stale_bundle: AllowStaleOption = False,
    expect_fingerprint: ExpectOption = None,
    config: arguments.ConfigOption = None,
    as_json: arguments.JsonOption = False,
) -> None:
    """Show what `run` with the same arguments would do: for every step reuse, run, run again or ask, and why.

    Nothing is run and nothing is written. Changes of the flow since the steps ran are shown as diffs. With --effects
    each step tells what it would delete, move, send or load, if its inputs depend on no step that is still to run.

    Example: aetherflow plan flow.yaml --run-id 2026-11-24 --from-step load --effects
    """
    from aetherflow.core.base.errors import AetherflowError
    from aetherflow.core.cli.flow_source import flow_source
    from aetherflow.core.cli.given_params import given_params
    from aetherflow.core.cli.summary import refusal
    from aetherflow.core.runner import plan_flow

    source = flow_source(
        flow, flow_yaml, bundle_manifest, allow_stale=allow_stale_bundle, expect_fingerprint=expect_fingerprint
    )
    try:
        with source.open(config=config, run_hooks=True) as (path, snapshot):
            found = plan_flow(
                path,
                run_id=run_id,
                params=given_params(param),
                slot=slot,
                data_date=data_date,
                flow_job=flow_job,
                from_step=from_step,
                accept_changes=accept_changes,
                effects=effects,
                snapshot=snapshot,
            )
    except AetherflowError as error:
        if as_json:
            print_json(refusal(error, source.shown))
        raise
    changed, commands = (None, ()) if run_id is None or from_step else _changed(run_id, config)
    if as_json:
        told = {"step": changed.step, "path": changed.path, "commands": list(commands)} if changed else None
        print_json({**_as_json(found), "changed_input": told})
    else:
        typer.echo("\n".join([_as_text(found), *([str(changed), f"next: {commands[0]}"] if changed else [])]))


def _changed(run_id: str, config: Path | None) -> "tuple[ChangedInput | None, tuple[str, ...]]":
    """What a finished step of the run has read and has changed since, and what goes on with the run."""
    from aetherflow.core.cli.lookup import state_root_here
    from aetherflow.core.runtime.resuming import Resumes, runs_of
    from aetherflow.core.runtime.unreadable import require_readable

    root = state_root_here(config)
    found, resumes = runs_of(root, run_id), Resumes(root, config)
    if not found and root.exists():  # a new run may make the root
        require_readable(root)
    changed = resumes.changed_input(found[0]) if len(found) == 1 else None
    return changed, resumes.commands(found[0]) if changed else ()


def _as_text(plan: "Plan") -> str:
    from aetherflow.core.console.table import table

    if not plan.jobs:
        return "nothing to do: the run ended SUCCESS; --from-step JOB does a part of it again"
    rows = []
    for job in plan.jobs:
        rows.append([job.job_id, "", str(job.verdict), job.reason or ""])
        rows += [["", step.key.step, str(step.verdict), step.reason] for step in job.steps]
    lines = [table(["job", "step", "verdict", "why"], rows)]
    for step in (step for job in plan.jobs for step in job.steps):
        if (found := step.effects) is not None:
            lines += ["", f"{step.key}:", *(f"  {line}" for line in found.lines or [f"({found.why})"])]
    lines += ["", *(f"plugin {each}" for each in plan.plugins)] if plan.plugins else []
    for change in plan.changes:
        what = "finished, its result is kept" if change.finished else "still to run, the new text counts"
        lines += ["", f"changed: {str(change.key).rstrip('.')} ({what})", change.diff]
    return "\n".join(lines)


def _as_json(plan: "Plan") -> dict[str, Any]:
    from aetherflow.core.base.said import code_of

    return {
        "schema": 1,
        "nothing_to_do": plan.idle,
        "jobs": [
            {
                "job_id": job.job_id,
                "verdict": str(job.verdict),
                "reason": job.reason or "",
                "reason_code": code_of(job.reason),
                "steps": [
                    {
                        "step_id": step.key.step,
                        "verdict": str(step.verdict),
                        "reason": step.reason,
                        "reason_code": code_of(step.reason),
                        "effects": _effects_as_json(step),
                    }
                    for step in job.steps
                ],
            }
            for job in plan.jobs
        ],
        "plugins": [{"name": each.name, "before": each.before, "now": each.now} for each in plan.plugins],
        "changes": [
            {
                "job_id": change.key.job,
                "step_id": change.key.step or None,
                "finished": change.finished,
                "diff": change.diff,
            }
            for change in plan.changes
        ],
    }


def _effects_as_json(step: "StepPlan") -> dict[str, Any] | None:
    if (found := step.effects) is None:
        return None
    return {"lines": list(found.lines), "why_none": found.why or None}
