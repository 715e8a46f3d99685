"""Checks the keys of items that run a command in place of a flow."""

import re
import shlex
from collections.abc import Iterable, Mapping
from typing import Any

from aetherflow.scheduler.schedule.schedule import ItemCommand
from aetherflow.scheduler.schedule.spec import SchedulerItemSpec

_OF_FLOWS = ("flow_yaml", "flow", "flow_job", "job", "bundle_manifest", "allow_stale_bundle", "params")
_ID = re.compile(r"[A-Za-z][A-Za-z0-9_-]*\Z")
"""Ids under which `aetherflow wrap` keeps a history."""


def command_problem(
    item: SchedulerItemSpec, own: SchedulerItemSpec, data: Mapping[str, Any]
) -> tuple[str, str, str] | None:
    """What is wrong with the command of an item: key, message and fix; None if nothing is.

    `own` is the item without the keys of `defaults`, of which a command uses what concerns it; `data` is its text.
    """
    if "command" not in own.model_fields_set:
        if item.lock is None:
            return None
        return "lock", "`lock` belongs to `command`", "remove it; a flow has `flow.locks`, or `lock` in its jobs"
    if not item.command or not item.command[0]:
        return "command", "`command` names no program", "write the program and its arguments: [pg_dump, shop]"
    if (key := next((key for key in _OF_FLOWS if key in data), None)) is not None:
        return key, f"`{key}` belongs to a flow, and the item has a command", "keep one of the two"
    given = data["command"]
    if isinstance(given, str) and re.search(r"\s", given):
        return "command", f"`command` is one program with blanks: {given!r}", _as_list(given)
    if not _ID.match(item.id):
        fix = "letters, digits, '_' and '-', a letter first"
        return "id", f"{item.id!r} cannot be the id of a command, whose history has the same name", fix
    return None


def as_flow(name: str, command: ItemCommand) -> dict[str, Any]:
    """The flow as which `aetherflow wrap` runs a command, for its checks."""
    from aetherflow.core.embedding import RawString

    inputs = {"command": [RawString(word) for word in command.words], "cwd": RawString(str(command.folder))}
    step = {"id": "command", "type": "external.process", "inputs": inputs}
    return {"version": 1, "flow": {"id": name}, "jobs": [{"id": "wrap", "steps": [step]}]}


def masked_words(words: Iterable[str]) -> list[str]:
    """Words of a command without the values of assignments and options with secret names: `--password=`."""
    from aetherflow.core.embedding import masked_by_name

    found = []
    for word in words:
        name, sign, value = word.partition("=")
        found.append(name + sign + str(masked_by_name({name.lstrip("-"): value})[name.lstrip("-")]))
    return found


def _as_list(text: str) -> str:
    try:
        words = shlex.split(text)
    except ValueError:
        words = text.split()
    if set(text) & set("|<>;&$`*"):
        words = ["sh", "-c", text]
    shown = ", ".join(word if re.fullmatch(r"[\w./=-]*[A-Za-z./][\w./=-]*", word) else f'"{word}"' for word in words)
    return f"write a list: [{shown}]"
