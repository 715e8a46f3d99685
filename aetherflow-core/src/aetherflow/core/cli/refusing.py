"""Writing down a start that was refused before its run began, so that `status` shows it."""

import json
import os
import shlex
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aetherflow.core.base.errors import (
    AetherflowError,
    ChangedDefinitionError,
    PluginError,
    RunBusyError,
    SpecError,
    StateError,
    UsageError,
)
from aetherflow.core.base.location import absolute
from aetherflow.core.base.said import Reason, ReasonCode, said
from aetherflow.core.base.typed import CONFIG_VARIABLE
from aetherflow.core.kernel.sequencing.run_errors import RunError

if TYPE_CHECKING:
    from aetherflow.core.base.redact import Redactor
    from aetherflow.core.cli.noted_start import NotedStart


class RefusedReason(ReasonCode):
    """Codes of `reason_code` of refused starts."""

    INVALID = "invalid", "{text}"
    """The flow, or a document that belongs to it, is wrong."""
    CHANGED = "changed", "{text}"
    """A finished step is not what it was."""
    BUSY = "busy", "{text}"
    """Another process has the run, or the lock of the flow."""
    PLUGIN = "plugin", "{text}"
    """A plugin cannot be used."""
    STATE = "state", "{text}"
    """The state file cannot be used."""
    STOPPED = "stopped", "it was stopped before it began"
    """By a signal, while it waited for a lock."""
    REFUSED = "refused", "{text}"
    """Anything else that was found before the run began."""


_CODES: dict[type[Exception], RefusedReason] = {
    ChangedDefinitionError: RefusedReason.CHANGED,
    RunBusyError: RefusedReason.BUSY,
    PluginError: RefusedReason.PLUGIN,
    StateError: RefusedReason.STATE,
    RunError: RefusedReason.STOPPED,
    SpecError: RefusedReason.INVALID,
}


def write_down(start: "NotedStart", error: AetherflowError | OSError) -> None:
    from aetherflow.core.base.actor import actor, hostname
    from aetherflow.core.kernel.state.records import now_ms
    from aetherflow.core.records.refused import Refused, record_refusal
    from aetherflow.core.records.registry_file import subject_of
    from aetherflow.core.runtime.workspace.engine_files import make_engine_folder
    from aetherflow.core.runtime.workspace.state_root import host_root

    redactor, at = _redactor(start), now_ms()
    reason = _reason(error)
    slot, run_id = _slot(start.given.get("slot")), start.given.get("run_id")
    flow_id, owner, runbook = _facts(start)
    hint, following = _following(error, redactor)
    flow = absolute(start.flow) if start.flow is not None and start.manifest is None else start.flow
    refused = Refused(
        flow_id=start.flow_id or flow_id,
        flow_path=_text(flow or _absolute(start.manifest)),
        slot=slot,
        run_id=run_id,
        subject=None if start.goes_on else subject_of(slot, start.given.get("params") or {}),
        at=at,
        reason=redactor.mask(_text(reason)),
        reason_code=reason.code or "",
        error_code=_code(error),
        actor=actor(),
        host=hostname(),
        trigger=start.trigger,
        command=redactor.mask(_text(shlex.join(sys.argv))),
        config=_text(_absolute(start.config)) if start.config else None,
        manifest=_text(_absolute(start.manifest)) if start.manifest else None,
        working_dir=_text(Path.cwd()),
        owner=owner,
        runbook=runbook,
        last_at=at,
        following=json.dumps(following) if following else None,
        hint=hint,
    )
    root = _root(start)
    if not isinstance(error, StateError):
        with suppress(StateError):  # while a process of 1.0 works, what is written is moved after it
            make_engine_folder(host_root(root))
    record_refusal(root, refused)
    _tell(start, root)


def _tell(start: "NotedStart", root: Path) -> None:
    """Start a sender where a project file may have rules; whether it has, the sender sees."""
    from aetherflow.core.runtime.environment.project_file import find_project
    from aetherflow.core.runtime.notify.start import SendRequest, may_have_rules, start_sender

    beside = start.manifest or start.flow
    folder = _absolute(beside).parent if beside is not None else Path.cwd()
    named = start.config or (Path(given) if (given := os.environ.get(CONFIG_VARIABLE)) else None)
    project = named or find_project(folder)
    if project is not None and may_have_rules(project):
        start_sender(SendRequest(root, folder, _absolute(project), start.since), os.environ)


def _reason(error: AetherflowError | OSError) -> Reason:
    code = next((code for kind, code in _CODES.items() if isinstance(error, kind)), RefusedReason.REFUSED)
    text, fix = str(error), getattr(error, "fix", "")
    if isinstance(error, SpecError):
        errors = [problem for problem in error.problems if problem.severity == "error"]
        if errors:
            text, fix = f"{errors[0].location}: {errors[0].message}", errors[0].fix
        if len(errors) > 1:
            text += f" (and {len(errors) - 1} more)"
    text = next(iter(text.splitlines()), "")
    return said(code, text=f"{text}; {fix}" if fix else text)


def _following(error: AetherflowError | OSError, redactor: "Redactor") -> tuple[str | None, list[str]]:
    """What to type if not the same again, as alternatives; and what a person has to do to it first, if anything."""
    from aetherflow.core.base.redact import MASK
    from aetherflow.core.kernel.resolver.params import ParamError

    hint, given = None, list(map(_text, sys.argv))
    typed = [given]
    if isinstance(error, ChangedDefinitionError):
        typed = [[*given, "--accept-changes"], [*given, "--from-step", error.changes[0][0]]]
    elif isinstance(error, ParamError):
        hint = f"give {error.missing}" if error.missing else "correct it"
        typed = [[*given, "--param", f"{error.missing}=VALUE"]] if error.missing else typed
    elif type(error) is UsageError:  # not of settings: the command is right once they are
        hint = "correct it"
    if hidden := [word for word in given if redactor.mask(word) != word]:
        names = ", ".join(word.partition("=")[0] for word in hidden if "=" in word) or "what is hidden"
        hint = redactor.mask(f"{hint} and {names}" if hint else f"give {names}")
        typed = [[redactor.mask(word).replace(MASK, "VALUE") for word in words] for words in typed]
    return hint, [shlex.join(words) for words in typed] if typed != [given] else []


def _code(error: AetherflowError | OSError) -> str:
    if isinstance(error, SpecError) and error.problems:
        return next((problem.af for problem in error.problems if problem.severity == "error"), error.code)
    return error.code if isinstance(error, AetherflowError) else "AF0003"


def _redactor(start: "NotedStart") -> "Redactor":
    from aetherflow.core.base.redact import Redactor, secrets_in, url_secrets

    redactor = start.snapshot.redactor() if start.snapshot is not None else Redactor()
    params = dict(start.given.get("params") or {})
    redactor.add(secrets_in(params))
    redactor.add(url_secrets([*params.values(), *sys.argv]))
    return redactor


def _facts(start: "NotedStart") -> tuple[str | None, str | None, str | None]:
    """Id, owner and runbook as far as they stand in the flow file without templates."""
    if start.flow is None or start.manifest is not None:
        return None, None, None
    from aetherflow.core.kernel.resolver.template import has_template
    from aetherflow.core.runtime.environment.documents import load_document

    try:
        data = load_document(start.flow).data
    except (AetherflowError, OSError):
        return None, None, None
    flow = data.get("flow") if isinstance(data, dict) else None
    values = [flow.get(name) if isinstance(flow, dict) else None for name in ("id", "owner", "runbook_url")]
    flow_id, owner, runbook = (str(v) if isinstance(v, str) and not has_template(v) else None for v in values)
    return flow_id, owner, runbook


def _slot(given: Any) -> str | None:
    from aetherflow.core.kernel.resolver.dates import parse_slot, slot_text

    if given is None:
        return None
    try:
        return slot_text(parse_slot(given))
    except ValueError:
        return str(given)


def _root(start: "NotedStart") -> Path:
    from aetherflow.core.runtime.workspace.places import default_state_root
    from aetherflow.core.runtime.workspace.state_root import find_state_root
    from aetherflow.core.runtime.workspace.store_places import state_root

    if start.snapshot is not None:
        return state_root(start.snapshot)
    for bare in (False, True):
        with suppress(AetherflowError):  # that is why it was refused
            return find_state_root(Path.cwd(), os.environ, start.config, bare=bare)
    return default_state_root(os.environ.get("AETHERFLOW_STATE_ROOT"), os.environ)


def _absolute(path: Path | None) -> Path:
    return absolute(path or Path())


def _text(value: object) -> str:
    return str(value).encode(errors="backslashreplace").decode()
