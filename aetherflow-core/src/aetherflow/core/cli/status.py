from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aetherflow.core.base.errors import UsageError
from aetherflow.core.cli.arguments import ConfigOption, HtmlOption, JsonOption
from aetherflow.core.console.streams import print_json, print_text, reserve_stdout

if TYPE_CHECKING:
    from aetherflow.core.cli.hooks_here import HooksHere
    from aetherflow.core.cli.needs import Picture
    from aetherflow.core.contracts.needs_person import NeedsPerson
    from aetherflow.core.records.history import PastRun
    from aetherflow.core.records.registry_file import KnownFlow
    from aetherflow.core.runtime.resuming import Resumes

STATUS_SCHEMA = 1
_WORDS = {
    "RUNNING": "running",
    "SUCCESS": "ok",
    "FAILED": "failed",
    "INTERRUPTED": "interrupted",
    "UNKNOWN": "unknown",
}


def status(
    flow: Annotated[str | None, typer.Option("--flow", metavar="GLOB", help="Only these flows: 'sales_*'.")] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="TIME", help="Only what happened since: 24h, 7d, 2026-11-24.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Also a line for every flow.")] = False,
    notify: Annotated[
        bool, typer.Option("--notify", help="First send the notifications of the project file, and wait.")
    ] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
    as_format: Annotated[
        str | None,
        typer.Option("--format", metavar="NAME", help="Print it in another format: prometheus; exits with 0."),
    ] = None,
    html: HtmlOption = None,
) -> None:
    """Show what needs a person, with the one command that goes on; then what runs, then how many flows are well.

    FAILED, INTERRUPTED (stopped, or its process is gone), UNKNOWN (a step was interrupted that must not be repeated
    unasked: you decide), REFUSED (a start that did not come to a run), MISSED (slots of a schedule), LATE (a run, a
    scheduler, a worker or a broker without a heartbeat), UNFINISHED (later runs have left alone what it took), GONE
    (state files). Each stays until a run of the same flow, slot and parameters is SUCCESS and has left nothing of it
    alone, or until `runs ack` or `runs resolve`; UNKNOWN stays until you have decided about that run, LATE until the
    next heartbeat. Messages that could not be sent are counted below. Exit code 1 if there is one of all these that
    nobody has in hand, 4 if a file is UNREADABLE; with --html 0, as the page says it.

    Example, at any hour: aetherflow status
    """
    from aetherflow.core.cli.hooks_here import HooksHere
    from aetherflow.core.cli.lookup import places_here
    from aetherflow.core.cli.merged_needs import add_told
    from aetherflow.core.cli.needs import picture
    from aetherflow.core.cli.unsent import send_here, unsent_json, unsent_text
    from aetherflow.core.console.since import instant_ms
    from aetherflow.core.kernel.state.records import now_ms
    from aetherflow.core.runtime.resuming import Resumes
    from aetherflow.core.runtime.sending.book import not_sent

    if as_json and as_format is not None:
        raise UsageError("--json and --format exclude each other", fix="give one of them")
    if html is not None:
        from aetherflow.core.console.pages import require_pages

        if as_format is not None:
            raise UsageError("--format and --html exclude each other", fix="give one of them")
        require_pages("status", html, json=as_json)
    reserve_stdout(as_format is not None)
    root, locks = places_here(config)
    if notify:
        send_here(root, config)
    now, hooks = now_ms(), HooksHere(config)
    from_ms = instant_ms(since, now)
    found = picture(root, now, flow, config, locks=locks)
    add_told(found, hooks.needs(root, flow), now)
    resumes = Resumes(root, config)
    flows = [_look(each, found, resumes) for each in found.flows]
    shown = [each for each in flows if from_ms is None or _happened(each, from_ms)]
    if from_ms is not None:
        found.needs = [need for need in found.needs if need.since >= from_ms or need.status in ("GONE", "OLDER")]
    _add_waiting(found, config)
    count, unsent = len(found.needs), not_sent(root)
    if as_json or as_format is not None or html is not None:
        document = {"schema": STATUS_SCHEMA, "ok": not count and not unsent, "state_root": str(root), "at": now}
        flows_json = _with_successes(root, shown)
        document |= _json(found) | {"counts": _counts(shown), "flows": flows_json, "left_out": len(flows) - len(shown)}
        document["not_sent"] = unsent_json(unsent)
        if html is not None:
            typer.echo(_page(html, root, document, config))
            return  # who opens it reads in it what is wrong
        if as_format is not None:
            print_text(_formatted(hooks, as_format, document))
            return  # who collects it reads in it what is wrong
        print_json(document)
    else:
        typer.echo(_text(found, now, shown, every=every) or _nothing(root, config, flow))
        if left_out := len(flows) - len(shown):
            typer.echo(f"{left_out} more did not run since {since}")
        if unsent:
            typer.echo(unsent_text(unsent, config))
    unreadable = any(need.status == "UNREADABLE" for need in found.needs)
    raise typer.Exit(4 if unreadable else 1 if count or unsent else 0)


def _with_successes(root: Path, flows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The flows with the end of their last whole SUCCESS, and how long it took, whatever came after it."""
    from aetherflow.core.records import registry
    from aetherflow.core.records.overview import last_successes

    known = registry.look(root, last_successes)
    names = ("last_success_at", "last_success_ms")
    return [
        flow | dict(zip(names, known.get((flow["flow_id"], flow["state_path"]), (None, None)), strict=True))
        for flow in flows
    ]


def _page(html: Path, root: Path, document: dict[str, Any], config: Path | None) -> str:
    from aetherflow.core.base.typed import command_line, typed_here
    from aetherflow.core.cli.flow_history import last_runs
    from aetherflow.core.console.pages import made_here, write_page
    from aetherflow.core.runtime.resuming import named

    worked = {flow["flow_id"] for flow in document["flows"] if flow["last_success_at"] is not None}

    def with_diff(need: dict[str, Any]) -> dict[str, Any]:
        if not (need["run_id"] and need["flow_id"] in worked):
            return need | {"diff_command": None}
        words = named(root, need["flow_id"], need["run_id"])
        return need | {"diff_command": command_line("runs", "diff", *words, config=config)}

    needs = {name: list(map(with_diff, document[name])) for name in ("needs_person", "in_hand")}
    running = {(run["flow_id"], run["run_id"]) for run in document["running"]}
    runs = last_runs(root, {(each["flow_id"], each["state_path"]) for each in document["flows"]}, running)
    flows = [each | {"runs": runs.get((each["flow_id"], each["state_path"]), [])} for each in document["flows"]]
    page = document | needs | made_here() | {"flows": flows, "all_command": typed_here("status", "--all")}
    return write_page(html, "status", page, config)


def _formatted(hooks: "HooksHere", name: str, document: dict[str, Any]) -> str:
    if (text := hooks.formatted(name, document)) is not None:
        return text
    from aetherflow.core.base.suggest import nearest
    from aetherflow.core.host.first_party import extra_for, hinted
    from aetherflow.core.host.installing import install_command

    known = hinted("formats")
    if name in known:
        fix = install_command(str(extra_for("formats", name)))
    else:
        near = nearest(name, known)
        there = f"there are {', '.join(known)}, those of other plugins, and --json"
        fix = there if near is None else f"did you mean {near!r}? {there}"
    raise UsageError(f"no installed distribution writes the status as {name!r}", fix=fix)


def _look(flow: "KnownFlow", picture: "Picture", resumes: "Resumes") -> dict[str, Any]:
    """How the last run of a flow stands, from the registry; from the state file where it did not end well and whole."""
    import shlex

    from aetherflow.core.cli.causes import asks, cause_of

    found: dict[str, Any] = {"flow_id": flow.flow_id, "status": "never", "run_id": None, "started_at": None}
    found |= {"finished_at": None, "duration_ms": None, "reason": None, "reason_code": None}
    found |= {"flow_yaml": flow.flow_path, "state_path": flow.state_path, "next": None, "parent": None}
    if (word := _file_word(flow, picture, resumes)) is not None:
        status, reason, fix = word
        return found | {"status": status, "reason": reason, "next": fix, "started_at": flow.last_started_at}
    run = picture.latest.get((flow.flow_id, flow.state_path))
    if run is None or run.status is None:
        return found | {"next": shlex.join(["aetherflow", "run", flow.flow_path])}
    took = run.ended_at - run.started_at if run.ended_at else None
    found |= {"status": _WORDS[run.status], "run_id": run.run_id, "parent": run.parent, "duration_ms": took}
    found |= {"started_at": run.started_at, "finished_at": run.ended_at, "reason_code": run.reason_code}
    trouble = picture.known.get((flow.state_path, flow.flow_id, run.run_id))
    if trouble is None:
        return found
    stored = trouble.run
    found |= {
        "started_at": stored.started_at,
        "status": _WORDS[stored.status],
        "reason": stored.reason or stored.error or trouble.error,
    }
    found |= {"reason_code": stored.reason_code, "finished_at": stored.finished_at, "duration_ms": stored.duration_ms}
    if asks(trouble):  # also one that was killed in a step that must not be repeated unasked
        return found | {"status": "unknown", "reason": cause_of(trouble)[0], "next": resumes.shown(stored)}
    if found["status"] in ("failed", "interrupted", "unknown"):
        told = next((need for need in (*picture.needs, *picture.in_hand) if _is_of(need, stored)), None)
        if told is None:
            found["next"] = resumes.command(stored)
        elif told.hint is None and len(told.commands) == 1:  # of alternatives a person chooses, where they stand
            found["next"] = told.commands[0]
    elif found["status"] == "running":
        found["reason"] = f"pid {stored.pid} on {stored.host}"
    return found


def _is_of(need: "NeedsPerson", run: "PastRun") -> bool:
    return (need.run_id, need.flow_id) == (run.run_id, run.flow_id)


def _file_word(flow: "KnownFlow", picture: "Picture", resumes: "Resumes") -> tuple[str, str, str] | None:
    """Why the state file of a flow cannot be asked: a word, the reason, what to type."""
    import shlex

    from aetherflow.core.base.typed import command_line

    path = flow.state_path
    if path in picture.gone:
        return "gone", f"there is no file {path}", command_line("state", "forget", config=resumes.config)
    if path in picture.older:
        return "older", f"state file {path} is of an older version", f"aetherflow state migrate {shlex.quote(path)}"
    if (error := picture.unreadable.get(path)) is not None:
        return "unreadable", str(error), error.commands[0] if error.commands else error.fix
    return None


def _happened(flow: dict[str, Any], from_ms: int) -> bool:
    return flow["status"] == "running" or (flow["started_at"] or 0) >= from_ms


def _counts(flows: list[dict[str, Any]]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for flow in flows:
        counts[flow["status"]] = counts.get(flow["status"], 0) + 1
    return counts


def _add_waiting(picture: "Picture", config: Path | None) -> None:
    """Which of the runs under way wait for a lock."""
    if not picture.running:
        return
    from contextlib import suppress

    from aetherflow.core.base.errors import StateError
    from aetherflow.core.cli.waiting import waiting_here, waits_json

    waiting = {}
    with suppress(StateError):  # a lock store that cannot be used has a row
        waiting = waiting_here(config)
    picture.running = [run._replace(**waits_json(waiting.get((run.flow_id, run.run_id)))) for run in picture.running]


def _json(picture: "Picture") -> dict[str, Any]:
    import dataclasses

    return {
        "needs_person": [dataclasses.asdict(need) for need in picture.needs],
        "in_hand": [dataclasses.asdict(need) for need in picture.in_hand],
        "running": [run._asdict() for run in picture.running],
        "gone": picture.gone,
        "older": picture.older,
        "before": [{"flow_id": run.flow_id, "run_id": run.run_id} for run in picture.before],
    }


def _text(picture: "Picture", now: int, shown: list[dict[str, Any]], *, every: bool) -> str:
    import shutil

    from aetherflow.core.cli.status_text import Lines

    if not shown and not picture.needs and not picture.in_hand:
        return ""
    talked_of = {need.flow_id or need.name for need in (*picture.needs, *picture.in_hand)}
    talked_of |= {run.flow_id for run in picture.running}
    ok = [flow for flow in shown if flow["status"] == "ok" and flow["flow_id"] not in talked_of]
    never = [flow for flow in shown if flow["status"] == "never"]
    rest = [("ok", f"{len(ok)} flow{'s' * (len(ok) != 1)}{'' if every else ' (--all)'}")] if ok else []
    if never:
        rest.append(("never", f"{len(never)} flow{'s' * (len(never) != 1)} without a recorded run (--all)"))
    lines = Lines(shutil.get_terminal_size((100, 24)).columns, now).text(picture, rest, every)
    return f"{lines}\n\n{_every(shown)}" if every and shown else lines


def _nothing(root: Path, config: Path | None, flow: str | None) -> str:
    from aetherflow.core.cli.lookup import elsewhere, plain

    what = "no run" if flow is None else f"no run of a flow {flow!r}"
    return f"{what} under {plain(root)}{elsewhere(config, 'status')}"


def _every(shown: list[dict[str, Any]]) -> str:
    from aetherflow.core.base.times import iso
    from aetherflow.core.cli.history_text import took
    from aetherflow.core.console.table import table

    rows = [
        [
            flow["status"],
            flow["flow_id"],
            flow["run_id"] or "",
            iso(flow["started_at"]),
            took(flow["duration_ms"]),
            _note(flow),
        ]
        for flow in shown
    ]
    return table(["status", "flow", "run", "started", "lasted", "note"], rows)


def _note(flow: dict[str, Any]) -> str:
    """The note of a flow: the reason may be shortened, the next command never is."""
    from aetherflow.core.cli.history_text import first_line

    notes = [f"part of {flow['parent']}"] if flow["parent"] else []
    notes += [first_line(flow["reason"])] if flow["reason"] else []
    if flow["next"]:
        notes.append(f"next: {flow['next']}")
    return "; ".join(notes)
