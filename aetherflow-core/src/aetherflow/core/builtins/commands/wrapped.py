"""Running a command line as a flow of one step, which gives it history, locks and logs, without a file on disk."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from aetherflow.core.base.errors import UsageError
from aetherflow.core.kernel.yaml.loader import Document, RawString
from aetherflow.core.kernel.yaml.source_map import SourceMap
from aetherflow.core.runtime.resuming import wrapped_path
from aetherflow.core.runtime.workspace.places import FLOW_ID

JOB, STEP = "wrap", "command"
SLOT_VARIABLE = "AETHERFLOW_SLOT"


def wrapped_document(
    flow_id: str,
    command: Sequence[str],
    folder: Path,
    *,
    timeout_seconds: float | None = None,
    locked: bool = False,
    wait_seconds: float = 0,
    slotted: bool = False,
) -> Document:
    """A flow with one step `external.process` that runs a command in `folder`; with `locked` under the flow's lock.

    With `slotted` the command gets the slot of the run as AETHERFLOW_SLOT.

    Raises UsageError for an invalid id, a missing command and arguments that are not UTF-8.
    """
    if not FLOW_ID.match(flow_id):
        raise UsageError(f"--id {flow_id!r} is not an id", fix="letters, digits, '_' and '-', a letter first")
    for text in (*command, str(folder)):
        try:
            text.encode()
        except UnicodeEncodeError:
            raise UsageError(f"not UTF-8: {text!r}", fix="put it into a script, and wrap that") from None
    if not command or not command[0]:
        raise UsageError("no command is given", fix="write it after two dashes: aetherflow wrap --id NAME -- COMMAND …")
    inputs: dict[str, Any] = {"command": [RawString(word) for word in command], "cwd": RawString(str(folder))}
    if timeout_seconds is not None:
        inputs["timeout_seconds"] = timeout_seconds
    if slotted:
        inputs["env"] = {SLOT_VARIABLE: "{{run.slot}}"}
    step = {"id": STEP, "type": "external.process", "inputs": inputs}
    flow: dict[str, Any] = {"id": flow_id}
    if locked:
        flow["locks"] = {"scope": "flow", "wait_seconds": wait_seconds}
    data: Mapping[str, Any] = {"version": 1, "flow": flow, "jobs": [{"id": JOB, "steps": [step]}]}
    name = str(wrapped_path(folder, flow_id))
    return Document(name, data, SourceMap(name), repr(data))
