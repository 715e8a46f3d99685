"""Builds the arguments of `aetherflow` for a slot, `run` or `wrap`, and names its log file."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aetherflow.core.embedding import iso
from aetherflow.scheduler.launchers.base import RunRequest
from aetherflow.scheduler.ledger.records import SlotRow
from aetherflow.scheduler.reasons import one_line

if TYPE_CHECKING:
    from aetherflow.scheduler.schedule.schedule import Item


def request_for(item: "Item", row: SlotRow, folder: Path, log: Path) -> RunRequest:
    """The request to run a slot, with `--if-busy wait`: a process of an earlier scheduler may still run it."""
    arguments = ["run", *_flow_of(item)] if item.command is None else ["wrap", "--id", item.id]
    arguments += ["--run-id", row.run_id, "--slot", iso(row.slot), "--if-busy", "wait", "--json"]
    arguments += ["--trigger", row.trigger]
    if item.command is not None:
        arguments.append("--no-lock" if item.spec.lock is None else f"--lock={item.spec.lock}")
        arguments += ["--", *item.command.words]
        return RunRequest(row.item, row.run_id, iso(row.slot), tuple(arguments), folder, log, queue=item.spec.queue)
    if item.spec.flow_job is not None:
        arguments += ["--flow-job", item.spec.flow_job]
    for name, value in row.given.items():
        arguments += ["--param", f"{name}={value}"]
    return RunRequest(
        row.item, row.run_id, iso(row.slot), tuple(arguments), folder, log,
        queue=item.spec.queue, fan_out_queue=item.spec.fan_out_queue,
    )  # fmt: skip


def _flow_of(item: "Item") -> list[str]:
    """The options of `aetherflow run` that name the flow of an item."""
    if item.manifest is None:
        return ["--flow-yaml", str(item.flow)]
    stale = ["--allow-stale-bundle"] if item.spec.allow_stale_bundle else []
    flow = ["--flow-yaml", item.bundle_flow] if item.bundle_flow is not None else []
    return ["--bundle-manifest", str(item.manifest), *stale, *flow]


def log_of(side: Path, item: str, run_id: str, attempt: int) -> Path:
    """The log file of one start, in the side folder of the ledger."""
    return side / "logs" / item / f"{run_id}.{attempt}.log"


def was_refused(summary: Mapping[str, Any] | None) -> bool:
    """Whether a run was refused before its state was opened: it has an error, and no status."""
    return summary is not None and summary.get("status", "") is None


def reason_of(summary: Mapping[str, Any] | None) -> str | None:
    """Why a run did not succeed, as one line from its summary; None if the summary has no error."""
    error = (summary or {}).get("error")
    if not isinstance(error, Mapping):
        return None
    place = ".".join(str(error[name]) for name in ("job", "step") if error.get(name))
    message = one_line(str(error.get("message") or error.get("code") or ""))
    return one_line(f"{place}: {message}" if place and message else message or place) or None
