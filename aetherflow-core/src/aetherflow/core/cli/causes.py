"""Causes in the words of `status`."""

import json
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

from aetherflow.core.base.redact import masked_by_name
from aetherflow.core.base.said import ReasonCode, said
from aetherflow.core.cli.lookup import attempt_logs
from aetherflow.core.kernel.state.reasons import StateReason
from aetherflow.core.kernel.state.transitions import Status

if TYPE_CHECKING:
    from aetherflow.core.records.trouble import Trouble

CAUSE_WIDTH = 240
PARAMS_SHOWN = 5


class Cause(ReasonCode):
    """Causes in the words of `status`; the code of the run's own reason stands beside them."""

    ERROR = "error", "{where}: {error}"
    UNDECIDED = "undecided", "{where} was interrupted; whether it had its effect is not known; {printed}"
    STOPPED = "stopped", "{where}: stopped by {error}"
    GONE = "gone", "its process is gone, in {where}"
    LEFT = "left", "later runs have left what it took to a person, {count} in all"
    REFUSED = "refused", "{reason}"
    RESUME_REFUSED = "resume_refused", "{cause}; to go on was refused: {reason}"


def asks(trouble: "Trouble") -> bool:
    """Whether a person has to say if a step was done; also of a run that was killed in it, before its next start."""
    return trouble.run.status == Status.UNKNOWN or bool(trouble.asks)


def cause_of(trouble: "Trouble") -> tuple[str, str]:
    """The cause of a run that did not end well, and its code."""
    run, error = trouble.run, short(trouble.error or trouble.run.error or trouble.run.reason)
    where = ".".join(name for name in (trouble.job, trouble.step) if name) or "the run"
    if asks(trouble):
        asked_for = ", ".join(f"{step} ({item})" if item else step for step, item in trouble.asks)
        log = _last_log(trouble)
        recorded = f"no output of it is recorded; the run's log: {run.log_path}"
        printed = recorded if log is None else f"what it printed: {log}"
        cause = said(Cause.UNDECIDED, where=f"{asked_for or where}{_given(trouble)}", printed=printed)
    elif run.reason_code == StateReason.GONE:
        cause = said(Cause.GONE, where=where)
    elif run.status == Status.INTERRUPTED:
        cause = said(Cause.STOPPED, where=where, error=error or "a signal")
    else:
        cause = said(Cause.ERROR, where=where, error=error or "failed")
    return str(cause), cause.code or ""


def _given(trouble: "Trouble") -> str:
    """The parameters of the run: a person looks whether it was done for these."""
    params = masked_by_name(json.loads(trouble.run.params))
    shown = ", ".join(f"{name}={value}" for name, value in list(params.items())[:PARAMS_SHOWN])
    return f" ({short(shown)})" if shown else ""


def _last_log(trouble: "Trouble") -> Path | None:
    """The file with what the last attempt of the step that asks has printed; None if it has printed nothing."""
    step = trouble.asks[0][0] if trouble.asks else f"{trouble.job}.{trouble.step}"
    found = attempt_logs(trouble.run, step)
    return found[-1] if found else None


def printable(text: str) -> str:
    """The text on one line, without anything that a terminal would take for itself."""
    return "".join(char if char.isprintable() else " " for char in text)


def short(text: str | None) -> str:
    """The first line, cut between two words; it holds no control sequences for a terminal."""
    line = printable((text or "").partition("\n")[0])
    return textwrap.shorten(line, CAUSE_WIDTH, placeholder=" …") if len(line) > CAUSE_WIDTH else line
