"""What the steps of a run read and made: from query to file, table, report and mail, by what they have recorded."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aetherflow.core.base import durable
from aetherflow.core.console.table import table
from aetherflow.core.kernel.state.blobs import FileBlobs, TableBlobs, load_outputs
from aetherflow.core.records.history import side_of
from aetherflow.core.records.reading import read

if TYPE_CHECKING:
    from aetherflow.core.records.history import PastRun, RunDetails

RECEIPTS_SCHEMA = 1
SHOWN_DIGITS = 12
"""Of a hash in the table."""
FIELDS = ("kind", "name", "rows", "bytes", "sha256", "id", "made_by")
"""Of each thing that was read or made; null where nobody has recorded it."""


@dataclass
class Receipt:
    """What one step, or one item of it, read and made."""

    job_id: str
    step_id: str
    item_key: str
    label: str | None
    type: str
    read: list[dict[str, Any]] = field(default_factory=list)
    made: list[dict[str, Any]] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The step as `JOB.STEP`, with its item in brackets if it is repeated."""
        item = self.label or self.item_key
        return f"{self.job_id}.{self.step_id}" + (f"[{item}]" if item else "")


def receipts_of(found: "RunDetails") -> list[Receipt]:
    """The receipts of all steps that succeeded and read or made something, in the order in which they ran.

    A thing that was read has the hash and the number of rows of the step that made it before: the file of the same
    path or hash, or the table of the same name. A file that no step made has the hash that it had when it was read.
    StateError if the outputs cannot be read.
    """
    listed: list[Receipt] = []
    made: dict[tuple[str, Any], dict[str, Any]] = {}
    steps = {(step.job_id, step.step_id, step.item_key): step for step in found.steps}
    recorded, seen = _recorded(found.run)
    for key, outputs in recorded.items():
        step = steps[key]
        receipt = Receipt(*key, step.label, step.plugin.partition(" ")[0])
        told = outputs.get("receipt")
        read, own = (_things(told.get(name)) for name in ("read", "made")) if isinstance(told, dict) else ([], [])
        receipt.read += [_linked(_with_facts(each, seen.get(key, {})), made) for each in read]
        files = [each for each in found.artifacts if (each.job_id, each.step_id, each.item_key) == key]
        rows = outputs.get("rows") if len(files) == 1 and not own else None
        for file in files:
            same = next((each for each in own if each["name"] == file.path), None)
            if same is None:
                (same,) = _things([{"kind": "file", "name": file.path, "rows": rows}])
                receipt.made.append(same)
            same |= {"bytes": file.size, "sha256": file.sha256}
        receipt.made += own
        for each in receipt.made:
            each["made_by"] = receipt.name
            for mark in ("name", "sha256"):
                if each[mark]:
                    made[mark, each[mark]] = each
        if receipt.read or receipt.made:
            listed.append(receipt)
    return listed


def receipts_json(run: "PastRun", receipts: list[Receipt]) -> dict[str, Any]:
    """The receipts as a JSON document."""
    return {
        "schema": RECEIPTS_SCHEMA,
        "flow_id": run.flow_id,
        "run_id": run.run_id,
        "status": run.status,
        "receipts": [
            {
                "job_id": each.job_id,
                "step_id": each.step_id,
                "item_key": each.item_key,
                "label": each.label,
                "type": each.type,
                "read": each.read,
                "made": each.made,
            }
            for each in receipts
        ],
    }


def receipts_text(run: "PastRun", receipts: list[Receipt]) -> str:
    """The receipts as a table: of each step first what it read, then what it made."""
    head = f"receipts of run {run.run_id} of flow {run.flow_id}: {run.status}"
    if not receipts:
        return f"{head}\n\nno step has recorded what it read or made"
    rows = []
    for receipt in receipts:
        shown = receipt.name
        for did, things in (("read", receipt.read), ("made", receipt.made)):
            for each in things:
                count = "" if each["rows"] is None else f"{each['rows']:,}"
                digest = (each["sha256"] or "")[:SHOWN_DIGITS]
                made_by = f"of {each['made_by']}" if did == "read" and each["made_by"] else ""
                rows.append([shown, did, each["kind"], each["name"], count, digest, each["id"] or made_by])
                shown = ""
    return f"{head}\n\n{table(['step', '', 'what', 'name', 'rows', 'sha256', 'id or origin'], rows)}"


_Place = tuple[str, str, str]
"""Job, step and item."""


def _recorded(run: "PastRun") -> tuple[dict[_Place, dict[str, Any]], dict[_Place, dict[str, dict[str, Any]]]]:
    """The outputs of what succeeded, in the order of its begin, but for secret ones; and what it read. StateError.

    What it read is by path a map with `size`, and `sha256` of files that are not too long.
    """
    path, name = Path(run.state_path), f"{run.flow_id}/{run.run_id}"
    query = (
        "SELECT job_id, step_id, item_key, outputs, blob, secret_keys FROM step_runs "
        "WHERE flow_id=? AND run_id=? AND status='SUCCESS' ORDER BY started_at, job_id, step_id, item_key"
    )
    noted = "SELECT detail FROM journal WHERE flow_id=? AND run_id=? AND event='files_read' ORDER BY seq"

    def select(db: durable.Database) -> tuple[dict[_Place, Any], dict[_Place, Any]]:
        blobs = TableBlobs(db, name) if durable.server_at(path) else FileBlobs(side_of(path) / "blobs", name)
        found, seen = {}, dict[_Place, Any]()
        for job, step, item, text, blob, secret in db.execute(query, (run.flow_id, run.run_id)).fetchall():
            hidden = json.loads(secret or "[]")
            outputs = load_outputs(text, blob, blobs)
            found[job, step, item] = {key: value for key, value in outputs.items() if key not in hidden}
        for (text,) in db.execute(noted, (run.flow_id, run.run_id)).fetchall():
            detail = json.loads(text)
            seen.setdefault((detail["job"], detail["step"], detail.get("item", "")), {}).update(detail["files"])
        return found, seen

    return read(path, select)


def _with_facts(source: dict[str, Any], seen: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """A file that was read, with its size and hash then."""
    facts = seen.get(source["name"], {}) if source["kind"] == "file" and source["sha256"] is None else {}
    return {**source, "bytes": facts.get("size", source["bytes"]), "sha256": facts.get("sha256")} if facts else source


def _things(told: Any) -> list[dict[str, Any]]:
    """What a step tells it has read or made, with all fields."""
    listed = told if isinstance(told, list) else []
    return [{name: each.get(name) for name in FIELDS} for each in listed if isinstance(each, dict)]


def _linked(source: dict[str, Any], made: dict[tuple[str, Any], dict[str, Any]]) -> dict[str, Any]:
    """A thing that was read, with what the step that made it has recorded."""
    for mark in ("sha256", "name"):
        origin = made.get((mark, source[mark])) if source[mark] else None
        if origin is None or origin["kind"] != source["kind"]:
            continue
        if source["kind"] == "file" and source["sha256"] not in (None, origin["sha256"]):
            continue  # a file of that name, with other content when it was read
        return {name: origin[name] if value is None and name != "id" else value for name, value in source.items()}
    return source
