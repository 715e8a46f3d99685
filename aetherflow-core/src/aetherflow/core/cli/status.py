from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aetherflow.core.cli.arguments import ConfigOption, JsonOption

if TYPE_CHECKING:
    from aetherflow.core.kernel.state.registry import KnownFlow

STATUS_SCHEMA = 1
_WORDS = {
    "RUNNING": "running",
    "SUCCESS": "ok",
    "FAILED": "failed",
    "INTERRUPTED": "interrupted",
    "UNKNOWN": "unknown",
}
_NEEDS_A_PERSON = ("failed", "interrupted", "unknown", "unreadable")


def status(
    since: Annotated[
        str | None, typer.Option("--since", metavar="TIME", help="Only flows that ran since: 24h, 7d, 2026-11-24.")
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show every flow in one line: how its last run ended, and what to type next.

    ok, running, failed, interrupted (its process was stopped or is gone), unknown (a step was interrupted that must
    not be repeated unasked: you decide), unreadable (its state file), never (no run is recorded). Exit code 1 if a
    person is needed: failed, interrupted, unknown, unreadable.

    Example, every morning: aetherflow status --since 24h
    """
    import json

    from aetherflow.core.cli.lookup import flows_of, state_root_here
    from aetherflow.core.cli.since import instant_ms
    from aetherflow.core.kernel.state.records import now_ms

    root = state_root_here(config)
    from_ms = instant_ms(since, now_ms())
    flows = [_look(flow, root) for flow in flows_of(root, None)]
    shown = [flow for flow in flows if from_ms is None or _ran_since(flow, from_ms)]
    counts: dict[str, int] = {}
    for flow in shown:
        counts[flow["status"]] = counts.get(flow["status"], 0) + 1
    ok = not any(word in counts for word in _NEEDS_A_PERSON)
    if as_json:
        document = {"schema": STATUS_SCHEMA, "ok": ok, "state_root": str(root), "counts": counts, "flows": shown}
        typer.echo(json.dumps({**document, "left_out": len(flows) - len(shown)}, ensure_ascii=False, indent=2))
    else:
        typer.echo(_text(shown, counts, len(flows) - len(shown), since, root))
    raise typer.Exit(0 if ok else 1)


def _look(flow: "KnownFlow", root: Path) -> dict[str, Any]:
    import shlex

    from aetherflow.core.base.errors import StateError
    from aetherflow.core.cli.lookup import resume_command
    from aetherflow.core.kernel.state.history import latest_run

    found: dict[str, Any] = {"flow_id": flow.flow_id, "status": "never", "run_id": None, "started_at": None}
    found |= {"finished_at": None, "duration_ms": None, "reason": None, "reason_code": None}
    found |= {"flow_yaml": flow.flow_path, "state_path": flow.state_path, "next": None}
    found["parent"] = None
    try:
        run = latest_run(Path(flow.state_path), flow.flow_id)
        if run is None:
            return found | {"next": shlex.join(["aetherflow", "run", flow.flow_path])}
        found |= {"status": _WORDS[run.status], "run_id": run.run_id, "reason": run.reason or run.error}
        found |= {"reason_code": run.reason_code, "parent": run.parent}
        found |= {"started_at": run.started_at, "finished_at": run.finished_at, "duration_ms": run.duration_ms}
        if found["status"] in _NEEDS_A_PERSON:
            found["next"] = resume_command(root, run)
        elif found["status"] == "running":
            found["reason"] = f"pid {run.pid} on {run.host}"
    except StateError as error:
        found |= {"status": "unreadable", "reason": str(error), "next": error.fix}
        found["started_at"] = flow.last_started_at
    return found


def _ran_since(flow: dict[str, Any], from_ms: int) -> bool:
    return flow["status"] == "running" or (flow["started_at"] or 0) >= from_ms


def _text(shown: list[dict[str, Any]], counts: dict[str, int], left_out: int, since: str | None, root: Path) -> str:
    from aetherflow.core.cli.history_text import took
    from aetherflow.core.cli.since import iso
    from aetherflow.core.console.table import table

    lines = []
    if shown:
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
        lines += [table(["status", "flow", "run", "started", "took", "note"], rows), ""]
    words = [*dict.fromkeys([*_WORDS.values(), "unreadable", "never"])]
    total = ", ".join(f"{counts[word]} {word}" for word in words if word in counts) or f"no run under {root}"
    lines.append(f"{len(shown)} flow{'s' * (len(shown) != 1)}: {total}")
    if left_out:
        lines.append(f"{left_out} more did not run since {since}")
    return "\n".join(lines)


def _note(flow: dict[str, Any]) -> str:
    """The note of a flow: the reason may be shortened, the next command never is."""
    from aetherflow.core.cli.history_text import first_line

    notes = [f"part of {flow['parent']}"] if flow["parent"] else []
    notes += [first_line(flow["reason"])] if flow["reason"] else []
    if flow["next"]:
        notes.append(f"next: {flow['next']}")
    return "; ".join(notes)
