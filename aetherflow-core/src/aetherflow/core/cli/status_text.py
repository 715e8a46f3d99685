"""The lines of `status`: first what needs a person, then what is in hand, what runs, and one line for the rest."""

import datetime as dt
import re
import shlex
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from aetherflow.core.base.times import iso
from aetherflow.core.base.typed import typed_here
from aetherflow.core.cli.causes import printable
from aetherflow.core.cli.how_far import how_far
from aetherflow.core.cli.lookup import plain
from aetherflow.core.console.since import instant_of

if TYPE_CHECKING:
    from aetherflow.core.cli.needs import Picture, Running
    from aetherflow.core.contracts.needs_person import NeedsPerson

EARLIER_SHOWN = 3
"""Of what needs a person in one flow; more is counted, and `--all` lists it."""
NAME_WIDTH = 24
LEAST_WIDTH = 40
MINUTE = 60_000
_CODE = re.compile(r"\bAF\d{4}\b")


class Lines:
    """Text of a width, in the local time of this machine."""

    def __init__(self, width: int, now_ms: int) -> None:
        self._width = max(width, LEAST_WIDTH)
        self._now = now_ms
        self._status = 8
        self._name = 0

    def text(self, picture: "Picture", rest: Sequence[tuple[str, str]], every: bool) -> str:
        """All of it. `rest` are the lines for what is well; `every` cuts nothing."""
        shown = [*picture.needs, *picture.in_hand]
        names = [need.name for need in shown] + [run.flow_id for run in picture.running]
        self._status = max([8, *(len(need.status) for need in picture.needs)])
        self._name = min(max(map(len, names), default=0), NAME_WIDTH)
        lines = [self._head(len(picture.needs))]
        of_flow: dict[str, int] = {}
        left_out: dict[str, int] = {}
        for same in _of_one_command(picture.needs):
            name = same[0].name
            of_flow[name] = of_flow.get(name, 0) + 1
            if every or of_flow[name] <= EARLIER_SHOWN:
                lines += self._need(same)
            else:
                left_out[name] = left_out.get(name, 0) + len(same)
        lines += [
            self._line("", name, f"{number} more of it, older, need{'s' * (number == 1)} a person (--all)")
            for name, number in left_out.items()
        ]
        lines += self._files(picture)
        for need in picture.in_hand:
            lines += self._in_hand(need)
        lines += [self._running(run) for run in picture.running]
        return "\n".join([*lines, *(f"{word:<{self._status}} {text}" for word, text in rest)])

    def _head(self, count: int) -> str:
        here = dt.datetime.fromtimestamp(self._now / 1000).astimezone()
        utc = here.astimezone(dt.UTC)
        zone = f"{here:%Z}"
        time = f"{here:%a %d %b %H:%M} {zone}" + ("" if zone == "UTC" else f" ({utc:%H:%M}Z)")
        told = f"{count or 'nobody'} need{'s' * (count < 2)} a person" if count else "nothing needs a person"
        return time + told.rjust(max(len(told) + 2, min(self._width, 72) - len(time)))

    def _need(self, same: "Sequence[NeedsPerson]") -> list[str]:
        need, others = same[0], len(same) - 1
        first = self._time(instant_of(same[-1].slot))
        more = f", and {others} older slot{'s' * (others > 1)} from {first}" if others else ""
        lines = self._wrapped(need.status, need.name, f"{self._when(need)}{more}  {_cause(need)}")
        if about := _about(need):
            lines += self._below(about)
        asks = need.status == "UNKNOWN"
        words = "or dismiss it:" if need.hint else "look, then:" if asks else "next:"
        told = [(words if not number else "or:", command) for number, command in enumerate(need.commands)]
        if asks and len(told) == 2:
            told = [("look; if it was done:", need.commands[0]), ("if it was not:", need.commands[1])]
        told = [("next:", need.hint), *told] if need.hint else told
        return lines + [f"{' ' * (self._status + 1)}{word} {text}" for word, text in told]

    def _in_hand(self, need: "NeedsPerson") -> list[str]:
        ack = need.acknowledged
        if ack is None:
            return []
        # shown to the minute: what ends within one is in hand up to the next
        until = f" until {self._time(-(-ack.until // MINUTE) * MINUTE)}" if ack.until is not None else ""
        text = f'{need.status} {self._when(need)}, ack by {ack.by}{until} "{ack.reason}"'
        below = " · ".join(part for part in (_cause(need), _about(need)) if part)
        return self._wrapped("in hand", need.name, text) + self._below(below)

    def _running(self, run: "Running") -> str:
        parts = [how_far(run.progress)] if run.progress else []
        parts += [f"{_span(self._now - run.since)}", run.process]
        if run.waits_for:
            held = f", held by {run.lock_holder}" if run.lock_holder else ""
            parts.append(f"waits for lock {run.waits_for}{held}, since {self._time(run.waits_since)}")
        return self._line("running", run.flow_id, ", ".join(parts))

    def _files(self, picture: "Picture") -> list[str]:
        lines = []
        if older := picture.older:
            what = (
                f"{len(older)} state file{'s are' if len(older) > 1 else ' is'} of an older version; the next run of "
            )
            what += (
                f"{'each' if len(older) > 1 else 'it'} migrates it, as does: "
                f"aetherflow state migrate {shlex.quote(plain(older[0]))}"
            )
            lines.append(self._line("older", what, ""))
        if before := len(picture.before):
            # up to the last of them and not further: what came later is not of before the upgrade
            end = iso(max(run.ended_at or run.started_at for run in picture.before) + 1000)
            runs = f"{before} run{'s' * (before > 1)} of before the upgrade did not end well; "
            command = typed_here("runs", "ack", "--before", end, "--reason", "TEXT")
            lines.append(self._line("before", f"{runs}{command}", ""))
        return lines

    def _when(self, need: "NeedsPerson") -> str:
        when = f"slot {self._time(instant_of(need.slot))}" if need.slot else self._time(need.since)
        often = f", {need.times} times" if need.times > 1 else ""
        return f"{when}, {_span(self._now - need.since)} ago{often}"

    def _time(self, instant: int | None) -> str:
        if instant is None:
            return ""
        here = dt.datetime.fromtimestamp(instant / 1000).astimezone()
        today = dt.datetime.fromtimestamp(self._now / 1000).astimezone().date()
        return f"{here:%H:%M}" if here.date() == today else f"{here:%a %d %b %H:%M}"

    def _line(self, status: str, name: str, text: str) -> str:
        return printable(f"{status:<{self._status}} {name:<{self._name}}  {text}").rstrip()

    def _wrapped(self, status: str, name: str, text: str) -> list[str]:
        """One line, or several of which the later ones are indented; words stay whole."""
        first = f"{status:<{self._status}} {name:<{self._name}}  "
        indent = " " * (self._status + 1)
        return textwrap.wrap(
            printable(first + text),
            self._width,
            subsequent_indent=indent,
            break_long_words=False,
            break_on_hyphens=False,
            drop_whitespace=True,
            replace_whitespace=False,
        )

    def _below(self, text: str) -> list[str]:
        indent = " " * (self._status + 1)
        width = self._width
        return textwrap.wrap(
            printable(text),
            width,
            initial_indent=indent,
            subsequent_indent=indent,
            break_long_words=False,
            break_on_hyphens=False,
        )


def _of_one_command(needs: "Sequence[NeedsPerson]") -> "list[list[NeedsPerson]]":
    """Missed slots that one command makes up for together, each other one alone."""
    found: dict[object, list[NeedsPerson]] = {}
    for number, need in enumerate(needs):
        one = need.status == "MISSED" and need.slot and need.commands
        found.setdefault((need.name, need.commands) if one else number, []).append(need)
    return list(found.values())


def _cause(need: "NeedsPerson") -> str:
    """With its code; that of a flow inside stands in the words already, and says more than the one around it."""
    return f"{need.cause} ({need.error_code})" if need.error_code and not _CODE.search(need.cause) else need.cause


def _about(need: "NeedsPerson") -> str:
    parts = [f"holds up {', '.join(need.holds_up)}"] if need.holds_up else []
    parts += [f"owner {need.owner}"] if need.owner else []
    parts += [f"runbook: {need.runbook_url}"] if need.runbook_url else []
    if need.handle and need.status == "REFUSED":
        parts.append(f"`runs ack` and `runs resolve` take it as {need.handle}")
    return " · ".join(parts)


def _span(milliseconds: int) -> str:
    """A time in its largest unit, and the next smaller one below ten hours."""
    minutes = max(milliseconds, 0) // 60_000
    if minutes < 1:
        return f"{max(milliseconds, 0) // 1000} s"
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h" + (f" {minutes % 60} min" if minutes < 600 and minutes % 60 else "")
    return f"{minutes // 1440} days"
