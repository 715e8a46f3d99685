from pathlib import Path
from typing import Annotated, Literal

import typer

from aetherflow.core.cli.arguments import ConfigOption, FlowIdOption, JsonOption, StatePathOption, complete_run_id
from aetherflow.core.console.streams import print_json

RESOLVE_SCHEMA = 1
SHOWN = 10


def resolve(
    run_id: Annotated[
        str,
        typer.Argument(
            metavar="RUN_ID", help="Id of the run, or refused-N.", show_default=False, autocompletion=complete_run_id
        ),
    ],
    answer: Annotated[
        Literal["done", "abandoned"],
        typer.Option("--as", help="done: what it took is settled; abandoned: it is given back."),
    ],
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why; written down with your name.")],
    flow: FlowIdOption = None,
    state_path: StatePathOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Settle a run that ended badly, and that nobody will resume.

    done makes what it had claimed final: no run takes it again. abandoned gives it back: the next run finds it new, as
    far as it is still there. The status of the run stays what it is. A run that goes on cannot be resolved. Of a start
    that was refused either says that nobody will do it again.

    Example: aetherflow runs resolve nightly-2026-11-24 --as done --reason "loaded by hand, ticket 4711"
    """
    from aetherflow.core.base.actor import actor, hostname
    from aetherflow.core.base.errors import UsageError
    from aetherflow.core.base.typed import typed_here
    from aetherflow.core.cli.ack import HANDLE, act_on_handle
    from aetherflow.core.cli.lookup import close_lost, find_run, root_to_write
    from aetherflow.core.kernel.state.records import now_ms
    from aetherflow.core.records import resolving
    from aetherflow.core.records.acts import Act, Verb
    from aetherflow.core.records.claim_history import list_claims
    from aetherflow.core.records.registry import settle
    from aetherflow.core.runtime.workspace.workspace import remove_kept

    if not reason.strip():
        raise UsageError("--reason is empty", fix="say why, for those who read it later")
    root = root_to_write(config)
    given = {"actor": actor(), "host": hostname(), "reason": reason}
    if run_id.startswith(HANDLE):
        act = Act("", Verb.RESOLVE, answer, **given, until=None, at=now_ms(), ended_at=None, ended_by=None)
        refused = act_on_handle(root, run_id, act)
        text = f"{run_id} is resolved as {answer}: the refused start of {refused['flow_id'] or refused['flow_yaml']}"
        _tell_closed(text, refused["flow_id"], run_id, answer, as_json=as_json)
        return
    try:
        run = find_run(root, run_id, flow, state_path, "runs resolve", "--as", answer, "--reason", reason)
    except UsageError:
        if (only := close_lost(root, run_id, flow, state_path, **given)) is None:
            raise
        text = f"run {run_id} is resolved as {answer}; the state {only.state_path} has neither it nor its claims"
        _tell_closed(text, only.flow_id, run_id, answer, as_json=as_json)
        return
    path = Path(run.state_path)
    found = resolving.resolve(path, run.flow_id, run.run_id, answer, **given)
    settle(root, run.flow_id, run.run_id, run.state_path, "resolve", run.last_seen)
    for warning in remove_kept(found.released):
        typer.echo(f"warning: {warning}", err=True)
    lost = list_claims(path, "lost", flow_id=run.flow_id, run_id=run.run_id) if answer == "abandoned" else []
    files = [claim.artifact for claim in lost if claim.artifact and claim.taken_by is None]
    if as_json:
        document = {"schema": RESOLVE_SCHEMA, "flow_id": run.flow_id, "run_id": run.run_id, "as": answer}
        document |= {"claims": found.claims, "changed": found.before is None, "files": files}
        print_json(document)
        return
    if found.before is not None:
        typer.echo(f"run {run_id} was resolved as {answer} by {found.before.actor} before: {found.before.reason}")
        return
    claims = f"{found.claims} claim{'s' * (found.claims != 1)} {'is' if found.claims == 1 else 'are'}"
    typer.echo(f"run {run_id} is resolved as {answer}; {claims} {'final' if answer == 'done' else 'given back'}")
    if files:
        typer.echo("what it had taken; a file that was moved or deleted at its source has to be put back there:")
        for file in files[:SHOWN]:
            typer.echo(f"  {file}")
        if len(files) > SHOWN:
            more = typed_here("claims", "list", "--state", "lost", "--run", run_id)
            typer.echo(f"  and {len(files) - SHOWN} more: {more}")


def _tell_closed(text: str, flow_id: str | None, run_id: str, answer: str, *, as_json: bool) -> None:
    """Say that something without claims was closed."""
    document = {"schema": RESOLVE_SCHEMA, "flow_id": flow_id, "run_id": run_id, "as": answer}
    nothing = {"claims": 0, "changed": True, "files": []}
    print_json(document | nothing) if as_json else typer.echo(text)
