from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer

from aetherflow.core.cli.arguments import ConfigOption, FlowIdOption, JsonOption, complete_run_id
from aetherflow.core.console.commands import LazyGroup
from aetherflow.core.console.streams import print_json

if TYPE_CHECKING:
    from aetherflow.core.records.claim_history import PastClaim

CLAIMS_SCHEMA = 1
_ASIDE = "SELECT outputs FROM step_runs WHERE flow_id=? AND run_id=? AND plugin=? AND status='SUCCESS'"


class ClaimState(StrEnum):
    open = "open"
    final = "final"
    lost = "lost"


class _Claims(LazyGroup):
    lazy: ClassVar = {"list": "aetherflow.core.cli.claims:list_claims"}


app = typer.Typer(
    cls=_Claims,
    help="What runs took from the world, and what becomes of it.",
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.callback()
def _group() -> None:
    pass


def list_claims(
    state: Annotated[ClaimState, typer.Option("--state", help="Only claims of this state.")] = ClaimState.open,
    flow: FlowIdOption = None,
    run: Annotated[
        str | None,
        typer.Option("--run", metavar="RUN_ID", help="Only claims of this run.", autocompletion=complete_run_id),
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """List what runs have claimed, the oldest first: with the run that holds it, and what becomes of it.

    open: the run is under way, or ended badly and goes on, is taken over, or is resolved. final: taken for good, or set
    aside in a quarantine. lost: taken over by another run, or given back. Exit code 4 if a state file could not be
    read; the others are still listed.

    Example: aetherflow claims list --flow pickup
    """
    from aetherflow.core.base import durable
    from aetherflow.core.base.errors import StateError
    from aetherflow.core.cli.lookup import flows_of, state_root_here
    from aetherflow.core.records import claim_history
    from aetherflow.core.runtime.unreadable import as_rows

    root = state_root_here(config)
    found: list[PastClaim] = []
    aside: dict[tuple[str, str], str] = {}
    unreadable = as_rows(root)
    for path in {
        durable.real_file(Path(known.state_path)): known.state_path for known in flows_of(root, flow)
    }.values():
        try:
            listed = claim_history.list_claims(Path(path), state, flow_id=flow, run_id=run)
            aside |= set_aside(listed)
            found += listed
        except StateError as error:
            unreadable.append({"state_path": path, "error": str(error), "fix": error.fix})
    found.sort(key=lambda claim: (claim.at, claim.flow_id, claim.namespace, claim.key))
    if as_json:
        shown = [claim_json(each, config, aside.get((each.state_path, each.identity or ""))) for each in found]
        document = {"schema": CLAIMS_SCHEMA, "claims": shown, "unreadable": unreadable}
        print_json(document)
    else:
        typer.echo(_text(found, config, aside) if found else f"no claim is {state} under {root}")
        for each in unreadable:
            typer.echo(f"AF4001 {each['error']}\n  fix: {each['fix']}", err=True)
    raise typer.Exit(4 if unreadable else 0)


def claim_json(claim: "PastClaim", config: Path | None, aside: str | None) -> dict[str, Any]:
    """A claim as a JSON object; times are UTC epoch milliseconds. `aside`: where a copy of its file was set aside."""
    return {**claim._asdict(), "quarantine": aside, "next": next_of(claim, config, aside)}


def set_aside(claims: "list[PastClaim]") -> dict[tuple[str, str], str]:
    """State file and identity of a claim to the copy of its file in a quarantine; StateError."""
    import json

    from aetherflow.core.base import durable
    from aetherflow.core.contracts.kinds.names import QUARANTINE_STEP
    from aetherflow.core.records.reading import read

    found: dict[tuple[str, str], str] = {}
    runs = dict.fromkeys((each.state_path, each.flow_id, each.run_id) for each in claims if each.state == "final")
    for path, *run in runs:

        def select(db: durable.Database, run: list[str] = run) -> list[dict[str, str]]:
            return [json.loads(text or "{}") for (text,) in db.execute(_ASIDE, (*run, QUARANTINE_STEP))]

        found |= {(path, made.get("claim", "")): made.get("path", "") for made in read(Path(path), select)}
    return found


def next_of(claim: "PastClaim", config: Path | None, aside: str | None) -> str:
    """What becomes of a claim, or became of it."""
    from aetherflow.core.base.typed import command_line

    run = claim.run_id
    if claim.state == "lost":
        return f"taken over by run {claim.taken_by}" if claim.taken_by else "given back: its key is new again"
    if aside is not None:
        return f"quarantined, not processed: {aside}; put back where it came from, it is taken again"
    if claim.state == "final":
        show = command_line("runs", "show", run, config=config)
        in_vain = f"taken by 1.0 in a run that never ended well, not offered again: {show}"
        return in_vain if claim.in_vain else "taken for good"
    if claim.alive:
        return f"final when run {claim.outermost or claim.run_id} ends well"
    if claim.outermost is not None and claim.run_status == "SUCCESS":
        run = claim.outermost
    verb = ("runs", "show") if claim.partial and claim.outermost is None else ("resume",)
    goes_on = command_line(*verb, run, config=config)
    if claim.left:
        settle = command_line("runs", "resolve", run, "--as", "abandoned", "--reason", "TEXT", config=config)
        return f"later runs have left it alone: {goes_on}, or settle that run: {settle}"
    return f"the next run takes it over; or: {goes_on}"


def _text(claims: list["PastClaim"], config: Path | None, aside: dict[tuple[str, str], str]) -> str:
    from aetherflow.core.cli.history_text import took
    from aetherflow.core.console.table import table
    from aetherflow.core.kernel.state.records import now_ms

    now = now_ms()
    rows = []
    for claim in claims:
        step = f"{claim.job_id}.{claim.step_id}" if claim.job_id else ""
        status = (claim.run_status or "") + (" (partial)" if claim.partial else "")
        rows.append(
            [
                claim.flow_id,
                claim.namespace,
                claim.key,
                claim.run_id,
                status,
                step,
                took(now - claim.at),
                next_of(claim, config, aside.get((claim.state_path, claim.identity or ""))),
            ]
        )
    return table(["flow", "ledger", "key", "run", "status", "step", "age", "next"], rows)
