import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aetherflow.core.cli.arguments import ConfigOption, FlowIdOption, JsonOption, StatePathOption, complete_run_id
from aetherflow.core.console.streams import print_json

if TYPE_CHECKING:
    from aetherflow.core.kernel.state.store import StateStore
    from aetherflow.core.records.acts import Act
    from aetherflow.core.records.history import PastRun

ACK_SCHEMA = 1
HANDLE = "refused-"
"""What `status` names a refused start by, followed by its number."""


def ack(
    run_id: Annotated[
        str | None,
        typer.Argument(
            metavar="RUN_ID", help="Id of the run, or refused-N.", show_default=False, autocompletion=complete_run_id
        ),
    ] = None,
    before: Annotated[
        str | None,
        typer.Option("--before", metavar="TIME", help="Instead of one: all that ended before 2026-11-24, or 7d ago."),
    ] = None,
    until: Annotated[
        str | None, typer.Option("--until", metavar="TIME", help="Then it is shown again: 2h, 08:00, 2026-11-24T08:00.")
    ] = None,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; written down.  [required]")] = "",
    flow: FlowIdOption = None,
    state_path: StatePathOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say that what `status` shows is in hand: it no longer counts, until it is healed or the time is over.

    It is written into the state of the run, with your name. A run that goes on ends it. With --before everything older
    is written off: without --until it is not shown again.

    Example: aetherflow runs ack nightly-2026-11-24 --until 08:00 --reason "ticket 4711"

    Example: aetherflow runs ack --before 2026-11-24 --reason "from before the upgrade"
    """
    from aetherflow.core.base.errors import UsageError
    from aetherflow.core.base.typed import typed_here
    from aetherflow.core.cli.lookup import root_to_write
    from aetherflow.core.console.since import instant_ms
    from aetherflow.core.kernel.state.records import now_ms

    if (run_id is None) == (before is None):
        raise UsageError("name one run, or give --before", fix=typed_here("runs", "ack", "RUN_ID", "--reason", "TEXT"))
    if not reason.strip():
        raise UsageError("--reason is missing", fix='say why: --reason "ticket 4711"')
    now = now_ms()
    until_ms = _until(until, now) if until is not None else None
    root = root_to_write(config)
    if run_id is not None:
        done = [_one(root, run_id, flow, state_path, _act(None, reason, until_ms, now))]
    else:
        before_ms = instant_ms(before, now, "--before") or now
        done = _all_before(root, before_ms, flow, _act(before, reason, until_ms, now))
    if as_json:
        document = {"schema": ACK_SCHEMA, "acknowledged": done, "until": until_ms, "reason": reason}
        print_json(document)
    elif done:
        for each in done:
            typer.echo(f"{each['flow_id'] or each['flow_yaml']}  {each['run_id']}  {each['status']}: in hand")
    else:
        typer.echo(f"nothing that needs a person ended before {before}")


def _act(value: str | None, reason: str, until: int | None, now: int) -> "Act":
    from aetherflow.core.base.actor import actor, hostname
    from aetherflow.core.records.acts import Act, Verb

    text = reason.encode(errors="backslashreplace").decode()
    return Act("", Verb.ACK, value, actor(), hostname(), text, until, now, None, None)


def _until(text: str, now: int) -> int:
    """A time to come: a span from now, a time of day in local time (its next one), or an instant."""
    from aetherflow.core.base.errors import UsageError
    from aetherflow.core.console.since import instant_ms, is_span, span_ms

    if is_span(text):
        return now + span_ms(text, "--until")
    try:
        clock = dt.time.fromisoformat(text)
    except ValueError:
        found = instant_ms(text, now, "--until") or 0
    else:
        here = dt.datetime.fromtimestamp(now / 1000).astimezone()
        today = dt.datetime.combine(here.date(), clock).astimezone()
        day = here.date() if today > here else here.date() + dt.timedelta(days=1)
        found = int(dt.datetime.combine(day, clock).timestamp() * 1000)
    if found <= now:
        raise UsageError(f"--until {text!r} is over already", fix="name a time to come: 2h, 08:00, 2026-11-24T08:00")
    return found


def _one(root: Path, run_id: str, flow_id: str | None, state_path: str | None, act: "Act") -> dict[str, Any]:
    from aetherflow.core.base.errors import UsageError
    from aetherflow.core.base.typed import typed_here
    from aetherflow.core.cli.lookup import find_run
    from aetherflow.core.cli.needs import NOT_WELL
    from aetherflow.core.kernel.state.transitions import Status
    from aetherflow.core.records.trouble import trouble_of

    if run_id.startswith(HANDLE):
        return act_on_handle(root, run_id, act)
    run = find_run(root, run_id, flow_id, state_path, "runs ack", "--reason", act.reason)
    (trouble,) = trouble_of(Path(run.state_path), [(run.flow_id, run.run_id)])
    if run.status not in NOT_WELL and (run.status == Status.RUNNING or not trouble.open_claims):
        why = "there is nothing to acknowledge"
        if run.status == Status.RUNNING:
            why = "it has not ended. Its LATE row disappears with the next heartbeat or with its end"
        message = f"run {run_id!r} of flow {run.flow_id} is {run.status}: {why}"
        raise UsageError(message, fix=f"look what needs a person: {typed_here('status')}")
    _write(root, run, act)
    return {"flow_id": run.flow_id, "run_id": run.run_id, "status": run.status, "flow_yaml": run.flow_path}


def act_on_handle(root: Path, handle: str, act: "Act") -> dict[str, Any]:
    """Write down an act on the refused start that `status` names so."""
    from aetherflow.core.base.errors import UsageError
    from aetherflow.core.base.typed import typed_here
    from aetherflow.core.records import registry
    from aetherflow.core.records.refused import act_on_refusal, open_refusals
    from aetherflow.core.runtime.unreadable import require_readable

    found = {f"{HANDLE}{each.id}": each for each, _ in registry.look(root, open_refusals)}
    if handle not in found:
        require_readable(root)
        raise UsageError(f"no refused start {handle!r} is open under {root}", fix=typed_here("status"))
    refused = found[handle]
    act_on_refusal(root, refused.id, act)
    return {"flow_id": refused.flow_id, "run_id": handle, "status": "REFUSED", "flow_yaml": refused.flow_path}


def _all_before(root: Path, before_ms: int, flow: str | None, act: "Act") -> list[dict[str, Any]]:
    from aetherflow.core.cli.needs import NOT_WELL, picture
    from aetherflow.core.runtime.resuming import runs_of
    from aetherflow.core.runtime.unreadable import require_readable

    require_readable(root)
    seen = picture(root, act.at, flow)
    needs = [need for need in (*seen.needs, *seen.in_hand) if need.since < before_ms]
    named = [(need.handle, need.flow_id) for need in needs if need.handle is not None]
    done = []
    for handle, flow_id in dict.fromkeys(named):
        found = [] if handle.startswith(HANDLE) else runs_of(root, handle, flow_id)
        states = [run.state_path for run in found if run.status in NOT_WELL] if len(found) > 1 else [None]
        done += [_one(root, handle, flow_id, state, act) for state in states]
    return done


def _require_same(store: "StateStore", run: "PastRun") -> None:
    """UsageError if the run has gone on since it was looked at: what is said of its end would count for another one."""
    from aetherflow.core.base.errors import UsageError
    from aetherflow.core.base.typed import typed_here

    found = store.find_run(run.flow_id, run.run_id)
    if found is None or found.generation != run.generation:
        raise UsageError(f"run {run.run_id!r} goes on, or was removed, a moment ago", fix=typed_here("status"))


def _write(root: Path, run: "PastRun", act: "Act") -> None:
    import contextlib

    from aetherflow.core.kernel.state.unit import Unit
    from aetherflow.core.records.acts import Verb, record_act
    from aetherflow.core.records.migration import open_state
    from aetherflow.core.records.registry import settle

    with contextlib.closing(open_state(Path(run.state_path))) as store:  # which migrates it
        unit = Unit(store, run.flow_id, run.run_id)
        with unit.transaction("acknowledge run", check=False):
            _require_same(store, run)
            record_act(unit, Verb.ACK, act.value, actor=act.actor, host=act.host, reason=act.reason, until=act.until)
    written_off = act.value is not None and act.until is None
    settle(root, run.flow_id, run.run_id, run.state_path, Verb.ACK if written_off else None, run.last_seen)
