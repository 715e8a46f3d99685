"""Checks the text of a cron expression field by field, for precise messages, and expands it with croniter."""

import platform
import re
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from aetherflow.scheduler.errors import CronError

if TYPE_CHECKING:
    from croniter import croniter

ALIASES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_ELEMENT = re.compile(r"(\*|[0-9A-Za-z]+)(?:-([0-9A-Za-z]+))?(?:/([0-9]+))?\Z", re.ASCII)
_MAX_LENGTH = 1_000


class Field(NamedTuple):
    """Limits and names of one of the five fields."""

    name: str
    low: int
    high: int
    names: dict[str, int]


FIELDS = (
    Field("minute", 0, 59, {}),
    Field("hour", 0, 23, {}),
    Field("day of month", 1, 31, {}),
    Field("month", 1, 12, {name: number for number, name in enumerate(_MONTHS, 1)}),
    Field("day of week", 0, 7, {name: number for number, name in enumerate(_DAYS)}),
)


class Expression(NamedTuple):
    """A checked cron expression in normal form, with the values that it matches."""

    normal: str
    """Five numeric fields without names, aliases, and steps after a single number."""
    values: tuple[tuple[int, ...], ...]
    """The values that each field matches, ascending; Sunday is 0."""
    stars: tuple[bool, ...]
    """Which fields begin with `*`; cron's rules depend on that, not on the values."""
    remarks: tuple[str, ...]


def read(text: str) -> Expression:
    """Parse an expression. Raises CronError that names the invalid field and what to write instead."""
    parts = _split(text)
    remarks: list[str] = []
    normal = [_normal(field, part, remarks) for field, part in zip(FIELDS, parts, strict=True)]
    return Expression(" ".join(normal), _expand(normal), tuple(part[0] == "*" for part in parts), tuple(remarks))


def _split(text: str) -> list[str]:
    text = text.strip()
    if not text:
        raise CronError("a cron expression is empty", fix='write five fields: "0 2 * * *"')
    if len(text) > _MAX_LENGTH:
        raise CronError(f"a cron expression is longer than {_MAX_LENGTH} characters", fix="make two items of it")
    if text.startswith("@"):
        if text.lower() not in ALIASES:
            raise CronError(f"{text!r} is not known", fix=_alias_fix(text))
        return ALIASES[text.lower()].split()
    parts = text.split()
    if len(parts) != len(FIELDS):
        raise CronError(
            f"{text!r} has {len(parts)} field{'s' * (len(parts) != 1)}, cron has five", fix=_count_fix(parts)
        )
    return parts


def _alias_fix(text: str) -> str:
    if text.lower() == "@reboot":
        return "a scheduler has no reboot; let the init system start the flow"
    if text.lower().startswith("@every"):
        return 'write the minutes or hours: "*/15 * * * *", "0 */2 * * *"'
    return f"write {', '.join(ALIASES)}, or five fields"


def _count_fix(parts: list[str]) -> str:
    if len(parts) in (6, 7):
        return f'seconds and years do not exist; drop them: "{" ".join(parts[1:6])}"'
    return 'write minute, hour, day of month, month, day of week: "0 2 * * *"'


def _normal(field: Field, text: str, remarks: list[str]) -> str:
    return ",".join(_element(field, part, text, remarks) for part in text.split(","))


def _element(field: Field, part: str, whole: str, remarks: list[str]) -> str:
    match = _ELEMENT.match(part)
    if match is None or (match[1] == "*" and match[2] is not None):
        raise CronError(f"{field.name} {whole!r} cannot be read", fix=_shape_fix(field, part, whole))
    first, last, step = match.groups()
    if step is not None:
        _check_step(field, int(step), whole)
    if first == "*":
        return "*" if step is None else f"*/{int(step)}"
    low = _number(field, first, whole)
    if last is None:
        if step is None:
            return str(low)
        high = 6 if field.high == 7 else field.high
        normal = f"{low}-{max(low, high)}/{int(step)}" if low < high else str(low)
        remarks.append(f"{field.name} {part!r} is read as {normal}; Debian's cron refuses it")
        return normal
    high = _number(field, last, whole)
    if field.names and field.high == 7 and high == 0 and low > 0:
        high = 7  # fri-sun
    if low > high:
        most = field.high - (field.high == 7)
        ends = [_span(low, most), _span(field.low, high)]
        raise CronError(f"{field.name} {whole!r} runs backwards", fix=f"write {','.join(ends)}")
    if low == high:
        return str(low)  # croniter would read n-n as the whole field
    return f"{low}-{high}" + (f"/{int(step)}" if step is not None else "")


def _span(low: int, high: int) -> str:
    return str(low) if low == high else f"{low}-{high}"


def _check_step(field: Field, step: int, whole: str) -> None:
    if step == 0:
        raise CronError(f"{field.name} {whole!r} has a step of 0", fix=f"write a step of 1 to {field.high}")
    if step > field.high:
        fix = f"a step starts again with every {_AROUND[field.name]}; the largest is {field.high}"
        raise CronError(f"{field.name} {whole!r} has a step that is larger than the field", fix=fix)


_AROUND = {"minute": "hour", "hour": "day", "day of month": "month", "month": "year", "day of week": "week"}


def _number(field: Field, text: str, whole: str) -> int:
    if text.isdigit():
        number = int(text) if len(text) < 10 else -1
    elif (found := field.names.get(text.lower())) is not None:
        return found
    else:
        raise CronError(f"{field.name} {whole!r}: {text!r} is not known", fix=_name_fix(field, text))
    if not field.low <= number <= field.high:
        raise CronError(f"{field.name} {whole!r}: {text[:20]} is out of range", fix=f"write {_range(field)}")
    return number


def _range(field: Field) -> str:
    words = f", or {next(iter(field.names))} to {list(field.names)[-1]}" if field.names else ""
    sunday = " (0 and 7 are Sunday)" if field.high == 7 else ""
    return f"{field.low} to {field.high}{sunday}{words}"


def _name_fix(field: Field, text: str) -> str:
    if text.lower()[:3] in field.names:
        return f"write {text.lower()[:3]}"
    if text.upper() in ("L", "LW", "W") or re.match(r"(\d+[LW]|[LW]\d+)\Z", text.upper()):
        return (
            "cron knows neither L nor W; write *, and `calendar: {business_days: true, nth: last}` or `roll: nearest`"
        )
    if text.upper() in ("H", "R"):
        return f"cron knows no random values; write {_range(field)}"
    return f"write {_range(field)}"


def _shape_fix(field: Field, part: str, whole: str) -> str:
    if part.startswith("/") and part[1:].isdigit():
        return f"write *{part}"
    if "#" in part:
        return "cron knows no #; name the weekday alone and let the flow decide, or the days 1-7"
    if "?" in part:
        return "write * instead of ?"
    if not part:
        return f"take a comma away: {','.join(each for each in whole.split(',') if each) or '*'}"
    if part.startswith("-"):
        return f"write {_range(field)}"
    return f"write *, a number, a range 1-5, a step */5, or several with commas; {_range(field)}"


def _expand(normal: list[str]) -> tuple[tuple[int, ...], ...]:
    croniter = _croniter()
    try:
        lists, _ = croniter.expand(" ".join(normal))
    except ValueError as error:  # impossible after the checks above, unless a newer croniter differs
        raise CronError(f"{' '.join(normal)!r} cannot be read: {error}", fix='write five fields: "0 2 * * *"') from None
    found = []
    for field, values in zip(FIELDS, lists, strict=True):
        high = field.high - (field.high == 7)
        every = range(field.low, high + 1)
        found.append(
            tuple(every)
            if "*" in values
            else tuple(sorted({int(value) % 7 if field.high == 7 else int(value) for value in values}))
        )
    return tuple(found)


@cache
def _croniter() -> "type[croniter]":
    # When it is imported, croniter 7 asks platform.architecture() for 32 bits, which starts the program `file`: a
    # process and 10 ms for an answer that it also has from the size of a pointer.
    asked = platform.architecture
    platform.architecture = _unknown_architecture
    try:
        from croniter import croniter
    finally:
        platform.architecture = asked
    return croniter


def _unknown_architecture(executable: str = "", bits: str = "", linkage: str = "") -> tuple[str, str]:
    del executable
    return bits, linkage
