"""The rules of notifications: `notify:` of the project file and of a scheduler document."""

import re
from typing import Annotated, Literal, Self, get_args

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints, WithJsonSchema, model_validator

from aetherflow.core.kernel.yaml.spec import SpecModel
from aetherflow.core.runtime.environment.spec.span import Span
from aetherflow.core.runtime.environment.spec.zone import Zone

Opening = Literal["failed", "unknown", "interrupted", "refused", "missed", "late"]
"""Events that open an incident, which a recovery closes."""
Transition = Literal[Opening, "recovered", "started", "succeeded"]
Shape = Literal["generic", "slack", "mattermost", "teams", "ntfy", "ping"]
TOLD: tuple[Transition, ...] = (*get_args(Opening), "recovered")
"""The events of a rule that names none."""
PINGED: tuple[Transition, ...] = ("started", "succeeded", *get_args(Opening))
"""Likewise a rule with `format: ping`."""
_TIME = "([01][0-9]|2[0-3]):[0-5][0-9]"


def _address(value: str) -> str:
    from email.errors import HeaderParseError  # only rules that send mails pay for it
    from email.headerregistry import Address

    try:
        found = Address(addr_spec=value)
    except (HeaderParseError, ValueError, IndexError):
        found = None
    if found is None or not found.domain or not value.isprintable() or " " in value:
        raise ValueError(f"{value!r} is no plain address such as oncall@example.com")
    return value


def _window(value: str) -> str:
    if not re.fullmatch(f"{_TIME}-{_TIME}", value):
        raise ValueError(f"{value!r} is no window such as 22:00-06:00")
    start, _, end = value.partition("-")
    if start == end:
        raise ValueError(f"{value!r} begins and ends at the same time")
    return value


def _time(value: str) -> str:
    if not re.fullmatch(_TIME, value):
        raise ValueError(f"{value!r} is no time of day such as 07:00")
    return value


def _as_pattern(pattern: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": f"^{pattern}$"})


Recipient = Annotated[str, AfterValidator(_address), _as_pattern(r"[^@\s]+@[^@\s]+")]
Window = Annotated[str, AfterValidator(_window), _as_pattern(f"{_TIME}-{_TIME}")]
TimeOfDay = Annotated[str, AfterValidator(_time), _as_pattern(_TIME)]


class NotifySpec(SpecModel):
    """One rule: which events are sent, to whom, and when."""

    events: list[Transition] = Field(
        [],
        description="Events that are sent; omitted: all but started and succeeded, for a ping all but recovered",
    )
    to: str | None = Field(None, min_length=1, description="Resource of the project file, of kind mail or rest")
    command: list[Annotated[str, StringConstraints(min_length=1)]] | None = Field(
        None, min_length=1, description="In place of `to`: program and arguments; it gets the message as JSON on stdin"
    )
    recipients: list[Recipient] = Field([], description="For a resource of kind mail: the addresses")
    format: Shape | None = Field(
        None, description="For a resource of kind rest: what its receiver reads; omitted: generic, a JSON object"
    )
    flows: list[Annotated[str, StringConstraints(min_length=1)]] = Field(
        [], description="Names of flows or items, with * for any letters; omitted: all"
    )
    min_failures: int = Field(
        1, ge=1, description="Runs that fail, or are interrupted, are notified from this many in a row on"
    )
    quiet: Window | None = Field(
        None,
        description="Times of day, 22:00-06:00, between which nothing is sent; it follows in one message afterwards",
    )
    digest: TimeOfDay | None = Field(None, description="Time of day, 07:00, at which all is sent in one message")
    repeat: Span | None = Field(None, description="Time after which an open failure is sent again: 30m, 12h, 2d")
    attach: Literal["log", "page"] | None = Field(
        None, description="Attach the run's log to a mail, or the page that `runs show --html` makes of it"
    )

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if (self.to is None) == (self.command is None):
            raise ValueError("give `to` or `command`")
        if self.command is not None and (self.format is not None or self.recipients or self.attach):
            raise ValueError("`format`, `recipients` and `attach` are for `to`; a command gets the message as JSON")
        if self.format == "ping" and (self.quiet or self.digest or self.repeat):
            raise ValueError("a ping is sent at once: leave out `quiet`, `digest` and `repeat`")
        if self.digest is not None and (self.quiet is not None or self.repeat is not None):
            raise ValueError("`digest` sends once a day: leave out `quiet` and `repeat`")
        return self

    def notified_events(self) -> frozenset[str]:
        """The events that it sends."""
        return frozenset(self.events or (PINGED if self.format == "ping" else TOLD))


class DocumentSpec(SpecModel):
    """Of a scheduler document what notifications need; the scheduler has the whole model."""

    model_config = ConfigDict(extra="ignore")

    timezone: Zone | None = Field(None, description="IANA name of the zone of times in `notify`")
    notify: list[NotifySpec] = Field([], description="Rules for the items of the document")
