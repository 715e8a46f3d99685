"""Reads the times of an entry as cron does, where the scheduler's own expressions are stricter."""

import re
from functools import partial

from aetherflow.core.embedding import Reason, said
from aetherflow.scheduler.errors import CronError
from aetherflow.scheduler.importing.drafts import Difference
from aetherflow.scheduler.time.cron import EITHER_DAY, Cron
from aetherflow.scheduler.time.cron_syntax import FIELDS, Field

_FIRST_DAY = {"day of month": "*/31", "day of week": "*/7"}


def cron_of_entry(text: str) -> tuple[str | None, list[Reason]]:
    """An expression that has the slots at which cron starts a line; None, and the reason, if there is none."""
    if text == "@reboot":
        return None, [said(Difference.REBOOT)]
    fields = text.split()
    quiet = text.startswith("-")  # cronie does not log such a line
    told: list[Reason] = []
    if len(fields) == len(FIELDS):
        fields[0] = fields[0].removeprefix("-") or "-"
        written = " ".join(_steps(field, part) for field, part in zip(FIELDS, fields, strict=True))
        if quiet or written != " ".join(fields):
            told.append(said(Difference.STEP, given=text, normal=written))
    else:
        written = text
    try:
        cron = Cron.parse(written)
    except CronError as error:
        return None, [said(Difference.TIMES, error=error.message, fix=error.fix)]
    told += [
        said(Difference.EITHER_DAY if each == EITHER_DAY else Difference.ANY_CRON, remark=each) for each in cron.remarks
    ]
    return written, told


def _steps(field: Field, text: str) -> str:
    """A field without steps that are larger than itself: for such a one cron takes the first value alone."""
    return ",".join(
        re.sub(r"\A(\*|[0-9]+)(?:-[0-9]+)?/([0-9]{1,9})\Z", partial(_step, field), part) for part in text.split(",")
    )


def _step(field: Field, match: re.Match[str]) -> str:
    first, step = match.groups()
    if int(step) <= field.high:
        return match[0]
    # of the fields for days cron asks whether they begin with `*`
    return first if first != "*" else _FIRST_DAY.get(field.name, str(field.low))
