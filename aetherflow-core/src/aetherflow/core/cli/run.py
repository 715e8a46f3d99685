from typing import Annotated

import typer

from aetherflow.core.cli import arguments
from aetherflow.core.cli.flow_source import AllowStaleOption, ExpectOption, ManifestOption


def run(
    flow: arguments.FlowArgument = None,
    flow_yaml: arguments.FlowYamlOption = None,
    run_id: Annotated[str | None, typer.Option("--run-id", help="Id of the run; an unfinished one is resumed.")] = None,
    param: arguments.ParamOption = None,
    slot: arguments.SlotOption = None,
    data_date: arguments.DataDateOption = None,
    flow_job: arguments.FlowJobOption = None,
    from_step: arguments.FromOption = None,
    accept_changes: arguments.AcceptChangesOption = False,
    reason: Annotated[str | None, typer.Option(metavar="TEXT", help="Why; recorded in the journal.")] = None,
    if_busy: Annotated[str, typer.Option(metavar="fail|skip|wait", help="If another process owns the run.")] = "fail",
    bundle_manifest: ManifestOption = None,
    allow_stale_bundle: AllowStaleOption = False,
    expect_fingerprint: ExpectOption = None,
    trigger: Annotated[
        str, typer.Option(metavar="WORD", help="Origin of the run, for the history.", show_default=False)
    ] = "cli",
    order: arguments.OrderOption = None,
    config: arguments.ConfigOption = None,
    quiet: arguments.QuietOption = False,
    as_json: arguments.SummaryJsonOption = False,
) -> None:
    """Run a flow, or resume the unfinished run of a --run-id.

    Steps that an earlier process of the same run finished are not repeated; their outputs are read from the state. If
    the definition of a finished step has changed, the run is refused with a diff; see --accept-changes and --from-step.
    Progress goes to stderr, the result to stdout.

    With --bundle-manifest the bundle is synced first, every file of its version is verified, and the run keeps that
    version; later syncs do not change it. A run that was cut off goes on with the version that it began with; one that
    has failed begins with what is new, as `resume` does.

    Example: aetherflow run flow.yaml --run-id 2026-11-24

    Example: aetherflow run --bundle-manifest bundle.yaml --expect-fingerprint 3f9c1a70
    """
    from aetherflow.core.cli.execution import execute, noted
    from aetherflow.core.cli.flow_source import flow_source
    from aetherflow.core.cli.given_params import given_params
    from aetherflow.core.cli.noted_start import NotedStart

    source = flow_source(
        flow, flow_yaml, bundle_manifest, allow_stale=allow_stale_bundle, expect_fingerprint=expect_fingerprint
    )
    noting = NotedStart(source.flow, source.manifest, trigger=trigger, config=config)
    with noted(noting):
        noting.given = {
            "run_id": run_id,
            "params": given_params(param),
            "slot": slot,
            "data_date": data_date,
            "flow_job": flow_job,
            "from_step": from_step,
            "accept_changes": accept_changes,
            "reason": reason,
            "if_busy": arguments.busy_policy(if_busy),
            "order": order,
        }
        execute(source, config=config, quiet=quiet, as_json=as_json, noting=noting)
